"""A batch: one folder with several voices, each of which is a part with results in a folder of its own.

A part is a subfolder with a voice, or with a file named BATCH in the folder, each voice at its top. A part's videos are
its own, else those that all share: at the top and from templates/, else in subfolders without a voice. The whole folder
is one job: claimed, reported and published at once. A part that lacks something fails, and the others do not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ...config.job_toml import JobSettings
from ...config.schema import Limits, Render
from ...errors import InputError, NotReady
from ...job import Job, Media, Problem, Video, output_name, safe_stem
from . import filename_rules, job_inputs, job_record, manifest
from .folder_members import Members, is_kept, media_of
from .job_inputs import Classified
from .manifest import ORIGINALS, Manifest


@dataclass
class Part:
    """One part: its name and the files in it; those of an earlier round are in the folder of its name in originals/."""

    name: str
    voices: list[Classified] = field(default_factory=list)
    videos: list[Classified] = field(default_factory=list)

    @property
    def problem(self) -> Problem | None:
        """What keeps it from being rendered."""
        if len(self.voices) > 1:
            names = [PurePath(voice.entry.name).name for voice in self.voices]
            return Problem(code="too_many_audio", fields={"count": len(names), "names": names})
        if not self.voices:
            return Problem(code="needs_audio")
        return None if self.videos else Problem(code="needs_video")


def parts(members: Members, classified: Sequence[Classified], earlier: Manifest | None) -> list[Part]:
    """Return the parts, none for a folder that is no batch."""
    ours = manifest.results_of(earlier)
    inputs = [c for c in _without_lips(classified) if c.kind and (c.entry.name, c.entry.size) not in ours]
    top = _newest([c for c in inputs if not folder_of(c.entry.name)])
    nested: dict[str, list[Classified]] = {}
    for each in inputs:
        if folder := folder_of(each.entry.name):
            nested.setdefault(folder, []).append(each)
    if filename_rules.BATCH in members.controls:
        found = _of_voices([c for c in top if c.kind == "audio"])
        shared = _presenters(top) or _presenters(c for inside in nested.values() for c in inside)
    elif any(c.kind == "audio" for c in top):
        return []
    else:
        found, shared = _of_folders(nested, _presenters(top), earlier)
    for part in found:
        part.videos = part.videos or shared
    voiced = sum(bool(part.voices) for part in found)
    was_batch = earlier is not None and any(made.video.voice for made in earlier.made)
    return found if voiced > 1 or (voiced and (was_batch or filename_rules.BATCH in members.controls)) else []


def _presenters(files: Iterable[Classified]) -> list[Classified]:
    """Return the presenters among files; of pictures only those that are wanted were read."""
    return [c for c in files if c.kind in job_inputs.PRESENTERS_OF]


def _without_lips(classified: Sequence[Classified]) -> list[Classified]:
    """Return the files; a recording for the lips beside its voice counts as not used."""
    stems = {
        (folder_of(c.entry.name), filename_rules.fold(PurePath(c.entry.name).stem))
        for c in classified
        if c.kind == "audio"
    }
    lips = [
        c
        for c in classified
        if c.kind == "audio" and (folder_of(c.entry.name), filename_rules.lips_of(PurePath(c.entry.name).name)) in stems
    ]
    problem = Problem(code="left_out_lips")
    return [replace(c, kind=None, problem=problem) if c in lips else c for c in classified]


def folder_of(name: str) -> str:
    """Return which of the folder's own folders a file belongs to, "" for the top; `name`: relative to the folder."""
    return "" if name.startswith("../") else name.removeprefix(f"{ORIGINALS}/").rpartition("/")[0]


def _of_voices(voices: Sequence[Classified]) -> list[Part]:
    taken: set[str] = set()
    named = ((filename_rules.free_file_name(safe_stem(PurePath(v.entry.name).stem), taken), v) for v in voices)
    return [Part(name, [voice]) for name, voice in named]


def _of_folders(
    nested: Mapping[str, list[Classified]], shared: list[Classified], earlier: Manifest | None
) -> tuple[list[Part], list[Classified]]:
    """Return the parts and the videos that they share."""
    found = []
    for name, members in nested.items():
        if not earlier and all(is_kept(c.entry) for c in members if c.kind == "audio"):
            # Without a manifest a result is told from a new video by its name alone.
            made = {output_name(c.entry.name, set()) for c in (*shared, *members) if is_kept(c.entry)}
            members = [c for c in members if is_kept(c.entry) or PurePath(c.entry.name).name not in made]
        current = _newest(_of_last_round(name, members, earlier))
        found.append(Part(name, [c for c in current if c.kind == "audio"], _presenters(current)))
    if not shared:  # folders of presenters beside folders of voices
        shared = [video for part in found if not part.voices for video in part.videos]
        found = [part for part in found if part.voices]
    return found, shared


