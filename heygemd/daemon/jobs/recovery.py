"""After a start: what the records and the folders say about work that was under way."""

from __future__ import annotations

import time
from pathlib import Path

from loguru import logger

from ...config.schema import Config
from ...errors import NotReady
from ...job import Job, Problem, Video
from ...storage import share_fs
from ..intake import filename_rules
from ..job_store import Store
from ..publish import publish
from .scheduler import Scheduler

STRAY_S = 60.0


def resume(store: Store, scheduler: Scheduler, config: Config) -> None:
    """Sort the records into finished and active ones; an attempt that was under way stays counted."""
    for job in store.load():
        (scheduler.finished if job.phase == "finished" else scheduler.active).append(job)
    scheduler.finished.sort(key=lambda job: job.finished)
    under_way = [(job, video) for job in scheduler.active for video in job.videos if video.running]
    for job, video in under_way:
        _count_unclean_end(job, video, config.attempts.daemon_crash_limit, alone=len(under_way) == 1)
        store.save(job)
    _sweep(config.paths.cache / "jobs", {job.id for job in scheduler.active})


def _count_unclean_end(job: Job, video: Video, limit: int, alone: bool) -> None:
    """Only a video that was rendered alone can be the one that took the daemon down; see Runs.may_begin."""
    video.running = False
    video.unclean_ends += 1
    if alone and video.state == "waiting" and video.unclean_ends >= limit:
        video.state = "failed"
        video.problem = Problem(code="machine_stopped", fields={"count": video.unclean_ends})
    say = logger.bind(job=job.name, id=job.id)
    say.warning("{}: the daemon ended while this was being rendered; going on", video.output)


def _sweep(scratch: Path, wanted: set[str]) -> None:
    """Remove scratch of jobs that are no longer active: ours by place and by id."""
    if scratch.is_dir():
        for folder in scratch.iterdir():
            if folder.name not in wanted:
                publish.clean_scratch(folder)


class Strays:
    """Folders in processing/ that no record knows: put there by staff, or left when the records were lost.

    One that is ours or nobody's and was seen a minute ago too goes back to the inbox; another daemon's is left alone.
    """

    def __init__(self, config: Config, scheduler: Scheduler) -> None:
        """Looks when `check` is called, at most once a minute."""
        self.share = config.paths.share
        self.scheduler = scheduler
        self._seen: set[str] = set()
        self._told: set[str] = set()
        self._next = 0.0

    async def check(self) -> None:
        """Look for strays and put back those of a minute ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + STRAY_S
        thread = self.scheduler.guard.thread
        known = {job.folder for job in self.scheduler.active}
        listing = await thread.call(share_fs.names, self.share / "processing")
        strays = {
            n
            for n in listing
            if n not in known and not filename_rules.skip_dir(n) and not filename_rules.is_a("junk", n)
        }
        for name in strays & self._seen:
            await self._put_back(name)
        self._seen = strays

    async def _put_back(self, name: str) -> None:
        thread = self.scheduler.guard.thread
        owner = await thread.call(_owner, self.share / "processing" / name)
        if owner not in ("", self.scheduler.instance):
            if name not in self._told:
                logger.warning("processing/{} belongs to another heygemd; left alone", name)
                self._told.add(name)
            return
        stray = Job.model_construct(name=name, folder=name)
        try:
            back = await thread.drain(publish.put_back(self.share, stray))
            logger.bind(job=name).warning("found in processing/ without a record; put back as inbox/{}", back)
        except (NotReady, OSError) as error:
            logger.bind(job=name).warning("found in processing/ without a record, cannot be moved: {}", error)


def _owner(folder: Path) -> str:
    try:
        return share_fs.read(folder / share_fs.HIDDEN / publish.OWNER).decode("utf-8", "replace").strip()
    except (OSError, NotReady):
        return ""
