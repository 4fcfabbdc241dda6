"""From the members of a dropped folder to a job: what is in it, what is missing, what an earlier round has made.

Pure decisions on what a scan saw; nothing here touches the share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...config.job_toml import JobSettings
from ...config.schema import GIB, Limits, Render
from ...errors import InputError, NotReady
from ...job import Job, Media, Problem, Video, new_id, output_name
from ...storage.share_fs import HIDDEN, Entry, Folder
from . import filename_rules
from .manifest import ORIGINALS, Manifest

Signature = tuple[tuple[str, int, int], ...]
Kind = Literal["audio", "video"]

AUDIO_ENDINGS = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma")
VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".flv", ".m4v", ".ts", ".mpg", ".mpeg", ".wmv")


@dataclass
class Seen:
    """A folder's members by what their names say."""

    folder: Folder
    media: list[Entry] = field(default_factory=list)
    extra: list[Entry] = field(default_factory=list)
    temporary: list[str] = field(default_factory=list)
    shortcuts: list[str] = field(default_factory=list)
    reserved: list[str] = field(default_factory=list)
    controls: set[str] = field(default_factory=set)
    job_toml: str = ""
    presenters: str = ""

    @property
    def signature(self) -> Signature:
        """Equal between two scans if nothing relevant changed; junk cannot reset the settle clock."""
        return tuple(
            (e.name, e.size, e.mtime_ns) for e in self.folder.entries if not filename_rules.is_a("junk", e.name)
        )


def sort_members(folder: Folder) -> Seen:
    """Sort a folder's members by name: media to be judged by content, temporary ones, shortcuts, the rest."""
    seen = Seen(folder)
    for entry in folder.entries:
        base, _, title = entry.name.rpartition("/")
        if entry.kind == "link" or filename_rules.is_a("shortcut", title):
            seen.shortcuts.append(entry.name)
        elif entry.kind != "dir" and entry.name in (HIDDEN, ORIGINALS):
            seen.reserved.append(entry.name)
        elif entry.kind == "dir" or filename_rules.is_a("junk", title):
            continue
        elif filename_rules.is_a("temporary", title):
            seen.temporary.append(entry.name)
        elif not base and filename_rules.control(title):
            seen.controls.add(filename_rules.control(title))
        elif not base and filename_rules.fold(title) == filename_rules.JOB_TOML:
            seen.job_toml = title
        elif not base and filename_rules.fold(title) == filename_rules.PRESENTERS:
            seen.presenters = title
        elif entry.kind != "file" or filename_rules.is_a("not_media", title) or base not in ("", ORIGINALS):
            seen.extra.append(entry)
        else:
            seen.media.append(entry)
    return seen


def check_bounds(seen: Seen, limits: Limits) -> None:
    """Raise InputError for a folder that no patience can make a job."""
    if seen.shortcuts:
        raise InputError("shortcut", name=seen.shortcuts[0])
    if seen.reserved:
        raise InputError("name_taken", name=seen.reserved[0])
    check_number(len(seen.media), limits)
    for entry in seen.media:
        if entry.size > limits.max_file_gib * GIB:
            raise InputError("file_too_big", name=entry.name, limit_gib=limits.max_file_gib)
    if sum(entry.size for entry in seen.media) > limits.max_job_gib * GIB:
        raise InputError("job_too_big", limit_gib=limits.max_job_gib)


def check_number(media: int, limits: Limits) -> None:
    """Raise InputError for a folder with too many media files."""
    if media > limits.max_files_per_job:
        raise InputError("too_many_files", count=media, limit=limits.max_files_per_job)


@dataclass(frozen=True)
class Judged:
    """A media file and what its content says; `problem` where it cannot be read (then `kind` is by its name)."""

    entry: Entry
    kind: Kind | None
    problem: Problem | None = None


def kind_by_name(name: str) -> Kind | None:
    """Return what a file's ending promises, for files that cannot be read."""
    folded = filename_rules.fold(name)
    if folded.endswith(AUDIO_ENDINGS):
        return "audio"
    return "video" if folded.endswith(VIDEO_ENDINGS) else None


