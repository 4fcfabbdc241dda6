"""The messages between the daemon, a renderer process and the Ray driver.

The daemon starts `python -m heygemd.render.worker FOLDER EVENT_FD PARENT_PID CACHE` and writes the request to its
standard input once the input is in scratch: a file could be replaced by somebody else. The renderer writes one JSON
object per line to the file descriptor EVENT_FD; the last one is Done or Failed. Without either, the renderer counts as
lost, whatever its exit status.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

from .config.schema import Attempts, Face, Limits, Render
from .errors import (
    DeadlineExceeded,
    EngineError,
    HeygemdError,
    InfrastructureError,
    InputError,
    NotInstalled,
    WorkerLost,
)

Phase = Literal["analyse", "prepare", "render", "measure"]
Number = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=1 << 62)]
Rate = Annotated[str, Field(pattern="^[0-9]{1,10}(/[1-9][0-9]{0,9})?$")]
"""A frame rate such as "30000/1001". Without a bound, making a fraction of "1e300000000" takes for ever."""
Word = Annotated[str, Field(max_length=200)]
Fact = bool | Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)] | Number | Annotated[str, Field(max_length=4000)] | None
Span = Annotated[list[Number], Field(min_length=2, max_length=2)]
_FACTS = TypeAdapter(
    Annotated[dict[Word, Fact | Annotated[list[Fact | Span], Field(max_length=100_000)]], Field(max_length=50)]
)
Facts = Annotated[dict[str, Any], PlainValidator(_FACTS.validate_python)]
"""What a message can be filled in with."""
JpegBase64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$", max_length=1 << 20)]
Mp4Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$", max_length=7 << 20)]
Curve = Annotated[tuple[Annotated[float, Field(ge=0, le=1)] | None, ...], Field(max_length=10_000)]


class Message(BaseModel):
    """A frozen message; unknown fields are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


MAX_SUBTITLE_FILES, MAX_SUBTITLE_BYTES = 16, 4 << 20


class SubtitleFile(Message):
    """A subtitle file as people wrote it, in scratch; `name`: the one that they gave it, for messages."""

    path: Path
    digest: str
    name: str


class Speaker(Message):
    """One of several people who speak in a video.

    voice  an input in scratch, whose digest is `digest`
    face   which of the faces (see schema.Face)
    at_s   when the voice begins, seconds
    """

    voice: Path
    digest: str
    face: Face
    at_s: float = 0.0


class RenderRequest(Message):
    """Render one video. All paths are local and fixed: none contains a name chosen by a user.

    voice, video                inputs in scratch
    voice_digest, video_digest  BLAKE2 of their content, the keys of the analysis cache
    lips, lips_digest           a recording of the same words that drives the lips instead of the voice
    speakers                    where several people speak, all of them: `voice` is the first one's then
    subtitles                   files that lie beside the voice, in the order of their tracks
    output                      the MP4 to write (in scratch; as a .part file beside it, then fsync and rename);
                                its Preview is written beside it with the suffix .json
    scratch                     an empty folder for this attempt, removed by the daemon
    cache                       analysis cache shared by all videos
    picture_every_s             how often a LivePicture is wanted; 0: never
    """

    voice: Path
    video: Path
    voice_digest: str
    video_digest: str
    output: Path
    scratch: Path
    cache: Path
    models: Path
    settings: Render
    limits: Limits
    picture_every_s: float = 0
    lips: Path | None = None
    lips_digest: str = ""
    subtitles: tuple[SubtitleFile, ...] = ()
    speakers: tuple[Speaker, ...] = ()

    @property
    def inputs(self) -> dict[Path, str]:
        """The files to read, with their digests; no two have the same name."""
        beside = {file.path: file.digest for file in self.subtitles}
        beside |= {self.lips: self.lips_digest} if self.lips else {}
        voices = {speaker.voice: speaker.digest for speaker in self.speakers}
        return {self.voice: self.voice_digest, **voices, self.video: self.video_digest, **beside}

    def in_folder(self, folder: Path) -> RenderRequest:
        """Return the request for the same inputs, under the same names, in another folder."""
        subtitles = [file.model_copy(update={"path": folder / file.path.name}) for file in self.subtitles]
        here = {"voice": folder / self.voice.name, "video": folder / self.video.name}
        here |= {"lips": folder / self.lips.name} if self.lips else {}
        speakers = [each.model_copy(update={"voice": folder / each.voice.name}) for each in self.speakers]
        return self.model_copy(update={**here, "subtitles": tuple(subtitles), "speakers": tuple(speakers)})


