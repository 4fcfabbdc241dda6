"""Folders become jobs: taken out of the inbox by one rename, recorded before it and confirmed after a crash."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from loguru import logger

from ...errors import NotReady, describe
from ...job import Job
from ...storage import share_fs
from ..publish import publish
from . import filename_rules
from .settle import Pending

if TYPE_CHECKING:
    from ..jobs.scheduler import Scheduler

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)
STILL_CHANGING = ("changed_after_claim", "changed_while_copying")


class Claims:
    """Takes the next folder, and gives back one that was not ready after all."""

    def __init__(self, scheduler: Scheduler) -> None:
        """`scheduler`: whose jobs these are."""
        self.scheduler = scheduler
        self.share = scheduler.share
        self.store = scheduler.store
        self.thread = scheduler.guard.thread

    async def next(self, settled: bool = False, before: tuple[int, float] | None = None) -> bool:
        """Take the next folder of the inbox; return whether there was one.

        `settled`: of those that need no rendering; `before`: of those whose turn comes before this one.
        """
        inbox = self.scheduler.inbox
        if inbox.paused or inbox.scanning:
            return False
        now = time.monotonic()
        queue = [(pending, pending.job) for pending in inbox.queue() if pending.claim_after <= now and pending.job]
        for pending, job in sorted(queue, key=lambda item: (not item[1].settled, self.scheduler.turn(item[1]))):
            if (job.settled or not settled) and (before is None or self.scheduler.turn(job) < before):
                return await self._take(pending)
        return False

    async def _take(self, pending: Pending) -> bool:
        job = pending.job
        assert job is not None
        taken = {filename_rules.fold(n) for n in await self.thread.call(share_fs.names, self.share / "processing")}
        job.folder = filename_rules.free_name(job.name, taken, job.id)
        job.started = time.time()
        self.store.save(job)
        self.scheduler.active.append(job)  # whatever happens to the share now, `confirm` finds out what was done
        try:
            await self._rename(job)
        except FileNotFoundError:
            self._forget(job)
            self.scheduler.inbox.pending.pop(pending.name, None)
            return True
        except (NotReady, OSError) as error:
            self._forget(job)
            _refused(pending, error)
            return False
        self._claimed(job)
        return True

    async def _rename(self, job: Job) -> None:
        scheduler = self.scheduler
        await self.thread.drain(publish.claim(self.share, job, scheduler.instance, scheduler.group))

    def _claimed(self, job: Job) -> None:
        job.phase = "claimed"
        self.store.save(job)
        self.scheduler.inbox.pending.pop(job.name, None)
        self.scheduler.log_to_file(job)
        say = logger.bind(job=job.name, id=job.id)
        say.info("claimed: {} videos", len(job.videos))
        for video in job.videos:
            if video.problem is not None:
                say.error("{}: failed: {} {}", video.source.title, video.problem.code, video.problem.detail)

    def _forget(self, job: Job) -> None:
        self.scheduler.active.remove(job)
        self.store.forget(job)

    async def confirm(self, job: Job) -> None:
        """After a crash or an outage in the middle of a claim: the folder's place tells whether it happened."""
        if await self.thread.call(publish.claim_happened, self.share, job):
            folder = self.share / "processing" / job.folder
            await self.thread.call(publish.own, folder, self.scheduler.instance, self.scheduler.group)
            self._claimed(job)
        else:
            self._forget(job)

    async def give_back(self, job: Job, error: BaseException | None) -> bool:
        """Return a folder to the inbox if `error` says that somebody still writes to it and nothing is rendered yet."""
        if not still_changing(error) or error is None:
            return False
        if any(video.state in ("rendered", "done") for video in job.videos):
            return False
        back = await self.thread.drain(publish.put_back(self.share, job))
        logger.bind(job=job.name, id=job.id).warning("still changing, put back as inbox/{}: {}", back, describe(error))
        self._forget(job)
        return True


def still_changing(error: BaseException | None) -> bool:
    """Whether `error` says that somebody still writes to the folder."""
    return isinstance(error, NotReady) and error.code in STILL_CHANGING


def _refused(pending: Pending, error: NotReady | OSError) -> None:
    """Somebody has the folder open, or it is not ours to move: not a failure, tried again for ever."""
    delay = BACKOFF_S[min(pending.claim_failures, len(BACKOFF_S) - 1)]
    pending.claim_failures += 1
    pending.claim_after = time.monotonic() + delay
    code = "puzzling"
    if isinstance(error, NotReady):
        code = "folder_no_permission" if error.code == "no_permission" else "folder_open"
    pending.state, pending.reason = "waiting", NotReady(code, name=pending.name)
    if pending.claim_failures == 1:
        logger.bind(job=pending.name).warning("cannot take the folder: {}", describe(error))
