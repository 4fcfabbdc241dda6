"""The order of work: finished jobs and what needs no rendering are published first, then the next video is started.

`step` does or starts one thing and returns whether there was one; videos are rendered meanwhile, see `running`. A job's
record is saved before and after everything that must not happen twice.
"""

from __future__ import annotations

import time

from ...config.schema import Config
from ...errors import InfrastructureError, NotReady
from ...job import Video
from ...storage.availability import ShareAvailability
from ..intake.claim import Claimer
from ..queue_state import QueueState
from .fault_isolation import pause_queue, run_isolated
from .publishing import Publisher
from .running import Running


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
    ) -> None:
        """`claimer`, `running`, `publisher`: do what is decided here."""
        self.config = config
        self.state = state
        self.share = share
        self.claimer = claimer
        self.running = running
        self.publisher = publisher

    async def step(self) -> bool:
        """Do the next thing; return whether there was one. Faults of share and disk pause the queue, never raise."""
        state = self.state
        if self.share.problem is not None or time.monotonic() < state.paused_until:
            return False
        state.slots = self.running.slots
        try:
            for job in state.awake():
                if job.phase == "claiming":
                    await run_isolated(state, self.share, job, self.claimer.confirm(job))
            worked = await self._publish_next() or await self.claimer.claim_next(settled=True)
            if not worked and self.running.free:
                worked = await self._claim_earlier() or self._render_next() or await self.claimer.claim_next()
        except (InfrastructureError, NotReady, OSError) as error:
            pause_queue(state, self.share, error)
            return False
        if not state.running:  # a video that was started has still to show that the fault is gone
            state.paused_by = None
        return worked

    async def _publish_next(self) -> bool:
        """Bring finished work to the share before anything new is started."""
        for job in self.state.awake():
            for video in job.videos:
                if video.state == "rendered" and job.problem is None:
                    await run_isolated(self.state, self.share, job, self.publisher.store_result(job, video))
                    return True
            if (job.settled or job.phase == "returning") and not self.state.running_of(job):
                end = self.publisher.changes.return_to_inbox if job.phase == "returning" else self.publisher.publish
                await run_isolated(self.state, self.share, job, end(job))
                return True
        return False

    async def _claim_earlier(self) -> bool:
        """Claim a folder that is ordered before all claimed jobs."""
        if self.state.slots == 1:
            return False
        first = next((job for job in self.state.awake() if not job.settled), None)
        return first is not None and await self.claimer.claim_next(before=self.state.order_key(first))

    def _render_next(self) -> bool:
        now = time.time()
        for job in self.state.awake():
            for video in job.videos if job.problem is None and job.phase == "claimed" else ():
                if video.state == "waiting" and self._due(video, now) and self.running.may_start(job, video):
                    self.running.start(job, video)
                    return True
        return False

    def _due(self, video: Video, now: float) -> bool:
        """Return whether the pause after a failed attempt is over; a clock set back must not make it endless."""
        wait_s = video.not_before - now
        return wait_s <= 0 or wait_s > max(self.config.attempts.retry_backoff_s, default=0)
