"""The videos being rendered: started while a slot is free, stopped on request, and what follows from each end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from loguru import logger

from ...config.schema import Config
from ...errors import HeygemdError, InfrastructureError, NotReady, describe
from ...fault_points import point
from ...job import Job, Video
from ...protocol import Event, FirstSeconds, LivePicture, Notice, Progress
from ...storage.availability import ShareAvailability
from ..executors.base import Executor
from ..intake import cancel, folder_changes
from ..intake.claim import Claimer, still_changing
from ..job_store import Store
from ..queue_state import QueueState, RunningVideo
from . import retry_policy
from .attempt import Attempt
from .fault_isolation import SPACE_FAULTS, FaultIsolation

POLL_CANCELLATIONS_S = 2.0


class Running:
    """Starts and stops the attempts of `state.running`."""

    def __init__(
        self,
        config: Config,
        state: QueueState,
        store: Store,
        share: ShareAvailability,
        claimer: Claimer,
        executor: Executor,
        isolation: FaultIsolation,
    ) -> None:
        """`executor`: where videos are rendered; `claimer`: takes back folders that still change."""
        self.config = config
        self.state = state
        self.store = store
        self.share = share
        self.claimer = claimer
        self.executor = executor
        self.isolation = isolation
        self.ended = asyncio.Event()
        self._tasks: dict[RunningVideo, asyncio.Task[None]] = {}
        self._waiting_for_space = False

    @property
    def slots(self) -> int:
        """How many videos can be rendered at once."""
        return self.executor.slots

    @property
    def free(self) -> bool:
        """Whether another video can be started."""
        return not self._waiting_for_space and len(self.state.running) < self.slots

    def may_start(self, job: Job, video: Video) -> bool:
        """Return whether this video can be started beside those that run; its folder may be about to be given back.

        After the daemon died too often while a video was rendered, that video is rendered alone: if the daemon dies
        again, this video is to blame and not its neighbours.
        """
        if self.state.run_of(video) is not None or any(run.concluding for run in self.state.running_of(job)):
            return False
        limit = self.config.attempts.daemon_crash_limit
        videos = (video, *(run.video for run in self.state.running))
        return not self.state.running or all(each.unclean_ends < limit for each in videos)

    def start(self, job: Job, video: Video) -> None:
        """Start one attempt at one video; however it ends, the record says so afterwards."""
        self.store.open_log(job)
        others = list(self.state.running)
        run = RunningVideo(job, video)
        self.state.running.append(run)
        attempt = Attempt(self.config, self.store, self.share, job, video)
        task = self._tasks[run] = asyncio.create_task(self._run(run, attempt, others))
        task.add_done_callback(lambda _: self._remove(run))

    async def _run(self, run: RunningVideo, attempt: Attempt, others: list[RunningVideo]) -> None:
        try:
            await self.isolation.run(run.job, self._attempt(run, attempt, others))
        except (InfrastructureError, NotReady, OSError) as error:
            if isinstance(error, InfrastructureError) and error.code in SPACE_FAULTS and len(self.state.running) > 1:
                run.lacked_space = self._waiting_for_space = True
                logger.debug("waiting until other videos free disk space: {}", describe(error))
            else:
                self.isolation.pause_queue(error)

    def _remove(self, run: RunningVideo) -> None:
        del self._tasks[run]
        self.state.running.remove(run)
        if not run.lacked_space or not self.state.running:
            self._waiting_for_space = False
        self.ended.set()

    async def _attempt(self, run: RunningVideo, attempt: Attempt, others: list[RunningVideo]) -> None:
        job, video = run.job, run.video
        error: Exception | None = None
        try:
            await cancel.heed(self.share, job, job.videos)  # a render may be shorter than the time between two polls
            if not _wanted(job, video):
                return
            try:
                await attempt.run(self.executor, self._reporter(run), others)
            except Exception as caught:
                error = caught
            run.concluding = True
            if still_changing(error):
                await self._stop(other for other in self.state.running_of(job) if other is not run)
            if not self.claimer.give_back(job, error):
                alone = len(self.state.running) == 1
                retry_policy.conclude(self.config.attempts, job, video, error, alone=alone)
        finally:
            video.running = False
            if job in self.state.active:
                self.store.save(job)

    def _reporter(self, run: RunningVideo) -> Callable[[Event], None]:
        def report(event: Event) -> None:
            if isinstance(event, Progress):
                if run.progress is None:
                    self.state.paused_by = None  # the fault is gone
                run.progress = event
                point(f"daemon-{event.phase}")
            elif isinstance(event, LivePicture):
                run.picture, run.pictures = event, run.pictures + 1
            elif isinstance(event, FirstSeconds):
                run.first_seconds = event
            elif isinstance(event, Notice) and event not in run.video.notices:
                run.video.notices.append(event)

        return report

    async def poll_cancellations(self) -> None:
        """Stop the videos that users cancelled or whose folder they took away."""
        for job in {run.job.id: run.job for run in self.state.running}.values():
            for look in (self._look_for_cancellation, self._look_for_growth):
                if job.problem is None and job.phase == "claimed" and self.share.problem is None:
                    with contextlib.suppress(HeygemdError, OSError):
                        await look(job)
                runs = [run for run in self.state.running_of(job) if not run.concluding]
                await self._stop(run for run in runs if not _wanted(job, run.video))

    async def _look_for_cancellation(self, job: Job) -> None:
        """Look into the folders of the parts being made only: other parts are looked at before each video."""
        being_made = [video for video in job.videos if video.running or video.state == "rendered"]
        await cancel.heed(self.share, job, being_made)

    async def _look_for_growth(self, job: Job) -> None:
        """Let a job start anew of which a file that is being rendered still grows: its format does not tell its end."""
        folder = self.share.root / "processing" / job.folder
        runs = self.state.running_of(job)
        media = [media for run in runs for media in job.made_of(run.video)]
        if grown := await self.share.thread.call(folder_changes.has_grown, folder, media):
            self.claimer.give_back(job, NotReady("changed_after_claim", name=grown))

    async def stop(self) -> None:
        """Stop everything; it costs no attempt."""
        await self._stop(self.state.running)

    async def _stop(self, runs: Iterable[RunningVideo]) -> None:
        tasks = [self._tasks[run] for run in runs]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _wanted(job: Job, video: Video) -> bool:
    """Return whether a video that was started is still wanted: nobody cancelled it, and its folder stays."""
    return job.problem is None and job.phase == "claimed" and video.state != "failed"
