"""From processing/ to done/ or failed/: each step can be repeated after a crash, one last rename shows it all at once.

These run on the I/O thread, step by step. Until the last rename results lie in the job's hidden folder; originals are
moved by rename only and never changed.
"""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ...errors import NotReady
from ...fault_points import point
from ...job import Job, Media, Video, safe_stem
from ...storage import share_fs, transfer
from ...storage.atomic import BLOCK_BYTES, PART
from ...storage.transfer import Steps
from ..intake import filename_rules
from ..intake.manifest import FILE as MANIFEST_FILE
from ..intake.manifest import ORIGINALS, compose, parse
from . import preview_store

LOG_NOTE = "HEYGEMD-log.txt"
REPORT = "report.html"
OUR_MARK = b"heygemd"
"""Stands in every report of ours; one without it is staff's own."""
OWNER = "owner"
HALF_MADE = (OWNER, ".mp4", PART)


@dataclass(frozen=True)
class Papers:
    """What is put beside the results; `why` only where something failed."""

    report: bytes
    log: bytes
    why: bytes | None


def keep_result(local: Path, folder: Path, video: Video, group: int | None) -> Steps[str]:
    """Copy a finished video into the job's hidden folder on the share, verified; return its digest."""
    hidden = folder / share_fs.HIDDEN
    share_fs.make_folder(hidden, group)
    digest = yield from transfer.copy_out(local, hidden / video.output, group)
    return digest


def missing_results(folder: Path, job: Job) -> list[Video]:
    """Return the videos whose finished result is no longer where it was kept (somebody cleaned up)."""
    _must_be_there(folder)
    top = set(share_fs.names(folder))
    hidden = set(_hidden_names(folder))
    return [v for v in job.videos if v.state == "done" and v.output not in (top if v.kept else hidden | top)]


def _must_be_there(folder: Path) -> None:
    """What lies in a folder that is not there is not known; a share that went away must not look like an empty one."""
    if not share_fs.exists(folder):
        raise FileNotFoundError(str(folder))


def destination(share: Path, job: Job) -> str:
    """Return a free "done/NAME" or "failed/NAME" for the job."""
    outcome = "done" if job.succeeded else "failed"
    taken = {filename_rules.fold(n) for n in share_fs.names(share / outcome)}
    return f"{outcome}/{filename_rules.free_name(job.name, taken, time.strftime('%Y%m%d-%H%M%S'))}"


def publish(
    share: Path, job: Job, papers: Papers, wishes: dict[str, object], zip_results: bool, group: int | None
) -> Steps[None]:
    """Bring the job's folder to `job.destination`. Repeatable; raises the faults of `files`."""
    source, target = share / "processing" / job.folder, share / job.destination
    if not share_fs.exists(source):
        if share_fs.exists(target):
            return
        raise FileNotFoundError(str(source))
    if job.succeeded:
        yield from _settle_originals(source, job, group)
        yield from _show_results(source, job)
        if zip_results:
            yield from _zip(source, job, group)
        sizes = {v.output: share_fs.fingerprint(source / v.output)[0] for v in job.videos if v.state == "done"}
        share_fs.write(source / share_fs.HIDDEN / MANIFEST_FILE, compose(job, wishes, sizes), group)
    yield 0
    _leave_papers(source, papers, group)
    _tidy_hidden(source, {MANIFEST_FILE, *preview_store.names(job)} if job.succeeded else set())
    share_fs.open_to_group(source, group)
    point("publish")
    yield from transfer.move(source, target)


def _settle_originals(folder: Path, job: Job, group: int | None) -> Steps[None]:
    share_fs.make_folder(folder / ORIGINALS, group)
    taken = {filename_rules.fold(n) for n in share_fs.names(folder / ORIGINALS)}
    for media in [job.voice, *(v.source for v in job.videos), *job.extra]:
        here = folder / media.name
        if "/" in media.name or not share_fs.exists(here) or share_fs.fingerprint(here) != (media.size, media.mtime_ns):
            continue
        kept_as = _free_file_name(media, taken)
        share_fs.rename(here, folder / ORIGINALS / kept_as)
        point("originals")
        yield 0


def _free_file_name(media: Media, taken: set[str]) -> str:
    """A file replaced in a second round must not replace the first one's original."""
    path, number = Path(media.name), 2
    candidate = media.name
    while filename_rules.fold(candidate) in taken:
        candidate, number = f"{path.stem} ({number}){path.suffix}", number + 1
    taken.add(filename_rules.fold(candidate))
    return candidate


def _show_results(folder: Path, job: Job) -> Steps[None]:
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
            share_fs.remove(shown)  # the same video of an earlier round: ours, and the new one lies verified beside it
        share_fs.rename(made, shown)
        yield 0


