"""Publishes a job: builds its final folder inside processing/, then moves it to done/ or failed/ by one rename.

Everything runs on the I/O thread in steps, each of which can be repeated after a crash. Results stay in the job's
hidden folder until then; originals are only renamed, never changed.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...config.schema import Render
from ...errors import NotReady, printable
from ...fault_points import point
from ...job import Job, Media, Video, safe_stem
from ...storage import share_fs, share_owner, share_paths, transfer
from ...storage.atomic import BLOCK_BYTES, translating
from ...storage.transfer import Steps
from ..intake import filename_rules, job_folder, manifest
from ..intake.folder_changes import FolderChanged, require_unchanged, shown_results
from ..intake.job_folder import LOG_NOTE, REPORT
from ..intake.manifest import FILE as MANIFEST_FILE
from ..intake.manifest import ORIGINALS, compose
from . import preview_store

REPORT_MARK = b"heygemd"
"""In every report of ours; a report without it belongs to a user."""


@dataclass(frozen=True)
class ReportFiles:
    """The contents of the files beside the results; `why`: the note on failures, None if nothing failed."""

    report: bytes
    log: bytes
    why: bytes | None


def keep_result(local: Path, folder: Path, video: Video, group: int | None) -> Steps[str]:
    """Copy a finished video into the job's hidden folder on the share; return its digest."""
    hidden = folder / share_fs.HIDDEN
    share_fs.make_folder(hidden, group)
    digest = yield from transfer.copy_out(local, hidden / video.hidden_name, group)
    return digest


def missing_results(folder: Path, job: Job) -> list[Video]:
    """Return the finished videos whose result is no longer in the folder, because a user removed it."""
    job_folder.must_exist(folder)
    hidden = set(job_folder.hidden_files(folder))
    done = [v for v in job.videos if v.state == "done"]
    shown = {f"{part}/{name}" if part else name for part in {v.part for v in done} for name in _files(folder / part)}
    return [v for v in done if v.output not in shown and (v.kept or v.hidden_name not in hidden)]


def _files(folder: Path) -> list[str]:
    return job_folder.files(folder) if share_fs.is_folder(folder) else []


def destination(share: Path, job: Job) -> str:
    """Return a free "done/NAME" or "failed/NAME" for the job."""
    return free_folder(share, "done" if job.succeeded else "failed", job.name)


def free_folder(share: Path, place: str, name: str) -> str:
    """Return a free "PLACE/NAME"."""
    taken = {filename_rules.fold(n) for n in share_fs.names(share / place)}
    return f"{place}/{filename_rules.free_name(name, taken, time.strftime('%Y%m%d-%H%M%S'))}"


def publish(share: Path, job: Job, files: ReportFiles, render: Render, group: int | None) -> Steps[None]:
    """Move the job's folder to `job.destination`. Can be repeated. Raises the errors of `share_fs`."""
    source, target = share / "processing" / job.folder, share / job.destination
    if not share_fs.is_folder(source):
        if share_fs.is_folder(target):
            return
        raise FileNotFoundError(str(source))
    done = [v for v in job.videos if v.state == "done"]
    if job.problem is None:
        yield from require_unchanged(source, job)
    if job.succeeded:
        yield from _withdraw(source, [v for v in job.videos if v.state != "done"])
        results = shown_results(source, job)
        yield from _move_originals(source, [*job.inputs(), *job.extra], results, group, job.is_batch)
        if len((yield from _move_results(source, done, group))) < len(done):
            raise FolderChanged  # a user's file has the name of a result, or something else lies in its place
        if render.zip_results:
            yield from _zip_results(source, job, group)
        sizes = {v.output: share_fs.fingerprint(source / v.output)[0] for v in done}
        share_fs.write(source / share_fs.HIDDEN / MANIFEST_FILE, compose(job, render, sizes), group)
    for part in ("", *sorted({video.part for video in job.videos} - {""})):
        _remove_control_files(source / part)
        yield 0
    _write_report(source, files, group)
    job_folder.clean_hidden(source, {MANIFEST_FILE, *preview_store.file_names(done)} if job.succeeded else set())
    share_owner.open_to_group(source, group)
    point("publish")
    if job.succeeded:
        yield from require_unchanged(source, job)
    yield from transfer.move(source, target)


