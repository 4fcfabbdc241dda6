"""Publishes a job: builds its final folder inside processing/, then moves it to done/ or failed/ by one rename.

Everything runs on the I/O thread in steps, each of which can be repeated after a crash. Results stay in the job's
hidden folder until then; originals are only renamed, never changed.
"""

from __future__ import annotations

import os
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ...fault_points import point
from ...job import Job, Video, safe_stem
from ...storage import share_fs, transfer
from ...storage.atomic import BLOCK_BYTES, translating
from ...storage.transfer import Steps
from ..intake import filename_rules, job_folder
from ..intake.job_folder import LOG_NOTE, REPORT
from ..intake.manifest import FILE as MANIFEST_FILE
from ..intake.manifest import ORIGINALS, compose, parse
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
    digest = yield from transfer.copy_out(local, hidden / video.output, group)
    return digest


def missing_results(folder: Path, job: Job) -> list[Video]:
    """Return the finished videos whose result is no longer in the folder, because a user removed it."""
    job_folder.must_exist(folder)
    top = set(share_fs.names(folder))
    hidden = set(job_folder.hidden_names(folder))
    return [v for v in job.videos if v.state == "done" and v.output not in (top if v.kept else hidden | top)]


def destination(share: Path, job: Job) -> str:
    """Return a free "done/NAME" or "failed/NAME" for the job."""
    outcome = "done" if job.succeeded else "failed"
    taken = {filename_rules.fold(n) for n in share_fs.names(share / outcome)}
    return f"{outcome}/{filename_rules.free_name(job.name, taken, time.strftime('%Y%m%d-%H%M%S'))}"


def publish(
    share: Path, job: Job, files: ReportFiles, settings: dict[str, object], zip_results: bool, group: int | None
) -> Steps[None]:
    """Move the job's folder to `job.destination`. Can be repeated. Raises the errors of `share_fs`."""
    source, target = share / "processing" / job.folder, share / job.destination
    if not share_fs.exists(source):
        if share_fs.exists(target):
            return
        raise FileNotFoundError(str(source))
    if job.succeeded:
        yield from _move_originals(source, job, group)
        yield from _move_results(source, job)
        if zip_results:
            yield from _zip_results(source, job, group)
        sizes = {v.output: share_fs.fingerprint(source / v.output)[0] for v in job.videos if v.state == "done"}
        share_fs.write(source / share_fs.HIDDEN / MANIFEST_FILE, compose(job, settings, sizes), group)
    yield 0
    _write_report(source, files, group)
    job_folder.clean_hidden(source, {MANIFEST_FILE, *preview_store.file_names(job)} if job.succeeded else set())
    share_fs.open_to_group(source, group)
    point("publish")
    yield from transfer.move(source, target)


def _move_originals(folder: Path, job: Job, group: int | None) -> Steps[None]:
    share_fs.make_folder(folder / ORIGINALS, group)
    taken = {filename_rules.fold(n) for n in share_fs.names(folder / ORIGINALS)}
    for media in [job.voice, *(v.source for v in job.videos), *job.extra]:
        here = folder / media.name
        if media.name.startswith((f"{ORIGINALS}/", "../")) or not share_fs.exists(here):
            continue
        if share_fs.fingerprint(here) == (media.size, media.mtime_ns):
            # A file of a second round must not replace an original of the first.
            share_fs.rename(here, folder / ORIGINALS / filename_rules.free_file_name(media.title, taken))
            point("originals")
            yield 0
        if here.parent != folder:
            share_fs.remove_folder(here.parent)


def _move_results(folder: Path, job: Job) -> Steps[None]:
    earlier = None
    if share_fs.exists(folder / share_fs.HIDDEN / MANIFEST_FILE):
        earlier = parse(share_fs.read(folder / share_fs.HIDDEN / MANIFEST_FILE, 4 << 20))
    ours = {(m.output, m.size) for m in earlier.made} if earlier else set()
    for video in job.videos:
        made = folder / share_fs.HIDDEN / video.output
        if video.state != "done" or video.kept or not share_fs.exists(made):
            continue
        shown = folder / video.output
        if share_fs.exists(shown) and (video.output, share_fs.fingerprint(shown)[0]) in ours:
            share_fs.remove(shown)  # our own video of an earlier round; the new one is verified
        share_fs.rename(made, shown)
        yield 0


def _zip_results(folder: Path, job: Job, group: int | None) -> Steps[None]:
    """Put all results into one ZIP for a single download; stored, because videos do not compress."""
    target = folder / f"HEYGEMD-{safe_stem(job.name)}.zip"
    with (
        translating(share_fs.translate, target),
        share_fs.create(target, group) as part,
        os.fdopen(os.dup(part.descriptor), "wb") as sink,
        zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive,
    ):
        for video in job.videos:
            if video.state != "done":
                continue
            opened = share_fs.open_file(folder / video.output)
            with opened as source, archive.open(video.output, "w", force_zip64=True) as member:
                while block := source.read(BLOCK_BYTES):
                    member.write(block)
                    yield 0


def _write_report(folder: Path, files: ReportFiles, group: int | None) -> None:
    for name in share_fs.names(folder):
        if filename_rules.control(name) and share_fs.fingerprint(folder / name)[0] == 0:
            share_fs.remove(folder / name)
    if share_fs.exists(folder / REPORT) and REPORT_MARK not in share_fs.read(folder / REPORT):
        taken = {filename_rules.fold(n) for n in share_fs.names(folder)}
        share_fs.rename(folder / REPORT, folder / filename_rules.free_name("their-report.html", taken, "0"))
    share_fs.write(folder / REPORT, files.report, group)
    share_fs.write(folder / LOG_NOTE, files.log, group)
    if files.why is not None:
        share_fs.write(folder / filename_rules.WHY_NOTE, files.why, group)
