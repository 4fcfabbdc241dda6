"""Where a fault is contained: one of the share or a disk pauses the queue, one of a single job backs that job off.

A fault that a job meets although other work has gone on since it last met one is its own, whatever it looks like.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable
from pathlib import Path

from loguru import logger

from ...config.schema import Config
from ...errors import HeygemdError, InfrastructureError, LocalDiskError, ShareError, describe, of_one_job
from ...job import Job
from ...storage import atomic, share_paths
from ...storage.availability import ShareAvailability
from ..intake.cancel import cancellation, mark_cancelled
from ..job_store import Store
from ..queue_state import BackOff, QueueState
from . import retry_policy

PAUSE_S, PLACE_PAUSE_S, COPY_PAUSE_S = 60.0, 5.0, 5.0
HOUR_S = 3600.0
SHARE_ANSWERS = ("share_full", "share_low", "share_place_unusable")
"""The share answers: work waits for free space or for one of its folders, but the page can still be written."""
SPACE_FAULTS = ("scratch_low", "share_low")
"""Faults that end when the videos rendered beside this one free their disk space."""


class FaultIsolation:
    """Decides whom a fault holds up, and ends a job that cannot go on."""

    def __init__(self, config: Config, state: QueueState, store: Store, share: ShareAvailability) -> None:
        """`config`, `store`: when a job's back-offs end it, and where they are counted."""
        self.config = config
        self.state = state
        self.store = store
        self.share = share

    def pause_queue(self, error: BaseException) -> None:
        """Start nothing for a while. Where the share cannot be used at all, its availability says when to continue."""
        if isinstance(error, OSError) and not share_paths.of_one_path(error):
            error = atomic.translate(error)  # faults of the share are typed already
        if not isinstance(error, InfrastructureError):
            error = _place_unusable(error)
        if isinstance(error, ShareError) and error.code not in SHARE_ANSWERS:
            self.share.lost(error)
            return
        if self.state.paused_by is None or self.state.paused_by.code != error.code:
            logger.warning("paused: {}", describe(error))
        self.state.paused_by = error
        pause_s = PLACE_PAUSE_S if error.code == "share_place_unusable" else PAUSE_S
        self.state.paused_until = time.monotonic() + pause_s

    async def run(self, job: Job, work: Awaitable[None]) -> None:
        """Await `work`; after a fault that concerns only this job it backs off and the others go on.

        Raises InfrastructureError where the share or a disk may be at fault; other jobs are then tried first.
        """
        try:
            await work
            if job.phase != "claiming":  # a claim that did not happen proves nothing
                self.state.worked(job)
            self._end_back_off(job)
        except InfrastructureError as error:
            if error.code in SPACE_FAULTS and len(self.state.running) > 1:
                raise
            if not self._is_of_this_job(job, error):
                self.state.suspect(job)
                raise
            self._back_off(job, error)
        except Exception as error:
            if isinstance(error, FileNotFoundError) and await self._was_removed(job):
                return
            self._back_off(job, error)

    def _is_of_this_job(self, job: Job, error: InfrastructureError) -> bool:
        return self.state.others_worked_since_suspected(job) or self._is_of_one_local_file(error)

    def _is_of_one_local_file(self, error: InfrastructureError) -> bool:
        """Whether one local file or folder is at fault, such as one that belongs to root, and not the disk."""
        cause = error.__cause__
        if not isinstance(error, LocalDiskError) or not isinstance(cause, OSError):
            return False
        of_one = isinstance(cause, PermissionError) or share_paths.of_one_path(cause)
        return of_one and self._disks_are_writable()

    def _disks_are_writable(self) -> bool:
        try:
            for folder in (self.store.folder, self.config.paths.cache / "jobs"):
                atomic.check_writable(folder)
        except LocalDiskError:
            return False
        return True

    def _end_back_off(self, job: Job) -> None:
        """Forget a back-off that is over; another video's success does not end it early."""
        back_off = self.state.backing_off.get(job.id)
        if back_off is not None and back_off.until <= time.monotonic():
            del self.state.backing_off[job.id]

    async def _was_removed(self, job: Job) -> bool:
        removed = await self.share.thread.call(cancellation, self.share.root, job) == "removed"
        if removed:
            mark_cancelled(job, "removed")
        return removed

    def _back_off(self, job: Job, error: Exception) -> None:
        """Leave the job alone for a while; one that was held up for too long in all gives up something."""
        typed = of_one_job(job.name, error)
        say = logger.bind(job=job.name, id=job.id)
        copying = typed.code == "more_coming"
        if job.id not in self.state.backing_off:
            unforeseen = None if isinstance(error, HeygemdError) else error
            level, what = ("INFO", "waiting") if copying else ("ERROR", "backing off")
            detail = f" ({describe(error)})" if error is not typed else ""
            say.opt(exception=unforeseen).log(level, "{}: {}{}", what, describe(typed), detail)
        pause_s = COPY_PAUSE_S if copying else PAUSE_S
        self.state.backing_off[job.id] = BackOff(typed, time.monotonic() + pause_s)
        job.back_offs += pause_s / PAUSE_S
        if job.back_offs * PAUSE_S >= self.config.attempts.blocked_fail_after_h * HOUR_S:
            busy = [run.video for run in self.state.running_of(job) if not run.concluding]
            retry_policy.give_up(job, typed, busy)
            del self.state.backing_off[job.id]
        with contextlib.suppress(LocalDiskError):  # its record may be what cannot be written
            self.store.save(job)


def _place_unusable(error: BaseException) -> ShareError:
    """Return the fault of one of the share's folders that everything needs, such as processing/."""
    path = error.fields.get("path") if isinstance(error, HeygemdError) else getattr(error, "filename", None)
    return ShareError("share_place_unusable", describe(error), path=str(path), name=Path(str(path)).name)
