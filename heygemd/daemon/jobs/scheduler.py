"""The order of work: finished jobs and what needs no rendering are published first, then the next video is started.

`step` does or starts one thing and returns whether there was one; videos are rendered meanwhile, see `running`. A job's
record is saved before and after everything that must not happen twice.
"""

from __future__ import annotations

import contextlib
import time

from ...config.schema import Config
from ...errors import HeygemdError, InfrastructureError, NotReady
from ...job import Job, Video
from ...storage.availability import ShareAvailability
from ..intake.cancel import cancellation, mark_cancelled
from ..intake.claim import Claimer
from ..queue_state import QueueState
from .fault_isolation import FaultIsolation
from .publishing import Publisher
from .running import POLL_CANCELLATIONS_S, Running


class Scheduler:
    """Decides what is done next."""

    def __init__(
        self,
        config: Config,
        state: QueueState,
        share: ShareAvailability,
        claimer: Claimer,
        running: Running,
        publisher: Publisher,
        isolation: FaultIsolation,
    ) -> None:
        """`claimer`, `running`, `publisher`: do what is decided here; `isolation`: contains what goes wrong."""
        self.config = config
        self.state = state
        self.share = share
        self.claimer = claimer
        self.running = running
        self.publisher = publisher
        self.isolation = isolation
        self._looked_for_cancellations = 0.0

    async def step(self) -> bool:
        """Do the next thing; return whether there was one. Faults of share and disk pause the queue, never raise."""
        state = self.state
        if self.share.problem is not None:
            return False
        try:
            await self._look_for_cancellations()
            if time.monotonic() < state.paused_until:
                return False
            state.slots = self.running.slots
            first, doubtful = state.awake()
            worked = await self._next(first) or await self._next(doubtful)
        except (InfrastructureError, NotReady, OSError) as error:
            self.isolation.pause_queue(error)
            return False
        if not state.running:  # a video that was started has still to show that the fault is gone
            state.paused_by = None
        return worked

    async def _look_for_cancellations(self) -> None:
        """Free the jobs that wait for something as soon as users cancel them or take their folder away."""
        if time.monotonic() - self._looked_for_cancellations < POLL_CANCELLATIONS_S:
            return
        self._looked_for_cancellations = time.monotonic()
        for job in self.state.ordered():
            if job.phase != "claiming" and not self.state.running_of(job):
                with contextlib.suppress(HeygemdError, OSError):  # its next work meets the same fault
                    await self._heed_cancellation(job)

    async def _heed_cancellation(self, job: Job) -> None:
        code = await self.share.thread.call(cancellation, self.share.root, job)
        if not code or (job.problem is not None and code == job.problem.code):
            return
        self.state.backing_off.pop(job.id, None)
        if job.phase == "claimed" or code == "cancelled":
            mark_cancelled(job, code)
            job.phase = "claimed"

    async def _next(self, jobs: list[Job]) -> bool:
        """Do the next thing for one of these jobs or a folder of the inbox; return whether there was one."""
        claiming = next((job for job in jobs if job.phase == "claiming"), None)
        if claiming is not None:
            await self.isolation.run(claiming, self.claimer.confirm(claiming))
            return True
        if await self._publish_next(jobs) or await self.claimer.claim_next(settled=True):
            return True
        if not self.running.free:
            return False
        return await self._claim_earlier(jobs) or self._render_next(jobs) or await self.claimer.claim_next()

    async def _publish_next(self, jobs: list[Job]) -> bool:
        """Bring finished work to the share before anything new is started."""
        for job in jobs:
            for video in job.videos:
                if video.state == "rendered" and job.problem is None:
                    await self.isolation.run(job, self.publisher.store_result(job, video))
                    return True
            if (job.settled or job.phase == "returning") and not self.state.running_of(job):
                end = self.publisher.changes.return_to_inbox if job.phase == "returning" else self.publisher.publish
                await self.isolation.run(job, end(job))
                return True
        return False

    async def _claim_earlier(self, jobs: list[Job]) -> bool:
        """Claim a folder that is ordered before all claimed jobs."""
        first = next((job for job in jobs if not job.settled), None)
        if first is None or (self.state.slots == 1 and not first.is_batch):
            return False
        return await self.claimer.claim_next(before=self.state.order_key(first))

    def _render_next(self, jobs: list[Job]) -> bool:
        now = time.time()
        for job in jobs:
            for video in job.videos if job.problem is None and job.phase == "claimed" else ():
                if video.state == "waiting" and self._due(video, now) and self.running.may_start(job, video):
                    self.running.start(job, video)
                    return True
        return False

    def _due(self, video: Video, now: float) -> bool:
        """Return whether the pause after a failed attempt is over; a clock set back must not make it endless."""
        wait_s = video.not_before - now
        return wait_s <= 0 or wait_s > max(self.config.attempts.retry_backoff_s, default=0)
