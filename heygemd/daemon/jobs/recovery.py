"""After a start: what the records and the folders say about work that was interrupted."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from loguru import logger

from ...config.schema import Config
from ...errors import NotReady, describe
from ...job import Job, Problem, Video
from ...storage import share_fs
from ...storage.availability import ShareAvailability
from ..intake import filename_rules, job_folder
from ..intake.claim import move_to_inbox
from ..job_store import Store
from ..queue_state import QueueState

ORPHAN_S = 60.0
OWNER_BYTES = 200


def restore(state: QueueState, store: Store, config: Config) -> None:
    """Read the records into `state`; an interrupted attempt stays counted."""
    for job in store.load():
        (state.finished if job.phase == "finished" else state.active).append(job)
    state.finished.sort(key=lambda job: job.finished)
    interrupted = [(job, video) for job in state.active for video in job.videos if video.running]
    for job, video in interrupted:
        _count_unclean_end(job, video, config.attempts.daemon_crash_limit, alone=len(interrupted) == 1)
        store.save(job)
    _remove_scratch(config.paths.cache / "jobs", {job.id for job in state.active})


def _count_unclean_end(job: Job, video: Video, limit: int, alone: bool) -> None:
    """Fail only a video that was rendered alone: then it is what took the daemon down; see Running.may_start."""
    video.running = False
    video.unclean_ends += 1
    if alone and video.state == "waiting" and video.unclean_ends >= limit:
        video.state = "failed"
        video.problem = Problem(code="machine_stopped", fields={"count": video.unclean_ends})
    say = logger.bind(job=job.name, id=job.id)
    say.warning("{}: the daemon ended while this was being rendered; continuing", video.output)


def _remove_scratch(scratch: Path, wanted: set[str]) -> None:
    """Remove the scratch folders of jobs that are no longer active."""
    with contextlib.suppress(OSError):  # absent, or not ours: the first attempt reports that
        for folder in scratch.iterdir():
            if folder.name not in wanted:
                shutil.rmtree(folder, ignore_errors=True)


class OrphanedFolders:
    """Folders in processing/ without a record: put there by users, or left when the records were lost.

    One that carries our mark or none, and was seen a minute ago too, goes back to the inbox. Another daemon's stays.
    """

    def __init__(self, state: QueueState, share: ShareAvailability, instance: str) -> None:
        """`instance`: this installation's id, which its folders carry."""
        self.state = state
        self.share = share
        self.instance = instance
        self._seen: set[str] = set()
        self._reported: set[str] = set()
        self._next = 0.0

    async def check(self) -> None:
        """Look for orphaned folders, at most once a minute, and put back those that were there the last time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + ORPHAN_S
        known = {job.folder for job in self.state.active}
        names = await self.share.thread.call(share_fs.names, self.share.root / "processing")
        orphaned = {name for name in names if name not in known and not _ignored(name)}
        for name in orphaned & self._seen:
            await self._put_back(name)
        self._seen = orphaned

    async def _put_back(self, name: str) -> None:
        thread, root = self.share.thread, self.share.root
        owner = await thread.call(_owner, root / "processing" / name)
        if owner not in ("", self.instance):
            if name not in self._reported:
                logger.warning("processing/{} belongs to another heygemd; not touched", name)
                self._reported.add(name)
            return
        say = logger.bind(job=name)
        try:
            back = await thread.drain(move_to_inbox(root, Job.model_construct(name=name, folder=name)))
            say.warning("found in processing/ without a record; put back as inbox/{}", back)
        except (NotReady, OSError) as error:
            if name not in self._reported:
                say.warning("found in processing/ without a record, cannot be moved: {}", describe(error))
                self._reported.add(name)


def _ignored(name: str) -> bool:
    return filename_rules.skip_dir(name) or filename_rules.is_a("junk", name)


def _owner(folder: Path) -> str:
    try:
        mark = share_fs.read(folder / share_fs.HIDDEN / job_folder.OWNER, OWNER_BYTES)
        return mark.decode("utf-8", "replace").strip()
    except (OSError, NotReady):
        return ""
