"""Brings a job's results and report to the share and ends the job."""

from __future__ import annotations

import asyncio
import shutil
import time

from loguru import logger

from ...config.schema import Config
from ...errors import LocalDiskError, describe
from ...job import Job, Problem, Video
from ...storage import share_fs
from ...storage.availability import ShareAvailability
from ..intake import cancel, folder_changes
from ..intake.folder_changes import FolderChanged
from ..job_store import Store
from ..publish import preview_store, report, result_folder
from ..queue_state import QueueState
from .attempt import Attempt
from .changed_folders import ChangedFolders


class Publisher:
    """Stores results of finished videos, and publishes jobs whose videos are all settled."""

    def __init__(
        self, config: Config, state: QueueState, store: Store, share: ShareAvailability, changes: ChangedFolders
    ) -> None:
        """`changes`: lets folders start anew whose files changed. Nothing is touched before a call."""
        self.config = config
        self.state = state
        self.store = store
        self.share = share
        self.changes = changes

    async def store_result(self, job: Job, video: Video) -> None:
        """Copy a rendered video into the job's folder on the share, unless users cancelled it meanwhile."""
        await cancel.heed(self.share, job, [video])
        if job.problem is None and video.state == "rendered":
            await Attempt(self.config, self.store, self.share, job, video).store_result()
        else:
            self.store.save(job)

    async def publish(self, job: Job) -> None:
        """Move a settled job's folder to done/ or failed/. Repeatable after a crash at any point."""
        self.store.open_log(job)
        if job.abandoned:
            job.destination = ""
            self._finish(job)
            return
        if job.phase == "claimed" and not (await self.changes.unchanged(job) and await self._choose_destination(job)):
            return
        say = logger.bind(job=job.name, id=job.id)
        try:
            await self._move(job)
        except FileNotFoundError as error:
            if await self.share.thread.call(share_fs.is_folder, self.share.root / "processing" / job.folder):
                raise  # something else is missing, such as done/ itself
            say.warning("its folder was removed: {}", describe(error))
            job.problem, job.destination = Problem(code="removed"), ""
        except FolderChanged:
            job.phase = "claimed"
            self.store.save(job)
            return
        except FileExistsError:
            job.phase = "claimed"  # the name was taken meanwhile: another one is chosen next time
            self.store.save(job)
            raise
        self._finish(job)

    async def _choose_destination(self, job: Job) -> bool:
        """Fix where the folder goes; False if results are missing and must be rendered again."""
        thread, folder = self.share.thread, self.share.root / "processing" / job.folder
        if job.problem is None:
            await cancel.heed(self.share, job, ())
        # Nothing can be missing in a folder that was removed: asking would only find it gone again.
        removed = job.problem is not None and job.problem.code == "removed"
        missing = [] if removed else await thread.call(result_folder.missing_results, folder, job)
        for video in missing:
            say = logger.bind(job=job.name, id=job.id)
            say.warning("{}: its result was removed, rendering it again", video.output)
            video.state, video.kept = "waiting", False
        if bool(missing) and await thread.call(folder_changes.inputs_moved, folder, job):
            self.changes.start_anew(job, missing[0].output)
        ready = job.settled and job.phase == "claimed"
        if ready:
            job.destination = await thread.call(result_folder.destination, self.share.root, job)
            ready = self.changes.seen_addition(job) is None
        if ready:
            job.phase, job.finished = "publishing", time.time()
        self.store.save(job)
        return ready

    async def _move(self, job: Job) -> None:
        root, render = self.share.root, self.config.render
        previews = await self.share.thread.call(preview_store.load, root / "processing" / job.folder, job)
        faces = {video.output: preview.faces for video in job.videos if (preview := previews.get(video.output))}
        for video in job.videos:
            if video.state == "failed" and video.attempts:
                faces[video.output] = Attempt(self.config, self.store, self.share, job, video).faces()
        # A copy, because records belong to the main loop; in a thread, because charts and pages take seconds.
        copy, log_file = job.model_copy(deep=True), self.store.log_file(job)
        try:
            files = await asyncio.to_thread(report.make, copy, self.config, log_file, previews, faces)
        except Exception as error:  # pictures and charts must not keep a result back
            logger.bind(job=job.name, id=job.id).opt(exception=error).error("the report has no pictures")
            files = await asyncio.to_thread(report.make, copy, self.config, log_file, {}, {})
        steps = result_folder.publish(root, job, files, render, self.share.group)
        await self.share.thread.drain(steps)

    def _finish(self, job: Job) -> None:
        job.phase = "finished"
        try:
            self.store.save(job)
        except LocalDiskError:
            if not job.abandoned:
                raise
        self.state.active.remove(job)
        self.state.finished = self.store.prune([*self.state.finished, job])
        shutil.rmtree(self.config.paths.cache / "jobs" / job.id, ignore_errors=True)
        self.store.close_log(job)
        good = sum(v.state == "done" for v in job.videos)
        result = f"{good} of {len(job.videos)} videos" if job.videos else "rejected"
        say = logger.bind(job=job.name, id=job.id)
        (say.success if job.succeeded else say.error)("{}: {}", job.destination or "ended", result)