def _zip(folder: Path, job: Job, group: int | None) -> Steps[None]:
    """Put all results into one archive for a single download; videos do not compress, so they are stored."""
    target = folder / f"HEYGEMD-{safe_stem(job.name)}.zip"
    part = folder / share_fs.HIDDEN / "results.zip"
    with share_fs.on_share(zipfile.ZipFile)(part, "w", zipfile.ZIP_STORED) as archive:
        for video in job.videos:
            if video.state != "done":
                continue
            with open(folder / video.output, "rb") as source, archive.open(video.output, "w", force_zip64=True) as sink:
                while block := share_fs.on_share(source.read)(BLOCK_BYTES):
                    share_fs.on_share(sink.write)(block)
                    yield 0
    share_fs.yield_to_group(part, group)
    share_fs.remove(target)
    share_fs.rename(part, target)


def _leave_papers(folder: Path, papers: Papers, group: int | None) -> None:
    for name in share_fs.names(folder):
        if filename_rules.control(name) and share_fs.fingerprint(folder / name)[0] == 0:
            share_fs.remove(folder / name)
    if share_fs.exists(folder / REPORT) and OUR_MARK not in share_fs.read(folder / REPORT):
        taken = {filename_rules.fold(n) for n in share_fs.names(folder)}
        share_fs.rename(folder / REPORT, folder / filename_rules.free_name("their-report.html", taken, "0"))
    share_fs.write(folder / REPORT, papers.report, group)
    share_fs.write(folder / LOG_NOTE, papers.log, group)
    if papers.why is not None:
        share_fs.write(folder / filename_rules.WHY_NOTE, papers.why, group)


def _tidy_hidden(folder: Path, keep: Collection[str]) -> None:
    hidden = folder / share_fs.HIDDEN
    for name in _hidden_names(folder):
        if name not in keep:
            share_fs.remove(hidden / name)
    if share_fs.is_folder(hidden):
        share_fs.remove_folder(hidden)


def _hidden_names(folder: Path) -> list[str]:
    """Return what lies in our hidden folder; staff can put a link in its place, which is not followed."""
    hidden = folder / share_fs.HIDDEN
    return share_fs.names(hidden) if share_fs.is_folder(hidden) else []


def put_back(share: Path, job: Job) -> Steps[str]:
    """Return a claimed folder to the inbox because it was still changing; returns its name there."""
    source = share / "processing" / job.folder
    taken = {filename_rules.fold(n) for n in share_fs.names(share / "inbox")}
    name = filename_rules.free_name(job.name, taken, time.strftime("%Y%m%d-%H%M%S"))
    _tidy_hidden(source, [n for n in _hidden_names(source) if not n.endswith(HALF_MADE)])
    yield from transfer.move(source, share / "inbox" / name)
    return name


def clean_scratch(folder: Path) -> None:
    """Remove a job's local scratch; ours alone, never on the share."""
    shutil.rmtree(folder, ignore_errors=True)


def cancel_wanted(share: Path, job: Job) -> str:
    """Return "cancelled" when staff put CANCEL into the folder, "removed" when they took it away, else ""."""
    folder = share / "processing" / job.folder
    if not share_fs.exists(folder):
        return "removed" if share_fs.exists(share / "processing") else ""
    if any(filename_rules.control(n) == filename_rules.CANCEL for n in share_fs.names(folder)):
        return "cancelled"
    return ""


def claim(share: Path, job: Job, instance: str, group: int | None) -> Steps[None]:
    """Take a folder out of the inbox by one rename and mark it as ours. The loser of a race sees FileNotFoundError."""
    source, target = share / "inbox" / job.name, share / "processing" / job.folder
    _must_be_there(source)
    if (yield from transfer.move(source, target)):
        for media in (job.voice, *(video.source for video in job.videos), *job.extra):
            if media.name:  # a rejected folder has no voice
                _, media.mtime_ns = share_fs.fingerprint(target / media.name)
    point("claim")
    own(target, instance, group)


def claim_happened(share: Path, job: Job) -> bool:
    """For a claim cut short by a crash: return whether the folder had been renamed."""
    _must_be_there(share / "processing")
    return share_fs.exists(share / "processing" / job.folder) and not share_fs.exists(share / "inbox" / job.name)


def own(folder: Path, instance: str, group: int | None) -> None:
    """Mark a folder in processing/ as this daemon's, so that another one leaves it alone; its notes are moot."""
    try:
        share_fs.make_folder(folder / share_fs.HIDDEN, group)
        share_fs.write(folder / share_fs.HIDDEN / OWNER, instance.encode(), group)
        for note in (filename_rules.WAITING_NOTE, filename_rules.WHY_NOTE):
            share_fs.remove(folder / note)
    except NotReady:
        # A folder that staff own and we may only rename: results cannot be put into it; publishing will say so.
        return
