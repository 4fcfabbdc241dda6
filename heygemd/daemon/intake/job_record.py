"""The job record of a folder whose files were chosen, and what users are told of those that are not used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from ...config.job_toml import JobSettings, is_named
from ...config.schema import Render
from ...errors import NotReady
from ...job import Job, Media, Problem, Video, new_id, output_name
from ...protocol import Notice
from ...storage import atomic
from ...storage.share_fs import Entry
from . import filename_rules, folder_members, job_inputs, left_out, manifest
from .folder_members import Members, is_nested, media_of
from .job_inputs import Classified
from .manifest import MadeResult, Manifest

UNUSABLE = {"needs_audio": "needs_usable_audio", "needs_video": "needs_usable_video"}
"""What to say instead where the missing file may be there in a form that cannot be used."""


def compose(
    members: Members,
    classified: Sequence[Classified],
    settings: JobSettings,
    render: Render,
    earlier: Manifest | None,
    arrived: float,
    texts: Mapping[str, bytes] = MappingProxyType({}),
) -> Job:
    """Make the job record of a settled, classified folder. Raises NotReady while it is incomplete.

    That is also while a video is missing that job.toml has settings for.

    `texts`: what was read from its job.toml and presenters.txt.
    """
    chosen = job_inputs.choose(classified, earlier, settings.photos, settings.speakers)
    if chosen.speakers != settings.speakers:
        settings = settings.model_copy(update={"speakers": chosen.speakers})
    require_named(settings, [media_of(video.entry).title for video in chosen.videos])
    subtitles = job_inputs.choose_subtitles(members, settings.apply(render))
    shared = [each.entry for each in (*chosen.voices, chosen.lips) if each] + subtitles[0]
    same = earlier if earlier and job_inputs.same_files(shared, [earlier.voice, *earlier.beside]) else None
    present = {(e.name, e.size) for e in members.folder.entries if e.kind == "file"}
    taken = {filename_rules.fold(e.name) for e in members.folder.entries if e.kind != "file"}
    records = []
    for video in sorted(chosen.videos, key=lambda j: filename_rules.fold(media_of(j.entry).title)):
        record = Video(source=media_of(video.entry), output=output_name(video.entry.name, taken))
        wanted = manifest.result_settings(settings, render, record.source.title)
        made = same.result_of(record.source, record.output, wanted) if same else None
        if made and (made.output, made.size) in present:
            record = kept(record, made)
        elif video.problem:
            record.state, record.problem = "failed", video.problem
        records.append(record)
    job = record_of(members, classified, chosen.names, settings, earlier, arrived, texts, subtitles)
    job.voice, *job.other_voices = (media_of(voice.entry) for voice in chosen.voices)
    job.videos, job.lips = records, media_of(chosen.lips.entry) if chosen.lips else None
    job.problem = next((each.problem for each in (*chosen.voices, chosen.lips) if each and each.problem), None)
    if chosen.voice.sound:
        job.notices.insert(0, Notice(code="voice_from_video", fields={"name": chosen.voice.entry.name}))
    return job


def record_of(
    members: Members,
    classified: Sequence[Classified],
    used: Collection[str],
    settings: JobSettings,
    earlier: Manifest | None,
    arrived: float,
    texts: Mapping[str, bytes],
    subtitles: tuple[list[Entry], list[left_out.LeftOut]],
) -> Job:
    """Return the record of a folder, of which the files named in `used` are used, without its voice and videos.

    `subtitles`: see `job_inputs.choose_subtitles`.
    """
    tracks, unused = subtitles
    return Job(
        id=new_id(),
        name=members.folder.name,
        folder=members.folder.name,
        arrived=arrived,
        settings=settings,
        voice=Media(name="", size=0, mtime_ns=0),
        videos=[],
        subtitles=[media_of(entry) for entry in tracks],
        extra=_extra(members, {*used, *(entry.name for entry in tracks)}),
        control_files=_control_files(members, texts),
        nested=[entry.name for entry, _ in folder_members.nested_files(members)],
        notices=notices(members, classified, used, unused),
        rounds=earlier.rounds if earlier else 0,
    )


def rejected(members: Members, problem: Problem, notices: list[Notice], arrived: float) -> Job:
    """Make the record of a folder that can only be moved to failed/ with an explanation."""
    return Job(
        id=new_id(),
        name=members.folder.name,
        folder=members.folder.name,
        arrived=arrived,
        voice=Media(name="", size=0, mtime_ns=0),
        videos=[],
        notices=notices,
        problem=problem,
    )


def require_named(settings: JobSettings, titles: Collection[str]) -> None:
    """Raise NotReady("needs_named_video") unless each video that has settings of its own is there."""
    for name in settings.videos:
        if not any(is_named(title, name) for title in titles):
            raise NotReady("needs_named_video", name=name, names=sorted(set(titles)))


def kept(record: Video, made: MadeResult) -> Video:
    """Return the record of a video that need not be rendered again.

    Users can change the manifest: no path and no state is taken from it.
    """
    facts = made.video.model_dump(include={"output_digest", "attempts", "faces"})
    shown = {"result": made.video.result, "notices": made.video.notices}
    return record.model_copy(update={**facts, **shown, "state": "done", "kept": True})


def _extra(members: Members, used: Collection[str]) -> list[Media]:
    """Return the users' other files at the top of the folder."""
    others = [
        *members.media,
        *members.subtitles,
        *members.photos,
        *members.temporary,
        *(entry for entry, _ in members.left_out),
    ]
    unused = (e for e in others if e.kind == "file" and e.name not in used and "/" not in e.name)
    return [media_of(entry) for entry in unused]