def return_to_inbox(
    share: Path, job: Job, changed: list[Media], addition: str, render: Render, group: int | None
) -> Steps[None]:
    """Move the job's folder to `job.destination` in the inbox, to be looked at anew. Can be repeated until it is there.

    It is left as a finished folder is: originals in originals/, results beside it and in the manifest, so that only
    what changed is rendered again.

    changed   inputs whose results are worth nothing
    addition  name of a folder in the inbox whose files belong to the job and are moved into it, "" if there is none
    """
    source, target = share / "processing" / job.folder, share / job.destination
    late = share / "inbox" / addition if addition else None
    taken = {filename_rules.fold(n) for n in share_fs.names(late)} if late else set()
    bad = {media.name for media in changed}
    good = [v for v in job.videos if v.state == "done" and not {media.name for media in job.made_of(v)} & bad]
    good = [v for v in good if filename_rules.fold(v.output) not in taken]
    yield from _withdraw(source, [v for v in job.videos if v not in good])
    try:
        if good:
            names = {media.name for v in good for media in job.made_of(v)}
            wanted = [media for media in job.inputs() if media.name in names]
            yield from _move_originals(source, wanted, shown_results(source, job), group, job.is_batch)
        good = yield from _move_results(source, good, group)
        sizes = {v.output: share_fs.fingerprint(source / v.output)[0] for v in good}
        share_fs.make_folder(source / share_fs.HIDDEN, group)
        manifest = compose(job, render, sizes, job.rounds + (late is None))
        share_fs.write(source / share_fs.HIDDEN / MANIFEST_FILE, manifest, group)
    except NotReady:
        if good:
            raise  # we may only rename this folder: it goes back as it is
    if late is not None:
        yield from _take_in(late, source, source / ORIGINALS, group, job.is_batch)
    job_folder.clean_hidden(source, {MANIFEST_FILE, *preview_store.file_names(good)})
    point("return")
    yield from transfer.move(source, target)


def _withdraw(folder: Path, videos: Iterable[Video]) -> Steps[None]:
    """Remove results that were shown already and whose originals changed since."""
    for video in videos:
        shown = folder / video.output
        if (
            not video.output_digest
            or not share_fs.is_file(shown)
            or share_fs.exists(folder / share_fs.HIDDEN / video.hidden_name)
        ):
            continue
        if (yield from transfer.digest(shown)) == video.output_digest:
            share_fs.remove(shown)


def _take_in(late: Path, folder: Path, originals: Path, group: int | None, is_batch: bool) -> Steps[None]:
    """Move files from the inbox into the job that they belong to; what they replace goes to `originals`.

    Of a folder that is there already, in a batch its files are replaced too; otherwise all are kept.
    """
    share_fs.make_folder(originals, group)
    for name in share_fs.names(late):
        if name == filename_rules.WAITING_NOTE:
            share_fs.remove(late / name)
            continue
        if share_fs.is_folder(late / name) and share_fs.is_folder(folder / name):
            if is_batch:
                yield from _take_in(late / name, folder / name, originals / name, group, is_batch)
            else:
                yield from _merge(late / name, folder / name)
            continue
        for there in share_fs.names(folder):
            if filename_rules.fold(there) == filename_rules.fold(name):
                share_fs.rename_noted(folder / there, filename_rules.REPLACED, originals)
        share_fs.rename(late / name, folder / name)
        point("taken-in")
        yield 0
    share_fs.remove_folder(late)


def _merge(late: Path, folder: Path) -> Steps[None]:
    """Move everything from a folder into another one; nothing is replaced."""
    taken = {filename_rules.fold(n) for n in share_fs.names(folder)}
    for name in share_fs.names(late):
        share_fs.rename(late / name, folder / filename_rules.free_file_name(name, taken))
        point("taken-in")
        yield 0
    share_fs.remove_folder(late)


