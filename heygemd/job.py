"""A job's record: attempts, phase and results of each video, so that work resumes after a crash anywhere.

Where the folder lies says what state the job is in; the record holds the rest. File names may be undecodable bytes
(surrogateescape).
"""

from __future__ import annotations

import hashlib
import os
import time
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from .config.job_toml import JobSettings
from .protocol import Count, Notice, Result

SCHEMA = 5

MAX_NAME_CHARS = 4096


def _is_name(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME_CHARS:
        raise ValueError("not a file name")
    return value


Name = Annotated[str, PlainValidator(_is_name)]
"""A file name as the system returned it; pydantic's own str rejects undecodable ones."""

WINDOWS_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
STEM_BYTES = 150


class Record(BaseModel):
    """A part of a job's record; only the daemon's main loop changes it."""

    model_config = ConfigDict(extra="forbid", validate_assignment=False)


class Media(Record):
    """One of the user's files.

    name    relative to the job folder ("anna.mp4", "originals/anna.mp4" on a second round)
    digest  BLAKE2 of the content, once copied in
    """

    name: Name
    size: Count
    mtime_ns: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
    digest: str = ""

    @property
    def title(self) -> str:
        """The file's name without folders, for users."""
        return self.name.rpartition("/")[2]

    @property
    def is_template(self) -> bool:
        """Whether it lies in templates/ ("../../templates/anna.mp4") and not in the job's own folder."""
        return self.name.startswith("../")


class Problem(Record):
    """Why something failed: a message code and its fields."""

    code: str
    fields: dict[str, Any] = {}
    detail: str = ""


class Video(Record):
    """One video of the job and its state.

    voice         what it says, if the job's videos say different things; None: the job's voice
    output        the result's name in the finished folder, in a batch "zh/anna.mp4"; "zh/" if that part lacks something
    state         "rendered": finished in scratch, not yet on the share
    attempts      started so far, counted before the start
    running       being rendered; still set after a start, it shows that the daemon crashed meanwhile
    unclean_ends  how often the daemon itself ended meanwhile
    disk_full     how often it filled the scratch disk while it was rendered alone
    not_before    wall clock before which it is not retried
    faces         how many were found, where there are several
    kept          rendered in an earlier round with the same voice and settings, and not rendered again
    """

    source: Media
    voice: Media | None = None
    output: Name
    state: Literal["waiting", "rendered", "done", "failed"] = "waiting"
    attempts: Count = 0
    running: bool = False
    unclean_ends: int = 0
    disk_full: int = 0
    not_before: float = 0
    faces: Count = 0
    kept: bool = False
    output_digest: str = ""
    result: Result | None = None
    notices: list[Notice] = []
    problem: Problem | None = None

    @property
    def part(self) -> str:
        """The folder of its result inside the job's, which is the batch's part it belongs to; "" if there is none."""
        return self.output.rpartition("/")[0]

    @property
    def title(self) -> str:
        """The video's name for users: in a batch with its part, because many parts have the same presenter."""
        return f"{self.part}/{self.source.title}".rstrip("/") if self.part else self.source.title

    @property
    def hidden_name(self) -> str:
        """The name of its result in the job's hidden folder, which holds no folders."""
        if not self.part:
            return self.output
        return f"{hashlib.blake2s(os.fsencode(self.part), digest_size=8).hexdigest()}-{self.output.rpartition('/')[2]}"

    def facts(self) -> dict[str, Any]:
        """Return the fields for the message of its problem: the problem's own, and the video's name."""
        return {"name": self.title, **(self.problem.fields if self.problem else {})}


class Job(Record):
    """A job from the claim of its folder to its end."""

    id: str
    name: Name
    arrived: float
    settings: JobSettings = JobSettings()
    phase: Literal["claiming", "claimed", "returning", "publishing", "finished"] = "claiming"
    """"returning": on its way back to the inbox, because files of it changed."""
    folder: Name
    """Its name inside processing/."""
    destination: Name = ""
    """"done/J", "failed/J" or "inbox/J", fixed before the first file is moved there."""
    rounds: int = 0
    """How often it came back to the inbox."""
    voice: Media
    other_voices: list[Media] = []
    """Where several people speak, the voices after the first one, in the order of `settings.speakers`."""
    videos: list[Video]
    lips: Media | None = None
    """The recording that drives the lips instead of the voice."""
    subtitles: list[Media] = []
    """Tracks of every result, in this order."""
    extra: list[Media] = []
    """The user's other files (texts, pictures), which move along."""
    control_files: list[Media] = []
    """job.toml and presenters.txt as they were read."""
    nested: list[Name] = []
    """All files in its own folders, used or not."""
    notices: list[Notice] = []
    """What users should know about their files: which were not used, and why."""
    added: list[Name] = []
    """Other files that came during processing, which move along too."""
    problem: Problem | None = None
    back_offs: float = 0
    """How often it was left alone for a minute because of a fault of its own; shorter waits count for less."""
    abandoned: bool = False
    """Its folder cannot be moved: the job ends and the folder stays in processing/."""
    started: float = 0
    finished: float = 0

    @property
    def is_batch(self) -> bool:
        """Whether its videos say different things; then it has no voice of its own."""
        return any(video.voice is not None for video in self.videos)

    def voice_of(self, video: Video) -> Media:
        """Return what a video says."""
        return video.voice or self.voice

    def inputs(self) -> list[Media]:
        """Return all voices and videos that results are made from; one that several videos share, once."""
        return list({media.name: media for media in self._records()}.values())

    def records_of(self, name: str) -> list[Media]:
        """Return every record of one file: videos of a batch that share a presenter have one each."""
        return [media for media in self._records() if media.name == name]

    def _records(self) -> Iterator[Media]:
        media = (
            *self.voices,
            self.lips,
            *self.subtitles,
            *(each for video in self.videos for each in (video.voice, video.source)),
        )
        return (each for each in media if each is not None and each.name)

    @property
    def priority(self) -> int:
        """Higher goes first; a leading `!` in the folder's name adds one."""
        return self.settings.priority + (1 if self.name.startswith("!") else 0)

    def made_of(self, video: Video) -> list[Media]:
        """Return all files that a video's result is made of."""
        return [*self.shared, *([video.voice] if video.voice else []), video.source]

    @property
    def voices(self) -> list[Media]:
        """The voice, or those of all speakers."""
        return [self.voice, *self.other_voices]

    @property
    def shared(self) -> list[Media]:
        """The files that all videos are rendered with; a rejected folder has none."""
        return [media for media in (*self.voices, self.lips, *self.subtitles) if media and media.name]

    @property
    def settled(self) -> bool:
        """Whether no video is left to render."""
        return self.problem is not None or all(v.state in ("done", "failed") for v in self.videos)

    @property
    def succeeded(self) -> bool:
        """Whether the folder belongs in done/: at least one good video, and not cancelled."""
        return self.problem is None and any(v.state == "done" for v in self.videos)


def new_id() -> str:
    """Return an id that sorts by time and is a safe file name."""
    return time.strftime("%Y%m%d-%H%M%S-") + uuid.uuid4().hex[:6]


def output_name(source: str, taken: set[str]) -> str:
    """Return the result's name for a source video: its stem, made safe for every system, as MP4; adds it to `taken`.

    NFC, no `<>:"/\\|?*` or control characters, no trailing dot or space, no reserved Windows name, at most 150 bytes.
    `taken` holds casefolded names: shares are often case-insensitive.
    """
    stem = safe_stem(Path(source.rpartition("/")[2]).stem)
    candidate, number = f"{stem}.mp4", 2
    while candidate.casefold() in taken:
        candidate, number = f"{stem} ({number}).mp4", number + 1
    taken.add(candidate.casefold())
    return candidate


def safe_stem(stem: str) -> str:
    """Return a file name stem that every system accepts; see `output_name`."""
    text = unicodedata.normalize("NFC", stem.encode("utf-8", "replace").decode())
    text = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in text)
    text = text.encode()[:STEM_BYTES].decode(errors="ignore").strip().rstrip(". ") or "video"
    return f"_{text}" if text.split(".")[0].casefold() in WINDOWS_RESERVED or text.startswith(".") else text