def _media(entry: Entry) -> Media:
    return Media(name=entry.name, size=entry.size, mtime_ns=entry.mtime_ns)


def choose(judged: list[Judged], earlier: Manifest | None) -> tuple[Judged, list[Judged]]:
    """Return the voice and the videos. Raises NotReady("needs_audio" | "too_many_audio" | "needs_video").

    New files lie beside `originals/`; a new voice or a new video of the same name replaces the one in there. An earlier
    round's results are recognised by name and size and are not inputs.
    """
    results = {(m.output, m.size) for m in earlier.made} if earlier else set()
    fresh = [j for j in judged if "/" not in j.entry.name and (j.entry.name, j.entry.size) not in results]
    kept = [j for j in judged if "/" in j.entry.name]
    voices = [j for j in fresh if j.kind == "audio"]
    if not voices:
        voices = [
            j for j in kept if j.kind == "audio" and (not earlier or _media(j.entry).title == earlier.voice.title)
        ]
    titles = {filename_rules.fold(j.entry.name) for j in fresh}
    videos = [j for j in fresh if j.kind == "video"]
    videos += [j for j in kept if j.kind == "video" and filename_rules.fold(_media(j.entry).title) not in titles]
    if not voices:
        raise NotReady("needs_audio")
    if len(voices) > 1:
        raise NotReady("too_many_audio", count=len(voices), names=[j.entry.name for j in voices])
    if not videos:
        raise NotReady("needs_video")
    return voices[0], videos


def wishes(settings: JobSettings, render: Render) -> dict[str, object]:
    """Return the settings that change what a result looks like: another value means rendering again."""
    return settings.apply(render).model_dump(
        include={"engine", "tracker", "quality", "preset", "crf", "audio_longer", "audio_shorter"}
    )


def compose(
    seen: Seen, judged: list[Judged], settings: JobSettings, render: Render, earlier: Manifest | None, arrived: float
) -> Job:
    """Make the job's record of a settled, judged folder. Raises NotReady while it is incomplete."""
    voice, videos = choose(judged, earlier)
    same = earlier is not None and earlier.wishes == wishes(settings, render) and _same_voice(voice, earlier)
    present = {(e.name, e.size) for e in seen.folder.entries}
    taken = {filename_rules.fold(e.name) for e in seen.folder.entries if e.kind == "dir"}
    records = []
    for video in sorted(videos, key=lambda j: filename_rules.fold(_media(j.entry).title)):
        record = Video(source=_media(video.entry), output=output_name(video.entry.name, taken))
        made = earlier.result_of(record.source) if earlier and same else None
        if made and made.output == record.output and (made.output, made.size) in present:
            ours = {"source": record.source, "output": record.output, "state": "done", "kept": True}
            record = made.video.model_copy(update=ours)  # the manifest lies in the share: no path is taken from it
        elif video.problem:
            record.state, record.problem = "failed", video.problem
        records.append(record)
    return Job(
        id=new_id(),
        name=seen.folder.name,
        folder=seen.folder.name,
        arrived=arrived,
        settings=settings,
        voice=_media(voice.entry),
        videos=records,
        extra=[_media(e) for e in seen.extra if "/" not in e.name],
        problem=voice.problem,
    )


def _same_voice(voice: Judged, earlier: Manifest) -> bool:
    media = _media(voice.entry)
    return "/" in media.name and (media.title, media.size) == (earlier.voice.title, earlier.voice.size)


def rejected(seen: Seen, problem: Problem, arrived: float) -> Job:
    """Make the record of a folder that can only be explained and moved to failed/."""
    return Job(
        id=new_id(),
        name=seen.folder.name,
        folder=seen.folder.name,
        arrived=arrived,
        voice=Media(name="", size=0, mtime_ns=0),
        videos=[],
        problem=problem,
    )
