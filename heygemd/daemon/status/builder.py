"""Builds snapshots: what the status page, the command line and `systemctl status` show."""

from __future__ import annotations

import time
from datetime import datetime

from ...config.schema import GIB, Config
from ...errors import HeygemdError, LocalDiskError, printable
from ...i18n import catalog
from ...i18n.catalog import Text
from ...job import Job, Video
from ...path_checks import nearest_existing
from ...protocol import Notice
from ...storage import mounts, share_fs
from ...storage.availability import ShareAvailability
from ..gpus import gpu_names
from ..intake import filename_rules, job_folder
from ..publish import preview_store
from ..queue_state import PendingFolder, QueueState, RunningVideo
from . import live_view
from .share_pages import link
from .snapshot import Health, JobView, Snapshot, State, VideoView

RECENT = 20
"""How many finished jobs a snapshot shows."""
MAX_DONE = 20
"""How many good videos of a finished job it holds: snapshots of twenty batches are written every few seconds."""


class SnapshotBuilder:
    """Builds snapshots of the queue and of the share's availability."""

    def __init__(self, config: Config, state: QueueState, share: ShareAvailability) -> None:
        """`state` and `share` are only read."""
        self.config = config
        self.state = state
        self.share = share
        self.gpus = gpu_names()
        self.moved_away: frozenset[str] = frozenset()
        """Finished jobs without a folder to link to; see `share_pages.moved_away`."""
        self.warnings: tuple[HeygemdError, ...] = ()
        """What fails without stopping any job."""
        self._started: dict[RunningVideo, tuple[float, float]] = {}
        self._views: dict[str, tuple[tuple[object, ...], JobView]] = {}
        """The view of each folder in the inbox, and what it was made of: a thousand take a tenth of a second."""
        self._recent: dict[str, tuple[tuple[object, ...], JobView]] = {}
        """The same of the latest finished jobs: a daemon with nothing to do would spend most of its time on them."""

    def build(self) -> Snapshot:
        """Return a snapshot of this moment."""
        queue = self.state
        state, detail = self._state()
        self._started = {run: self._started[run] for run in queue.running if run in self._started}
        self._views = {name: view for name, view in self._views.items() if name in queue.pending}
        working = list({run.job.id: self._job(run.job) for run in queue.running}.values())
        jobs = [self._job(job) for job in queue.ordered() if not queue.running_of(job)]
        pending = sorted(queue.pending.values(), key=lambda p: p.arrived)
        return Snapshot(
            state=state,
            detail=detail,
            current=working[0] if working else None,
            beside=tuple(working[1:]),
            queue=(*jobs, *(self._pending(p) for p in queue.ready())),
            waiting=(
                *self._other_daemon(),
                *self._misplaced(),
                *(self._pending(p) for p in pending if p.job is None),
            ),
            recent=self._finished(queue.finished[-RECENT:]),
            health=self._health(),
            updated=_iso(time.time()),
        )

    def _state(self) -> tuple[State, Text]:
        problem = self.share.problem or self.state.paused_by
        if self.share.problem:
            state: State = "share-unavailable"
        elif self.state.running:
            state = "working"
        elif problem or self.state.inbox_paused:
            state = "paused"
        else:
            state = "idle"
        if problem:
            return state, self._texts(problem.code, problem.fields)
        return state, self._texts("paused_by_file", {}) if self.state.inbox_paused else {}

    def _health(self) -> Health:
        mount = self.share.mount
        return Health(
            gpus=self.gpus,
            share_free_gib=_gib(mount.free_bytes) if mount else None,
            disk_free_gib=self._disk_free_gib(),
            warnings=tuple(self._texts(each.code, each.fields) for each in self.warnings),
        )

    def _disk_free_gib(self) -> float | None:
        try:
            return _gib(mounts.local_free_bytes(nearest_existing(self.config.paths.cache)))
        except LocalDiskError:  # a failing disk must not end the main loop
            return None

    def _texts(self, code: str, fields: dict[str, object]) -> Text:
        return catalog.texts(code, fields, self.config.pages.languages)

    def _other_daemon(self) -> list[JobView]:
        """Return an entry for another daemon that serves this share, too."""
        host = self.state.other_daemon
        text = self._texts("another_daemon", {"host": host})
        return [JobView(id="share", name="heygemd", state="waiting", text=text, folder="")] if host else []

    def _misplaced(self) -> list[JobView]:
        """Return entries for the files that lie directly in the inbox, and for what lies beside it."""
        views = []
        if loose := self.state.loose_files:
            text = self._paragraph(*loose)
            views.append(JobView(id="inbox", name="inbox", state="waiting", text=text, folder="inbox"))
        for name in map(printable, self.state.beside_inbox):
            code = "pause_misplaced" if filename_rules.looks_like_pause(name) else "beside_inbox"
            text = self._texts(code, {"name": name})
            views.append(JobView(id=f"beside/{name}", name=name, state="waiting", text=text, folder=name))
        return views

    def _paragraph(self, *messages: HeygemdError | Notice) -> Text:
        return catalog.paragraph([(m.code, m.fields) for m in messages], self.config.pages.languages)

    def _pending(self, pending: PendingFolder) -> JobView:
        made_of = (pending, pending.state, pending.reason, pending.notices, pending.job, self.config.pages.languages)
        known = self._views.get(pending.name)
        if known is None or known[0] != made_of:
            known = self._views[pending.name] = made_of, self._view(pending)
        return known[1]

    def _view(self, pending: PendingFolder) -> JobView:
        reason = pending.reason
        text = self._paragraph(reason, *pending.notices) if reason else {}
        if not text and pending.state in ("settling", "copying"):
            text = self._texts("settling", {})
        return JobView(
            id=f"inbox/{printable(pending.name)}",
            name=printable(pending.name),
            state=pending.state,
            text=text,
            folder="inbox",
            videos=tuple(self._video(pending.job, v) for v in pending.job.videos) if pending.job else (),
            arrived=_iso(pending.arrived),
        )

    def _finished(self, jobs: list[Job]) -> tuple[JobView, ...]:
        """Return the views of these finished jobs, oldest first, the newest first.

        A finished job's record does not change any more: only its folder may go.
        """
        known, self._recent = self._recent, {}
        for job in reversed(jobs):
            made_of = (job, self._there(job), self.config.pages.languages)
            view = known.get(job.id)
            self._recent[job.id] = view if view is not None and view[0] == made_of else (made_of, self._job(job))
        return tuple(view for _, view in self._recent.values())

    def _job(self, job: Job) -> JobView:
        back_off = self.state.backing_off.get(job.id)
        reason = job.problem or (back_off.reason if back_off else None)
        finished = job.phase == "finished"
        there = self._there(job)
        omitted = [video for video in job.videos if video.state == "done"][MAX_DONE:] if finished else []
        left_out = set(map(id, omitted))
        return JobView(
            id=job.id,
            name=printable(job.name),
            state=("done" if job.succeeded else "failed")
            if finished
            else "claimed"
            if job.phase == "returning"
            else job.phase,
            folder="processing" if not finished else printable(job.destination) if there else "",
            link=link(job.destination, job_folder.REPORT) if there else "",
            text=self._texts(reason.code, reason.fields) if reason else {},
            videos=tuple(self._video(job, video) for video in job.videos if id(video) not in left_out),
            omitted=len(omitted),
            arrived=_iso(job.arrived),
            finished=_iso(job.finished) if finished else "",
        )

    def _there(self, job: Job) -> bool:
        """Return whether a finished job's folder is at its destination, so that links to it work."""
        return job.phase == "finished" and bool(job.destination) and job.id not in self.moved_away

    def _video(self, job: Job, video: Video) -> VideoView:
        name = printable(video.title)
        if (run := self.state.run_of(video)) is not None:
            return self._running(run, name)
        if job.phase == "finished" and video.state in ("waiting", "rendered"):
            return VideoView(name=name, state="failed")  # the job's own problem says why
        if video.state == "waiting":
            return VideoView(name=name, state="waiting")
        if video.problem is not None:
            return VideoView(name=name, state="failed", text=self._texts(video.problem.code, video.facts()))
        shown = self._there(job)
        if not shown:
            return VideoView(name=name, state="done", percent=100.0, link=_early_link(job, video))
        return VideoView(
            name=name,
            state="done",
            percent=100.0,
            warnings=tuple(self._texts(f.code, f.fields) for f in video.notices),
            link=link(job.destination, video.output),
            thumbnail=link(job.destination, share_fs.HIDDEN, preview_store.thumbnail_name(video)),
            faces=link(job.destination, share_fs.HIDDEN, preview_store.faces_name(video)) if video.faces else "",
        )

    def _running(self, run: RunningVideo, name: str) -> VideoView:
        now, progress = time.monotonic(), run.progress
        percent = progress.percent if progress else 0.0
        since, first = self._started.setdefault(run, (now, percent))
        gained = percent - first
        eta_s = (now - since) / gained * (100 - percent) if gained > 1 else None
        phase = progress.phase if progress else "copy-in"
        fps = progress.fps if progress else 0.0
        picture, clip = live_view.links(self.state.running, run)
        return VideoView(name, "running", phase, percent, fps, eta_s, picture=picture, clip=clip)


def _early_link(job: Job, video: Video) -> str:
    """Return the link to a result of a job that goes on, "" where it is on its way to another place."""
    if job.phase != "claimed":
        return ""
    place = (video.output,) if video.kept else (share_fs.HIDDEN, video.hidden_name)
    return link("processing", job.folder, *place)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")


def _gib(size: int) -> float:
    """Return free space in GiB, coarse if it is large, so that the page is not rewritten for every megabyte."""
    gib = size / GIB
    return round(gib, 1) if gib < 10 else float(round(gib))
