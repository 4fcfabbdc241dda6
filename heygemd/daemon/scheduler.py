"""The order of work: one video at a time; finished jobs and what needs no rendering go out first, new folders last.

`step` does one thing and says whether there was one. A job's record is saved before and after each thing that must not
happen twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from loguru import logger

from .. import log
from ..config import Config
from ..errors import HeygemdError, InfrastructureError, NotReady, describe
from ..faults import point
from ..job import Job, Problem, Video
from ..protocol import Event, Found, Progress
from . import evidence, publish, reports, verdict
from .attempt import Attempt
from .claims import Claims
from .folder import wishes
from .inbox import Inbox
from .share import Guard
from .store import Store

CANCEL_POLL_S = 2.0
PAUSE_S = 60.0
OF_THE_SHARE = ("share_unavailable", "share_missing")
OF_THE_FOLDER = {"no_permission": "folder_no_permission", "held_open": "folder_open"}


class Scheduler:
    """Owns the job records and decides what is done next."""

    def __init__(self, config: Config, store: Store, guard: Guard, inbox: Inbox, instance: str) -> None:
        """`instance`: this daemon's own id, written into the folders it claims."""
        self.config = config
        self.store = store
        self.guard = guard
        self.inbox = inbox
        self.instance = instance
        self.share = config.paths.share
        self.active: list[Job] = []
        self.finished: list[Job] = []
        self.paused: InfrastructureError | None = None
        self.progress: tuple[Job, Video, Progress | None] | None = None
        self.resting: dict[str, HeygemdError] = {}
        self.cancel_requests: set[str] = set()
        self.log_sinks: dict[str, int] = {}
        self._paused_until = 0.0
        self._rest_until: dict[str, float] = {}
        self._claims = Claims(self)

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
                    await self._for(job, self._claims.confirm(job))
            told = await self._hand_over_next() or await self._claims.next(settled=True)
            worked = told or await self._render_next() or await self._claims.next()
        except (InfrastructureError, NotReady, OSError) as error:
            self.pause(error)
            return False
        self.paused = None
        return worked

    def pause(self, error: BaseException) -> None:
        """Begin nothing for a while: a disk is full, or the share cannot be used at all (then the guard says when)."""
        if not isinstance(error, InfrastructureError) or error.code in OF_THE_SHARE:
            self.guard.lost(error)
            return
        if self.paused is None or self.paused.code != error.code:
            logger.warning("paused: {}", describe(error))
        self.paused = error
        self._paused_until = time.monotonic() + PAUSE_S

    def ordered(self) -> list[Job]:
        """Return the claimed jobs in the order they are worked on."""
        return sorted(self.active, key=lambda job: (-job.priority, job.arrived))

    def _awake(self) -> list[Job]:
        """Return the jobs in their order without those that rest after a fault of their own."""
        now = time.monotonic()
        return [job for job in self.ordered() if self._rest_until.get(job.id, 0) <= now]

    async def _for(self, job: Job, work: Awaitable[None]) -> bool:
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

    async def _render_next(self) -> bool:
        now = time.time()
        for job in self._awake():
            for video in job.videos:
                if video.state == "waiting" and job.problem is None and self._due(video, now):
                    return await self._for(job, self._render(job, video))
        return False

    def _due(self, video: Video, now: float) -> bool:
        """Whether its pause after a failed attempt is over; a clock that was set back must not make it endless."""
        wait_s = video.not_before - now
        return wait_s <= 0 or wait_s > max(self.config.attempts.retry_backoff_s, default=0)

    async def _render(self, job: Job, video: Video) -> None:
        """Make one attempt at one video; whatever happens, the record says so afterwards."""
        self.log_to_file(job)
        self.progress = (job, video, None)
        attempt = Attempt(self.config, self.store, self.guard, job, video)
        work = asyncio.create_task(attempt.run(self._listener(job, video)))
        watch = asyncio.create_task(self._until_cancelled(job))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _end(work)
                self._cancelled(job, watch.result())
                return
            if not await self._claims.give_back(job, work.exception()):
                verdict.conclude(self.config.attempts, job, video, work.exception())
        except asyncio.CancelledError:
            await _end(work)
            raise
        finally:
            await _end(watch)
            job.running = ""
            self.progress = None
            if job in self.active:
                self.store.save(job)

    def _listener(self, job: Job, video: Video) -> Callable[[Event], None]:
        def hear(event: Event) -> None:
            if isinstance(event, Progress):
                self.progress, self.paused = (job, video, event), None
                point(f"daemon-{event.phase}")
            elif isinstance(event, Found) and event not in video.found:
                video.found.append(event)

        return hear

    # --- cancel ---------------------------------------------------------------------------------------------------

    async def _until_cancelled(self, job: Job) -> str:
        while True:
            if job.id in self.cancel_requests:
                return "cancelled"
            if self.guard.problem is None:
                with contextlib.suppress(HeygemdError, OSError):
                    if why := await self.guard.thread.call(publish.cancel_wanted, self.share, job):
                        return why
            await asyncio.sleep(CANCEL_POLL_S)

    async def _taken_away(self, job: Job) -> bool:
        why = await self.guard.thread.call(publish.cancel_wanted, self.share, job)
        if why == "removed":
            self._cancelled(job, why)
        return why == "removed"

    def _cancelled(self, job: Job, why: str) -> None:
        job.problem = Problem(code=why)
        logger.bind(job=job.name, id=job.id).warning("stopped: {}", why)

    # --- publish --------------------------------------------------------------------------------------------------

    async def _hand_over_next(self) -> bool:
        """Bring what is finished to the share before anything new is begun."""
        for job in self._awake():
            for video in job.videos:
                if video.state == "rendered" and job.problem is None:
                    return await self._for(job, Attempt(self.config, self.store, self.guard, job, video).keep())
            if job.settled:
                return await self._for(job, self._publish(job))
        return False

    def log_to_file(self, job: Job) -> None:
        """Begin to keep this job's own log."""
        if job.id not in self.log_sinks:
            self.log_sinks[job.id] = log.job_sink(self.store.log_file(job), job.id)

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
            proofs = await call(evidence.read, folder, job)
            papers = reports.papers(job, self.config, self.store.log_file(job), proofs)
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
        self.cancel_requests.discard(job.id)
        publish.clean_scratch(self.config.paths.cache / "jobs" / job.id)
        good = sum(v.state == "done" for v in job.videos)
        say = logger.bind(job=job.name, id=job.id)
        if (sink := self.log_sinks.pop(job.id, None)) is not None:  # a reload of the settings has removed it already
            logger.remove(sink)
        of = f"{good} of {len(job.videos)} videos" if job.videos else "rejected"
        (say.success if job.succeeded else say.error)("{}: {}", job.destination, of)


async def _end(task: asyncio.Task[object] | asyncio.Task[None] | asyncio.Task[str]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait({task})
