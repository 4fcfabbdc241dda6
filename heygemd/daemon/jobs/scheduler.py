"""The order of work: finished jobs and what needs no rendering go out first, then the next video, new folders last.

`step` does or begins one thing and says whether there was one; rendering goes on beside it, see `runs`. A job's record
is saved before and after each thing that must not happen twice.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable

from loguru import logger

from ... import logging_setup
from ...config.schema import Config
from ...errors import HeygemdError, InfrastructureError, NotReady, ShareError, describe
from ...job import Job, Problem, Video
from ...storage import atomic, share_fs
from ...storage.availability import ShareAvailability
from ..executors.local import Executor
from ..intake.claim import Claims
from ..intake.classify import wishes
from ..intake.inbox import Inbox
from ..job_store import Store
from ..publish import preview_store, publish, report
from .attempt import Attempt
from .running import Runs

PAUSE_S = 60.0
TURN_S = 60.0
"""What each video of a folder costs it in the queue, where several are rendered at once."""
NO_ROOM_ON_SHARE = ("share_full", "share_low")
"""The share answers: work waits for room, but the page can still be written."""
OF_THE_FOLDER = {"no_permission": "folder_no_permission", "held_open": "folder_open"}


class Scheduler:
    """Owns the job records and decides what is done next."""

    def __init__(
        self, config: Config, store: Store, guard: ShareAvailability, inbox: Inbox, instance: str, executor: Executor
    ) -> None:
        """`instance`: this daemon's own id, for the folders it claims; `executor`: where videos are rendered."""
        self.config = config
        self.store = store
        self.guard = guard
        self.inbox = inbox
        self.instance = instance
        self.share = config.paths.share
        self.active: list[Job] = []
        self.finished: list[Job] = []
        self.paused: InfrastructureError | None = None
        self.resting: dict[str, HeygemdError] = {}
        self.log_sinks: dict[str, int] = {}
        self._paused_until = 0.0
        self._rest_until: dict[str, float] = {}
        self.claims = Claims(self)
        self.runs = Runs(self, executor)

    @property
    def group(self) -> int | None:
        """The inbox's group, which results are given to."""
        return self.guard.mount.group if self.guard.mount else None

    async def step(self) -> bool:
        """Do the next thing; return whether there was one. Share and disk faults pause, they never raise."""
        if self.guard.problem is not None or time.monotonic() < self._paused_until:
            return False
        try:
            for job in self._awake():
                if job.phase == "claiming":
                    await self.on_behalf_of(job, self.claims.confirm(job))
            worked = await self._hand_over_next() or await self.claims.next(settled=True)
            if not worked and self.runs.free:
                worked = await self._claim_earlier() or self._render_next() or await self.claims.next()
        except (InfrastructureError, NotReady, OSError) as error:
            self.pause(error)
            return False
        if not self.runs:  # what was begun has still to show that it can be done
            self.paused = None
        return worked

    def pause(self, error: BaseException) -> None:
        """Begin nothing for a while. Where the share cannot be used at all, its availability says when to go on."""
        if isinstance(error, OSError) and not share_fs.of_one_path(error):
            error = atomic.translate(error)  # the share's faults come typed
        if not isinstance(error, InfrastructureError) or (
            isinstance(error, ShareError) and error.code not in NO_ROOM_ON_SHARE
        ):
            self.guard.lost(error)
            return
        if self.paused is None or self.paused.code != error.code:
            logger.warning("paused: {}", describe(error))
        self.paused = error
        self._paused_until = time.monotonic() + PAUSE_S

    def ordered(self) -> list[Job]:
        """Return the claimed jobs in the order they are worked on."""
        return sorted(self.active, key=self.turn)

    def turn(self, job: Job) -> tuple[int, float]:
        """The lower the sooner: by priority, then by arrival.

        Where several videos are rendered at once, a folder's own size counts as if it had arrived later by so much:
        small ones pass a huge one, and yet none is passed by folders without end; a job's videos stay together.
        """
        size_s = TURN_S * len(job.videos) if self.runs.executor.slots > 1 else 0
        return -job.priority, job.arrived + size_s

    def _awake(self) -> list[Job]:
        """Return the jobs in their order without those that rest after a fault of their own."""
        now = time.monotonic()
        return [job for job in self.ordered() if self._rest_until.get(job.id, 0) <= now]

    async def on_behalf_of(self, job: Job, work: Awaitable[None]) -> bool:
        """Do something for one job. A fault that is that job's alone lets it rest; the others go on."""
        try:
            await work
            self.resting.pop(job.id, None)
        except InfrastructureError:
            raise
        except Exception as error:
            if isinstance(error, FileNotFoundError) and await self._taken_away(job):
                return True
            say = logger.bind(job=job.name, id=job.id)
            typed = error if isinstance(error, HeygemdError) else NotReady("puzzling", describe(error), name=job.name)
            if typed.code in OF_THE_FOLDER:
                typed = NotReady(OF_THE_FOLDER[typed.code], describe(error), name=job.name)
            if job.id not in self.resting:
                unforeseen = None if isinstance(error, HeygemdError) else error
                say.opt(exception=unforeseen).error("set aside: {}", describe(typed))
            self.resting[job.id] = typed
            self._rest_until[job.id] = time.monotonic() + PAUSE_S
        return True

    # --- render ---------------------------------------------------------------------------------------------------

    async def _claim_earlier(self) -> bool:
        """Take a folder from the inbox whose turn is before that of all that is claimed."""
        if self.runs.executor.slots == 1:
            return False
        claimed = next((job for job in self._awake() if not job.settled), None)
        return claimed is not None and await self.claims.next(before=self.turn(claimed))

    def _render_next(self) -> bool:
        now = time.time()
        for job in self._awake():
            for video in job.videos if job.problem is None else ():
                if video.state == "waiting" and self._due(video, now) and self.runs.may_begin(job, video):
                    self.runs.begin(job, video)
                    return True
        return False

    def _due(self, video: Video, now: float) -> bool:
        """Whether its pause after a failed attempt is over; a clock that was set back must not make it endless."""
        wait_s = video.not_before - now
        return wait_s <= 0 or wait_s > max(self.config.attempts.retry_backoff_s, default=0)

    # --- cancel ---------------------------------------------------------------------------------------------------

    async def _taken_away(self, job: Job) -> bool:
        why = await self.guard.thread.call(publish.cancel_wanted, self.share, job)
        if why == "removed":
            self.cancelled(job, why)
        return why == "removed"

    def cancelled(self, job: Job, why: str) -> None:
        """Note that staff want the job stopped; what is rendered of it is stopped by `Runs.heed`."""
        job.problem = Problem(code=why)
        logger.bind(job=job.name, id=job.id).warning("stopped: {}", why)

    # --- publish --------------------------------------------------------------------------------------------------

    async def _hand_over_next(self) -> bool:
        """Bring what is finished to the share before anything new is begun."""
        for job in self._awake():
            for video in job.videos:
                if video.state == "rendered" and job.problem is None:
                    return await self.on_behalf_of(job, Attempt(self.config, self.store, self.guard, job, video).keep())
            if job.settled and not self.runs.of(job):
                return await self.on_behalf_of(job, self._publish(job))
        return False

    def log_to_file(self, job: Job) -> None:
        """Begin to keep this job's own log."""
        if job.id not in self.log_sinks:
            path = self.store.log_file(job)
            with atomic.on_local_disk(path):
                self.log_sinks[job.id] = logging_setup.job_sink(path, job.id)

    async def _publish(self, job: Job) -> None:
        self.log_to_file(job)
        call = self.guard.thread.call
        folder = self.share / "processing" / job.folder
        say = logger.bind(job=job.name, id=job.id)
        if job.phase == "claimed":
            # In a folder that was taken away nothing can be missing: asking would only find it gone again.
            gone = job.problem is not None and job.problem.code == "removed"
            for video in [] if gone else await call(publish.missing_results, folder, job):
                say.warning("{}: its result was removed, rendering it again", video.output)
                video.state, video.kept = "waiting", False
            if not job.settled:
                self.store.save(job)
                return
            job.destination = await call(publish.destination, self.share, job)
            job.phase, job.finished = "publishing", time.time()
            self.store.save(job)
        try:
            proofs = await call(preview_store.read, folder, job)
            papers = report.papers(job, self.config, self.store.log_file(job), proofs)
            wanted = wishes(job.settings, self.config.render)
            steps = publish.publish(self.share, job, papers, wanted, self.config.render.zip_results, self.group)
            await self.guard.thread.drain(steps)
        except FileNotFoundError as error:
            say.warning("its folder was taken away: {}", describe(error))
            job.problem = Problem(code="removed")
        except FileExistsError:
            job.phase = "claimed"  # somebody made a folder of that name meanwhile: another is chosen next time
            self.store.save(job)
            raise
        self._finish(job)

    def _finish(self, job: Job) -> None:
        job.phase = "finished"
        self.store.save(job)
        self.active.remove(job)
        self.finished = self.store.prune([*self.finished, job])
        publish.clean_scratch(self.config.paths.cache / "jobs" / job.id)
        good = sum(v.state == "done" for v in job.videos)
        say = logger.bind(job=job.name, id=job.id)
        if (sink := self.log_sinks.pop(job.id, None)) is not None:  # a reload of the settings has removed it already
            logger.remove(sink)
        of = f"{good} of {len(job.videos)} videos" if job.videos else "rejected"
        (say.success if job.succeeded else say.error)("{}: {}", job.destination, of)
