"""Where a fault is contained: one of the share or a disk pauses the queue, one of a single job backs that job off."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from loguru import logger

from ...errors import HeygemdError, InfrastructureError, LocalDiskError, NotReady, ShareError, describe
from ...job import Job
from ...storage import atomic, share_fs
from ...storage.availability import ShareAvailability
from ..intake.cancel import cancellation, mark_cancelled
from ..queue_state import BackOff, QueueState

PAUSE_S = 60.0
NO_SPACE_ON_SHARE = ("share_full", "share_low")
"""The share answers: work waits for free space, but the page can still be written."""
FOLDER_CODES = {"no_permission": "folder_no_permission", "held_open": "folder_open"}
"""What a fault of a file is called when it stops the whole folder."""


def pause_queue(state: QueueState, share: ShareAvailability, error: BaseException) -> None:
    """Start nothing for a while. Where the share cannot be used at all, its availability says when to continue."""
    if isinstance(error, OSError) and not share_fs.of_one_path(error):
        error = atomic.translate(error)  # faults of the share are typed already
    of_share = isinstance(error, ShareError) and error.code not in NO_SPACE_ON_SHARE
    if not isinstance(error, InfrastructureError) or of_share:
        share.lost(error)
        return
    if state.paused_by is None or state.paused_by.code != error.code:
        logger.warning("paused: {}", describe(error))
    state.paused_by = error
    state.paused_until = time.monotonic() + PAUSE_S


async def run_isolated(state: QueueState, share: ShareAvailability, job: Job, work: Awaitable[None]) -> None:
    """Await `work`; after a fault that concerns only this job it backs off and the others go on.

    Raises InfrastructureError, unless one local file of this job is what cannot be used.
    """
    try:
        await work
        _end_back_off(state, job)
    except InfrastructureError as error:
        if not _of_one_local_file(error):
            raise
        _back_off(state, job, error)
    except Exception as error:
        if isinstance(error, FileNotFoundError) and await _was_removed(share, job):
            return
        _back_off(state, job, error)


def _of_one_local_file(error: InfrastructureError) -> bool:
    """Whether a file or folder on a local disk is at fault and not the disk, such as one that belongs to root."""
    cause = error.__cause__
    return (
        isinstance(error, LocalDiskError)
        and isinstance(cause, OSError)
        and (isinstance(cause, PermissionError) or share_fs.of_one_path(cause))
    )


def _end_back_off(state: QueueState, job: Job) -> None:
    """Forget a back-off that is over; another video's success does not end it early."""
    back_off = state.backing_off.get(job.id)
    if back_off is not None and back_off.until <= time.monotonic():
        del state.backing_off[job.id]


async def _was_removed(share: ShareAvailability, job: Job) -> bool:
    removed = await share.thread.call(cancellation, share.root, job) == "removed"
    if removed:
        mark_cancelled(job, "removed")
    return removed


def _back_off(state: QueueState, job: Job, error: Exception) -> None:
    typed = error if isinstance(error, HeygemdError) else NotReady("unexpected_error", describe(error), name=job.name)
    if typed.code in FOLDER_CODES:
        typed = NotReady(FOLDER_CODES[typed.code], describe(error), name=job.name)
    if job.id not in state.backing_off:
        unforeseen = None if isinstance(error, HeygemdError) else error
        say = logger.bind(job=job.name, id=job.id).opt(exception=unforeseen)
        say.error("backing off: {}", describe(typed))
    state.backing_off[job.id] = BackOff(typed, time.monotonic() + PAUSE_S)