CONTROL_MS = 200
"""By how much the sound is shifted to check the sync measurement itself."""


class SyncRequest(Message):
    """Measure how well the lips of an existing video match a recording; nothing is rendered.

    video    a copy in scratch
    voice    the recording to compare with; the video itself for its own audio track
    scratch  an empty folder for this request
    """

    video: Path
    voice: Path
    scratch: Path
    models: Path
    settings: Render
    limits: Limits


REQUEST: TypeAdapter[RenderRequest | SyncRequest] = TypeAdapter(RenderRequest | SyncRequest)


class Ready(Message):
    """The imports are done; the renderer waits for its request."""

    type: Literal["ready"] = "ready"


class Progress(Message):
    """Frames done in a phase, which is also the heartbeat; `percent` covers the whole video and never falls."""

    type: Literal["progress"] = "progress"
    phase: Phase
    done: int
    total: int
    percent: float
    fps: float = 0.0


class Notice(Message):
    """A remark about this video or voice that users should see; not a failure."""

    type: Literal["notice"] = "notice"
    code: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,60}$")]
    fields: Facts = {}


class LivePicture(Message):
    """The latest frame, small: a JPEG in base64."""

    type: Literal["picture"] = "picture"
    jpeg: JpegBase64


class FirstSeconds(Message):
    """The first seconds of the video, with sound, while the rest is being rendered: a small MP4 in base64."""

    type: Literal["first_seconds"] = "first_seconds"
    mp4: Mp4Base64


class FacesSeen(Message):
    """Where several faces were found: a frame in which they are numbered from left to right, from 1 on.

    picture  JPEG in base64, with numbered boxes
    count    how many there are
    used     the numbers that speak; 0 for one that has no number
    """

    type: Literal["faces"] = "faces"
    picture: JpegBase64
    count: Count
    used: Annotated[tuple[Count, ...], Field(max_length=10)]


class LogLine(Message):
    """A log record of the renderer. Only the daemon writes logs."""

    type: Literal["log"] = "log"
    level: str
    message: str


class SyncMeasurement(Message):
    """Lips against voice, with two controls of the measurement. Of a result: its frames, and the sound in the file.

    fps                            of the file, "30000/1001"
    offset_ms, offset_confidence   positive: the lips are late; None where the confidence is too low to tell
    control_shift_ms               by how much the offset changes when the sound is shifted by CONTROL_MS
    reversed_confidence            the confidence for the same lips and the sound played backwards
    """

    fps: Rate
    offset_ms: Number | None = None
    offset_confidence: Number = 0.0
    control_shift_ms: Number | None = None
    reversed_confidence: Number = 0.0

    @property
    def offset_frames(self) -> float | None:
        """The offset in frames of the file."""
        return None if self.offset_ms is None else round(self.offset_ms * float(Fraction(self.fps)) / 1000, 2)


class Result(SyncMeasurement):
    """A finished video.

    speakers                            where several people speak, of each the offset in ms, None where it is uncertain
    frames, duration_s, width, height   of the output, measured on the file
    burnt                               the subtitles in the picture, as in `subtitles`, "" if there are none
    loudness_lufs                       of the sound, where one was asked for
    subtitles                           names of the files that became tracks, each with its language
    seconds                             wall time by phase
    """

    frames: Count
    duration_s: Number
    width: Count
    height: Count
    speakers: Annotated[list[Number | None], Field(max_length=10)] = []
    engine: Word
    tracker: Word
    burnt: Word = ""
    loudness_lufs: Number | None = None
    subtitles: list[Word] = Field([], max_length=MAX_SUBTITLE_FILES)
    seconds: Annotated[dict[Word, Number], Field(max_length=50)] = {}
    peak_memory_mib: Number = 0.0


