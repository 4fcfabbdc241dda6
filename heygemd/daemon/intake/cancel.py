"""How users stop a job: a file named CANCEL in its folder, or taking the folder out of processing/."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from loguru import logger

from ...job import Job, Problem, Video
from ...storage import share_fs
from ...storage.availability import ShareAvailability
from . import filename_rules

UNPUBLISHED = ("waiting", "rendered")
"""States of a video whose result the share does not have yet."""


async def heed(share: ShareAvailability, job: Job, videos: Iterable[Video]) -> None:
    """Write into the record that users stopped the job or parts of a batch. Raises the errors of `share_fs`.

    videos  of the job, whose parts are looked at: each is a folder to list, and a batch may have hundreds
    """
    if code := await share.thread.call(cancellation, share.root, job):
        mark_cancelled(job, code)
        return
    for part in sorted({video.part for video in videos if video.state in UNPUBLISHED} - {""}):
        if await share.thread.call(_part_cancelled, share.root, job, part):
            _mark_part_cancelled(job, part)


def cancellation(share: Path, job: Job) -> str:
    """Return "cancelled" when the job's folder holds CANCEL, "removed" when the folder is gone, else ""."""
    folder = share / "processing" / job.folder
    if not share_fs.is_folder(folder):
        return "removed" if share_fs.is_folder(share / "processing") else ""
    return "cancelled" if _holds_cancel(folder) else ""


def _part_cancelled(share: Path, job: Job, part: str) -> bool:
    """Return whether the folder of a batch's part holds CANCEL: the other parts go on."""
    folder = share / "processing" / job.folder / part
    return share_fs.is_folder(folder) and _holds_cancel(folder)


def _holds_cancel(folder: Path) -> bool:
    return filename_rules.CANCEL in filename_rules.controls(share_fs.kinds(folder))


def _mark_part_cancelled(job: Job, part: str) -> None:
    """Write into the record that users stopped one part of a batch."""
    for video in job.videos:
        if video.part == part and video.state in UNPUBLISHED:
            video.state, video.problem = "failed", Problem(code="cancelled")
    logger.bind(job=job.name, id=job.id).warning("{}: stopped: cancelled", part)


def mark_cancelled(job: Job, code: str) -> None:
    """Write into the record that users stopped the job; `code`: what `cancellation` returned."""
    job.problem = Problem(code=code)
    logger.bind(job=job.name, id=job.id).warning("stopped: {}", code)
