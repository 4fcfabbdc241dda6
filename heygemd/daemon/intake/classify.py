"""What the members of a dropped folder are, what is missing, and the job record made of them.

Pure decisions about what a scan saw; nothing here touches the share.
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
class Members:
    """A folder's members, sorted by their names."""

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
        """Equal between two scans if nothing relevant changed; junk does not restart the settle clock."""
        return tuple(
            (e.name, e.size, e.mtime_ns) for e in self.folder.entries if not filename_rules.is_a("junk", e.name)
        )


def sort_members(folder: Folder) -> Members:
    """Sort a folder's members by name: possible media, unfinished copies, shortcuts, control files, the rest."""
    members = Members(folder)
    for entry in folder.entries:
        base, _, title = entry.name.rpartition("/")
        if entry.kind == "link" or filename_rules.is_a("shortcut", title):
            members.shortcuts.append(entry.name)
        elif entry.kind != "dir" and entry.name in (HIDDEN, ORIGINALS):
            members.reserved.append(entry.name)
        elif entry.kind == "dir" or filename_rules.is_a("junk", title):
            continue
        elif filename_rules.is_a("temporary", title):
            members.temporary.append(entry.name)
        elif not base and filename_rules.control(title):
            members.controls.add(filename_rules.control(title))
        elif not base and filename_rules.fold(title) == filename_rules.JOB_TOML:
            members.job_toml = title
        elif not base and filename_rules.fold(title) == filename_rules.PRESENTERS:
            members.presenters = title
        elif entry.kind != "file" or filename_rules.is_a("not_media", title) or base not in ("", ORIGINALS):
            members.extra.append(entry)
        else:
            members.media.append(entry)
    return members


def check_bounds(members: Members, limits: Limits) -> None:
    """Raise InputError for a folder that waiting cannot turn into a job."""
    if members.shortcuts:
        raise InputError("shortcut", name=members.shortcuts[0])
    if members.reserved:
        raise InputError("name_taken", name=members.reserved[0])
    check_number(len(members.media), limits)
    for entry in members.media:
        if entry.size > limits.max_file_gib * GIB:
            raise InputError("file_too_big", name=entry.name, limit_gib=limits.max_file_gib)
    if sum(entry.size for entry in members.media) > limits.max_job_gib * GIB:
        raise InputError("job_too_big", limit_gib=limits.max_job_gib)


def check_number(media: int, limits: Limits) -> None:
    """Raise InputError for a folder with too many media files."""
    if media > limits.max_files_per_job:
        raise InputError("too_many_files", count=media, limit=limits.max_files_per_job)


@dataclass(frozen=True)
class Classified:
    """A media file and its kind by content; with a `problem` it cannot be read, and the kind is by name."""

    entry: Entry
    kind: Kind | None
    problem: Problem | None = None


def kind_by_name(name: str) -> Kind | None:
    """Return the kind a file name suggests, for files that cannot be read."""
    folded = filename_rules.fold(name)
    if folded.endswith(AUDIO_ENDINGS):
        return "audio"
    return "video" if folded.endswith(VIDEO_ENDINGS) else None


def _media(entry: Entry) -> Media:
    return Media(name=entry.name, size=entry.size, mtime_ns=entry.mtime_ns)


def choose(classified: list[Classified], earlier: Manifest | None) -> tuple[Classified, list[Classified]]:
    """Return the voice and the videos. Raises NotReady("needs_audio" | "too_many_audio" | "needs_video").

    New files are at the top of the folder; a new voice, or a new video of the same name, replaces the one in
    `originals/`. Results of an earlier round are recognised by name and size and are not inputs.
    """
    results = {(m.output, m.size) for m in earlier.made} if earlier else set()
    fresh = [j for j in classified if "/" not in j.entry.name and (j.entry.name, j.entry.size) not in results]
    kept = [j for j in classified if "/" in j.entry.name]
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


def result_settings(settings: JobSettings, render: Render) -> dict[str, object]:
    """Return the settings that change a result: with another value it is rendered again."""
    return settings.apply(render).model_dump(
        include={"engine", "tracker", "quality", "preset", "crf", "audio_longer", "audio_shorter"}
    )


def compose(
    members: Members,
    classified: list[Classified],
    settings: JobSettings,
    render: Render,
    earlier: Manifest | None,
    arrived: float,
) -> Job:
    """Make the job record of a settled, classified folder. Raises NotReady while it is incomplete."""
    voice, videos = choose(classified, earlier)
    same = earlier is not None and earlier.settings == result_settings(settings, render) and _same_voice(voice, earlier)
    present = {(e.name, e.size) for e in members.folder.entries}
    taken = {filename_rules.fold(e.name) for e in members.folder.entries if e.kind == "dir"}
    records = []
    for video in sorted(videos, key=lambda j: filename_rules.fold(_media(j.entry).title)):
        record = Video(source=_media(video.entry), output=output_name(video.entry.name, taken))
        made = earlier.result_of(record.source) if earlier and same else None
        if made and made.output == record.output and (made.output, made.size) in present:
            ours = {"source": record.source, "output": record.output, "state": "done", "kept": True}
            record = made.video.model_copy(update=ours)  # users can change the manifest: take no path from it
        elif video.problem:
            record.state, record.problem = "failed", video.problem
        records.append(record)
    return Job(
        id=new_id(),
        name=members.folder.name,
        folder=members.folder.name,
        arrived=arrived,
        settings=settings,
        voice=_media(voice.entry),
        videos=records,
        extra=[_media(e) for e in members.extra if "/" not in e.name],
        problem=voice.problem,
    )


def _same_voice(voice: Classified, earlier: Manifest) -> bool:
    media = _media(voice.entry)
    return "/" in media.name and (media.title, media.size) == (earlier.voice.title, earlier.voice.size)


def rejected(members: Members, problem: Problem, arrived: float) -> Job:
    """Make the record of a folder that can only be moved to failed/ with an explanation."""
    return Job(
        id=new_id(),
        name=members.folder.name,
        folder=members.folder.name,
        arrived=arrived,
        voice=Media(name="", size=0, mtime_ns=0),
        videos=[],
        problem=problem,
    )