def _control_files(members: Members, texts: Mapping[str, bytes]) -> list[Media]:
    entries = {entry.name: entry for entry in members.folder.entries}
    found = [(media_of(entries[members.settings[meant]]), text) for meant, text in texts.items()]
    return [media.model_copy(update={"digest": atomic.digest([text])}) for media, text in found]


def notices(
    members: Members,
    classified: Sequence[Classified] | None = None,
    used: Collection[str] | None = None,
    others: Sequence[left_out.LeftOut] = (),
) -> list[Notice]:
    """Return what users should know about the folder's files: which are not used, and why.

    `classified`: None before anything was read; `used`: names of the files that are, None while the folder is no job;
    `others`: also not used.
    """
    meant = members.settings.items()
    remarks = [Notice(code="read_as", fields={"name": n, "meant": m}) for m, n in meant if filename_rules.fold(n) != m]
    remarks += [Notice(code="read_as_western", fields={"name": name}) for name in members.western]
    found = [*((entry.name, reason) for entry, reason in members.left_out), *others]
    if classified is not None:
        found += _unused(members, classified, used)
    return [*remarks, *left_out.notices(found)]


def _unused(
    members: Members, classified: Sequence[Classified], used: Collection[str] | None
) -> Iterator[left_out.LeftOut]:
    read = {j.entry.name: j for j in classified}
    for entry in members.media:
        if entry.name not in read:
            yield entry.name, "left_out_not_media"
    for entry in members.photos:
        if entry.name not in (read if used is None else used):
            yield entry.name, "left_out_picture"
    for entry in members.nested:
        if entry.name not in read or (used is not None and read[entry.name].kind and entry.name not in used):
            yield entry.name, "left_out_subfolder"
    for each in classified:
        if each.kind is None:
            yield folder_members.shown_name(each.entry), each.problem.code if each.problem else "left_out_not_media"
        elif (
            each.kind != "photo" and used is not None and each.entry.name not in used and not is_nested(each.entry.name)
        ):
            yield each.entry.name, "left_out_replaced"


def explained(error: NotReady, notices: Sequence[Notice]) -> NotReady:
    """Return `error`, with other words where the missing file may be there in a form that cannot be used."""
    if error.code in UNUSABLE and any(notice.code in left_out.COULD_BE_NEEDED for notice in notices):
        return NotReady(UNUSABLE[error.code], **error.fields)
    return error