def _of_last_round(name: str, members: list[Classified], earlier: Manifest | None) -> list[Classified]:
    """Return a part's files; of several voices in originals/ that which its results were made from."""
    then = [m.video.voice for m in earlier.made if m.video.voice and m.video.part == name] if earlier else []
    kept = [c for c in members if c.kind == "audio" and is_kept(c.entry)]
    last = job_inputs.of_last_round(kept, then)
    return [c for c in members if c not in kept or c in (last or kept)]


def _newest(files: Sequence[Classified]) -> list[Classified]:
    """Return the files without those in originals/ that newer ones replace: voices any, videos of the same name."""
    fresh = [c for c in files if not is_kept(c.entry)]
    voiced = any(c.kind == "audio" for c in fresh)
    names = {filename_rules.fold(PurePath(c.entry.name).name) for c in fresh}
    return fresh + [
        c
        for c in files
        if is_kept(c.entry) and filename_rules.fold(PurePath(c.entry.name).name) not in names
        and not (voiced and c.kind == "audio" and folder_of(c.entry.name))
    ]  # fmt: skip


def wait_for_parts(found: Sequence[Part], members: Members, still_s: float, patience_s: float) -> None:
    """Raise NotReady while a part may still be completed: nobody copies 500 folders in one second.

    still_s  for how long nothing has changed. READY in the folder or in the part ends the wait.

    Raises NotReady("needs_audio" | "needs_video") if no part can be rendered at all.
    """
    problems = [part.problem for part in found if part.problem]
    if len(problems) == len(found):
        raise NotReady(problems[0].code, **problems[0].fields)
    controls = members.part_controls
    ready, cancel = filename_rules.READY, filename_rules.CANCEL
    waited = [p.name for p in found if p.problem and not {ready, cancel} & controls.get(p.name, set())]
    if waited and still_s < patience_s and ready not in members.controls:
        raise NotReady("batch_waits", names=waited, count=len(waited))


def compose(
    members: Members,
    classified: Sequence[Classified],
    found: Sequence[Part],
    settings: JobSettings,
    render: Render,
    earlier: Manifest | None,
    arrived: float,
    texts: Mapping[str, bytes],
    limits: Limits,
) -> Job:
    """Make the job record of a batch; see `job_record.compose`. Raises InputError("too_many_files")."""
    if (total := sum(len(part.videos) or 1 for part in found)) > limits.max_files_per_batch:
        raise InputError("too_many_files", count=total, limit=limits.max_files_per_batch)
    subtitles = job_inputs.choose_subtitles(members, settings.apply(render))
    settings = settings.model_copy(update={"speakers": ()})  # a part has one voice
    same = earlier if earlier and job_inputs.same_files(subtitles[0], earlier.beside) else None
    job_record.require_named(settings, [media_of(c.entry).title for part in found for c in part.videos])
    present = {(e.name, e.size) for e in members.folder.entries if e.kind == "file"}
    taken = {filename_rules.fold(e.name) for e in members.folder.entries if e.kind != "file"}
    videos: list[Video] = []
    for part in sorted(found, key=lambda p: filename_rules.fold(p.name)):
        cancelled = filename_rules.CANCEL in members.part_controls.get(part.name, set())
        problem = Problem(code="cancelled") if cancelled else part.problem
        videos += [_failed(part, problem)] if problem else _videos(part, settings, render, same, present, taken)
    used = {c.entry.name for part in found for c in (*part.voices, *part.videos)}
    used |= {made.output for made in earlier.made} if earlier else set()
    job = job_record.record_of(members, _without_lips(classified), used, settings, earlier, arrived, texts, subtitles)
    return job.model_copy(update={"videos": videos})


def _failed(part: Part, problem: Problem) -> Video:
    """Return what stands in the record for a part that cannot be rendered."""
    nothing = Media(name="", size=0, mtime_ns=0)
    return Video(source=nothing, output=f"{part.name}/", state="failed", problem=problem)


def _videos(
    part: Part, settings: JobSettings, render: Render, earlier: Manifest | None,
    present: Collection[tuple[str, int]], taken: set[str],
) -> list[Video]:  # fmt: skip
    voice, found = media_of(part.voices[0].entry), []
    names = {name.removeprefix(f"{part.name}/") for name in taken if name.startswith(f"{part.name}/")}
    for video in sorted(part.videos, key=lambda c: filename_rules.fold(PurePath(c.entry.name).name)):
        output = f"{part.name}/{output_name(video.entry.name, names)}"
        record = Video(source=media_of(video.entry), voice=voice.model_copy(), output=output)
        wanted = manifest.result_settings(settings, render, record.source.title)
        made = earlier.result_of(record.source, output, wanted) if earlier and is_kept(part.voices[0].entry) else None
        if (
            made
            and made.video.voice
            and job_inputs.was(part.voices[0].entry, made.video.voice)
            and (output, made.size) in present
        ):
            record = job_record.kept(record, made)
        elif problem := part.voices[0].problem or video.problem:
            record.state, record.problem = "failed", problem
        found.append(record)
    return found