class Preview(Message):
    """What the report shows of a finished video; stored as JSON beside it, where only pictures and numbers are trusted.

    moments_s    times of the pictures in the strip
    strip        JPEG in base64: the mouth at each moment, source above, result below; "" without a face
    thumbnail    JPEG in base64 of one frame
    curve_hz     samples per second of `lips` (mouth opening) and `voice` (loudness), 0 to 1, None without a face
    faces        where several faces were found
    """

    moments_s: Annotated[tuple[Number, ...], Field(max_length=100)]
    strip: JpegBase64
    thumbnail: JpegBase64
    curve_hz: Annotated[int, Field(gt=0, le=100)]
    lips: Curve
    voice: Curve
    faces: FacesSeen | None = None


class Done(Message):
    """The request was carried out; a rendered video is at the request's output path."""

    type: Literal["done"] = "done"
    result: Result | SyncMeasurement


Kind = Literal["input", "installation", "infrastructure", "lost", "late", "engine"]
KINDS: dict[Kind, type[HeygemdError]] = {
    "input": InputError,
    "installation": NotInstalled,
    "infrastructure": InfrastructureError,
    "lost": WorkerLost,
    "late": DeadlineExceeded,
    "engine": EngineError,
}
"""Subclasses come before their base class."""


class Failed(Message):
    """Why the request failed; `kind` says who must act (see errors.py)."""

    type: Literal["failed"] = "failed"
    kind: Kind
    code: str
    fields: dict[str, Any] = {}
    detail: str = ""

    def error(self) -> HeygemdError:
        """Return the typed error."""
        return KINDS[self.kind](self.code, detail=self.detail, **self.fields)


Event = Annotated[
    Ready | Progress | Notice | FacesSeen | LivePicture | FirstSeconds | LogLine | Done | Failed,
    Field(discriminator="type"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def failed(error: BaseException) -> Failed:
    """Return the Failed message for an exception raised while rendering."""
    if isinstance(error, HeygemdError):
        kind: Kind = next((kind for kind, typed in KINDS.items() if isinstance(error, typed)), "engine")
        return Failed(kind=kind, code=error.code, fields=error.fields, detail=error.detail)
    if isinstance(error, OSError) and error.errno in (28, 122):  # ENOSPC, EDQUOT: the disk, not the video
        return Failed(kind="infrastructure", code="scratch_full", detail=str(error))
    return Failed(kind="engine", code="engine_error", detail=f"{type(error).__name__}: {error}")


def send(fd: int, event: Message) -> None:
    """Write one event as one line; raises BrokenPipeError when the daemon is gone."""
    data = event.model_dump_json().encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


def parse(line: bytes) -> Event | None:
    """Return the event of a line, or None if it is malformed: a dying process can leave half a line."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None


class StartAttempt(Message):
    """Daemon to Ray driver: render a video somewhere in the cluster; `number` identifies this attempt."""

    number: int
    job: str
    request: RenderRequest
    audio_s: float
    attempts: Attempts


class StopAttempt(Message):
    """Daemon to Ray driver: end this attempt."""

    number: int
    stop: Literal[True] = True


class AttemptEvent(Message):
    """Ray driver to daemon: an event of one attempt; None: nothing of the attempt runs any more."""

    number: int
    event: Event | None


class Capacity(Message):
    """Ray driver to daemon, every few seconds: the cluster is up and can render this many videos at once."""

    slots: int


class ClusterFailure(Message):
    """Ray driver to daemon, as its last message: the cluster cannot be used."""

    reason: str


DRIVER_COMMAND: TypeAdapter[StartAttempt | StopAttempt] = TypeAdapter(StartAttempt | StopAttempt)
DRIVER_MESSAGE: TypeAdapter[AttemptEvent | Capacity | ClusterFailure] = TypeAdapter(
    AttemptEvent | Capacity | ClusterFailure
)
