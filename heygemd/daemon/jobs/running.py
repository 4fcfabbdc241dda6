"""The videos being rendered now: begun while a place is free, stopped when staff or the daemon want it, concluded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from ...errors import HeygemdError, InfrastructureError, NotReady, describe
from ...fault_points import point
from ...job import Job, Video
from ...protocol import Event, Notice, Progress
from ..intake.claim import still_changing
from ..publish import publish
from . import outcome
from .attempt import Attempt

if TYPE_CHECKING:
    from ..executors.local import Executor
    from .scheduler import Scheduler

HEED_S = 2.0
"""Between looks for what staff want stopped."""
NO_ROOM = ("scratch_low", "share_low")


@dataclass(eq=False)
class Run:
    """One video being rendered. `concluding`: its attempt is over, it is not stopped any more."""

    job: Job
    video: Video
    attempt: Attempt
    progress: Progress | None = None
    concluding: bool = False
    refused: bool = False
    task: asyncio.Task[None] = field(init=False)


class Runs:
    """What is rendered now, by video, in the order it was begun."""

    def __init__(self, scheduler: Scheduler, executor: Executor) -> None:
        """`scheduler`: whose jobs these are."""
        self.scheduler = scheduler
        self.executor = executor
        self.ended = asyncio.Event()
        self._current: dict[int, Run] = {}
        self._crowded = False

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._current.values()))

    def __len__(self) -> int:
        return len(self._current)

    def of(self, job: Job) -> list[Run]:
        """Return what is rendered of a job."""
        return [run for run in self if run.job is job]

    def get(self, video: Video) -> Run | None:
        """Return the run of a video, or None."""
        return self._current.get(id(video))

    @property
    def free(self) -> bool:
        """Whether another video can be begun."""
        return not self._crowded and len(self) < self.executor.slots

    def may_begin(self, job: Job, video: Video) -> bool:
        """Whether nothing speaks against this one now; its folder may be about to go back to the inbox.

        After the daemon died too often while a video was rendered, that video is rendered alone: if the daemon dies
        again it was this one, and its neighbours are not to blame.
        """
        if id(video) in self._current or any(run.concluding for run in self.of(job)):
            return False
        limit = self.scheduler.config.attempts.daemon_crash_limit
        alone = any(each.unclean_ends >= limit for each in (video, *(run.video for run in self)))
        return not alone or not self._current

    def begin(self, job: Job, video: Video) -> None:
        """Make one attempt at one video; whatever happens, the record says so afterwards."""
        scheduler = self.scheduler
        scheduler.log_to_file(job)
        run = Run(job, video, Attempt(scheduler.config, scheduler.store, scheduler.guard, job, video))
        others = [other.attempt for other in self]
        self._current[id(video)] = run
        run.task = asyncio.create_task(self._work(run, others))
        run.task.add_done_callback(lambda _: self._over(run))

    async def _work(self, run: Run, others: list[Attempt]) -> None:
        try:
            await self.scheduler.on_behalf_of(run.job, self._render(run, others))
        except (InfrastructureError, NotReady, OSError) as error:
            if isinstance(error, InfrastructureError) and error.code in NO_ROOM and len(self) > 1:
                run.refused = self._crowded = True
                logger.debug("waiting for the others to make room: {}", describe(error))
            else:
                self.scheduler.pause(error)

    def _over(self, run: Run) -> None:
        del self._current[id(run.video)]
        if not run.refused or not self._current:
            self._crowded = False
        self.ended.set()

    async def _render(self, run: Run, others: list[Attempt]) -> None:
        scheduler, job, video = self.scheduler, run.job, run.video
        error: Exception | None = None
        try:
            try:
                await run.attempt.run(self.executor, self._listener(run), others)
            except Exception as caught:
                error = caught
            run.concluding = True
            if still_changing(error):
                await self._stop(other for other in self.of(job) if other is not run)
            if not await scheduler.claims.give_back(job, error):
                outcome.conclude(scheduler.config.attempts, job, video, error, alone=len(self) == 1)
        finally:
            video.running = False
            if job in scheduler.active:
                scheduler.store.save(job)

    def _listener(self, run: Run) -> Callable[[Event], None]:
        def hear(event: Event) -> None:
            if isinstance(event, Progress):
                if run.progress is None:
                    self.scheduler.paused = None  # what was in the way is not any more
                run.progress = event
                point(f"daemon-{event.phase}")
            elif isinstance(event, Notice) and event not in run.video.notices:
                run.video.notices.append(event)

        return hear

    async def heed(self) -> None:
        """Stop what staff want stopped: by CANCEL in its folder, or by taking the folder away."""
        scheduler = self.scheduler
        for job in {run.job.id: run.job for run in self}.values():
            if job.problem is None and scheduler.guard.problem is None:
                with contextlib.suppress(HeygemdError, OSError):
                    if why := await scheduler.guard.thread.call(publish.cancel_wanted, scheduler.share, job):
                        scheduler.cancelled(job, why)
            if job.problem is not None:
                await self._stop(run for run in self.of(job) if not run.concluding)

    async def stop(self) -> None:
        """Stop everything; it costs no attempt."""
        await self._stop(self)

    async def _stop(self, runs: Iterable[Run]) -> None:
        tasks = [run.task for run in runs]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