def _move_originals(
    folder: Path, wanted: Sequence[Media], results: set[str], group: int | None, in_folders: bool
) -> Steps[None]:
    """Move files from the job's folder, unless our own `results` already lie there under their names.

    One of an earlier round that lies under the name of a new one gets another name, which says so: the next round
    knows by their names which of them count.

    `in_folders`: a file in a folder goes into a folder of that name.
    """
    share_fs.make_folder(folder / ORIGINALS, group)
    moved = (m for m in wanted if not m.is_template and not m.name.startswith(f"{ORIGINALS}/"))
    fresh = [media for media in moved if media.name not in results]
    targets = {media.name: folder / ORIGINALS / (media.name if in_folders else media.title) for media in fresh}
    taken: dict[Path, set[str]] = {}
    for media in fresh:
        here, target = folder / media.name, targets[media.name]
        if not share_fs.is_file(here):
            continue
        if target.parent not in taken:
            share_fs.make_folder(target.parent, group)
            taken[target.parent] = {filename_rules.fold(n) for n in share_fs.names(target.parent)}
        if filename_rules.fold(media.title) in taken[target.parent]:
            same = filename_rules.fold(str(target))  # "A.MP4" and "a.mp4" may both be of this job
            others = [m for m in wanted if filename_rules.fold(str(targets.get(m.name, folder / m.name))) == same]
            others = [m for m in others if m is not media]
            if _replace_older(target, others):
                taken[target.parent].remove(filename_rules.fold(media.title))
        share_fs.rename(here, target.with_name(filename_rules.free_file_name(media.title, taken[target.parent])))
        point("originals")
        yield 0
        if here.parent != folder:
            share_fs.remove_folder(here.parent)


def _replace_older(target: Path, others: Sequence[Media]) -> bool:
    """Rename the file that lies under the name of a new one, unless it is one of the job's `others` of that name."""
    name = next(n for n in share_fs.names(target.parent) if filename_rules.fold(n) == filename_rules.fold(target.name))
    older = target.with_name(name)
    if not share_fs.is_file(older) or share_fs.fingerprint(older) in {(m.size, m.mtime_ns) for m in others}:
        return False
    share_fs.rename_noted(older, filename_rules.REPLACED, older.parent)
    return True


def _move_results(folder: Path, videos: Iterable[Video], group: int | None) -> Steps[list[Video]]:
    """Show the results at the top of the folder; return those that are there: a user's file of that name stays."""
    ours, there = manifest.results_of(manifest.read(folder)), []
    for video in videos:
        made, shown = folder / share_fs.HIDDEN / video.hidden_name, folder / video.output
        if not video.kept and share_fs.is_file(made):
            if video.part:
                share_fs.make_folder(shown.parent, group)
            if share_fs.is_file(shown) and (video.output, share_fs.fingerprint(shown)[0]) in ours:
                share_fs.remove(shown)  # our own video of an earlier round; the new one is verified
            share_fs.make_way(shown)
            if share_fs.exists(shown):
                continue
            share_fs.rename(made, shown)
        if share_fs.is_file(shown):
            there.append(video)
        yield 0
    return there


def _zip_results(folder: Path, job: Job, group: int | None) -> Steps[None]:
    """Put all results into one ZIP for a single download; stored, because videos do not compress."""
    target = folder / f"HEYGEMD-{safe_stem(job.name)}.zip"
    with (
        translating(share_paths.translate, target),
        share_fs.create(target, group) as part,
        os.fdopen(os.dup(part.descriptor), "wb") as sink,
        zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive,
    ):
        for video in job.videos:
            if video.state != "done":
                continue
            opened = share_paths.open_file(folder / video.output)
            with opened as source, archive.open(printable(video.output), "w", force_zip64=True) as member:
                while block := source.read(BLOCK_BYTES):
                    member.write(block)
                    yield 0


def _remove_control_files(folder: Path) -> None:
    """Remove what was said once; that a folder is a batch holds for its next round too."""
    for name, kind in share_fs.kinds(folder).items() if share_fs.is_folder(folder) else ():
        said_once = filename_rules.control(name, kind) not in ("", filename_rules.BATCH)
        if said_once and share_fs.fingerprint(folder / name)[0] == 0:
            share_fs.remove(folder / name)


def _write_report(folder: Path, files: ReportFiles, group: int | None) -> None:
    if not _may_replace(folder / REPORT):
        share_fs.set_aside(folder / REPORT)
    share_fs.write(folder / REPORT, files.report, group)
    share_fs.write(folder / LOG_NOTE, files.log, group)
    if files.why is not None:
        share_fs.write(folder / filename_rules.WHY_NOTE, files.why, group)


def _may_replace(report: Path) -> bool:
    """Return whether nothing or a report of ours lies there; what cannot be read is not ours."""
    try:
        return REPORT_MARK in share_fs.read(report)
    except FileNotFoundError:
        return True
    except NotReady:
        return False
