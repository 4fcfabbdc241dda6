"""Claimed folders whose files changed, grew, came or went: they return to the inbox, with what is still good."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from loguru import logger

from ...config.schema import Config
from ...errors import NotReady, describe, printable
from ...job import Job, Media, Problem, Video
from ...protocol import Notice
from ...storage import share_fs
from ...storage.availability import ShareAvailability
from ..intake import folder_changes, job_folder, left_out
from ..intake.claim import Claimer
from ..intake.folder_changes import Changes
from ..intake.folder_members import media_of
from ..job_store import Store
from ..publish import result_folder
from ..queue_state import PendingFolder, QueueState


class ChangedFolders:
    """Compares a folder with what was claimed before it is published, and lets it start anew."""

    def __init__(
        self, config: Config, state: QueueState, store: Store, share: ShareAvailability, claimer: Claimer
    ) -> None:
        """Nothing is touched before a call."""
        self.config = config
        self.state = state
        self.store = store
        self.share = share
        self.claimer = claimer

    async def unchanged(self, job: Job) -> bool:
        """Return whether the folder holds what the results were made from; otherwise it starts anew or fails."""
        if job.problem is not None:
            return True
        if (addition := await self._addition(job)) is not None:
            self.claimer.start_anew(job, f"more was put into inbox/{addition.name}")
            return False
        changes = await self.share.thread.drain(folder_changes.compare(self._folder(job), job))
        for media, mtime_ns in changes.touched:
            for record in job.records_of(media.name):
                record.mtime_ns = mtime_ns
        for entry in changes.others:
            job.extra.append(media_of(entry))
            job.added.append(entry.name)
        job.nested += [name for name, _ in changes.nested]
        job.notices += left_out.notices(changes.nested)
        _tell_gone(job, changes.gone)
        names = [m.title for m in changes.changed] + [e.name for e in changes.added]
        if names and job.rounds < folder_changes.MAX_ROUNDS:
            self.claimer.start_anew(job, printable(", ".join(names)))
            return False
        _fail_changed(job, changes)
        return True

    def start_anew(self, job: Job, result: str) -> None:
        """Let a folder start anew of which a result was taken away when its originals were moved already, or fail."""
        if job.rounds < folder_changes.MAX_ROUNDS:
            self.claimer.start_anew(job, printable(result))
        else:
            job.problem = Problem(code="file_changed", fields={"name": result})

    async def _addition(self, job: Job) -> PendingFolder | None:
        """Return the folder in the inbox whose files belong to this job. Raises NotReady until that is known."""
        unseen = job.name not in self.state.pending and job.problem is None
        if unseen and await self.share.thread.call(share_fs.exists, self.share.root / "inbox" / job.name):
            raise NotReady("more_coming", name=job.name)  # the next scan tells
        return self.seen_addition(job)

    def seen_addition(self, job: Job) -> PendingFolder | None:
        """As `_addition`, going by the last scan."""
        pending = self.state.pending.get(job.name)
        if pending is None or job.problem is not None:
            return None
        if pending.partial and pending.state in ("copying", "settling"):
            raise NotReady("more_coming", name=job.name)
        return pending if pending.belongs_to == job.id else None

    async def return_to_inbox(self, job: Job) -> None:
        """Move the folder of a job whose files changed back to the inbox, with its good results; forget the job."""
        try:
            await self.share.thread.call(job_folder.must_exist, self._folder(job))
            await self._return(job)
        except FileNotFoundError as error:  # moved before a crash, or taken away by users
            logger.bind(job=job.name, id=job.id).info("its folder is no longer there: {}", describe(error))
        self.state.active.remove(job)
        self.store.close_log(job)
        self.store.forget(job)
        shutil.rmtree(self.config.paths.cache / "jobs" / job.id, ignore_errors=True)

    async def _return(self, job: Job) -> None:
        thread, root = self.share.thread, self.share.root
        addition = await self._addition(job)
        late = addition.name if addition is not None else ""
        job.destination = (
            f"inbox/{late}" if late else await thread.call(result_folder.free_folder, root, "inbox", job.name)
        )
        self.store.save(job)
        changes = await thread.drain(folder_changes.compare(self._folder(job), job))
        render, group = self.config.render, self.share.group
        try:
            await thread.drain(result_folder.return_to_inbox(root, job, changes.changed, late, render, group))
        except FileExistsError:
            raise NotReady("more_coming", name=job.name) from None
        # Its place in the queue is kept here only: what the folder itself says could have been written by anyone.
        name = job.destination.removeprefix("inbox/")
        self.state.pending[name] = PendingFolder(name, job.arrived)
        logger.bind(job=job.name, id=job.id).info("returned as {}", job.destination)

    def _folder(self, job: Job) -> Path:
        return self.share.root / "processing" / job.folder


def _tell_gone(job: Job, templates: Iterable[Media]) -> None:
    """Note which templates were taken away after something was made from them."""
    used = {video.source.name for video in job.videos if video.state == "done"}
    notices = [Notice(code="template_gone", fields={"name": media.title}) for media in templates if media.name in used]
    job.notices += [notice for notice in notices if notice not in job.notices]


def _fail_changed(job: Job, changes: Changes) -> None:
    """Let everything fail that changed after the folder was started anew as often as allowed."""
    for media in changes.changed:
        problem = Problem(code="file_changed", fields={"name": media.title})
        failed = [v for v in job.videos if media.name in (v.source.name, v.voice.name if v.voice else "")]
        for video in failed or job.videos:  # the voice and job.toml concern all of them
            video.state, video.problem = "failed", problem
        if not failed:
            job.problem = problem
    for entry in changes.added:
        source = media_of(entry)
        problem = Problem(code="file_added", fields={"name": entry.name, "count": job.rounds})
        job.videos.append(Video(source=source, output="", state="failed", problem=problem))
