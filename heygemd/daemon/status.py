"""The live picture: what the page on the share, the CLI and `systemctl status` show; written when it changed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from .. import __version__, files, messages
from ..config import Config
from ..errors import printable
from ..job import Job, Video
from ..protocol import Progress
from .reports import outcome, templates
from .scheduler import Scheduler
from .settle import Pending

FILE = "status.json"
RECENT = 20
State = Literal["idle", "working", "paused", "share-unavailable", "stopped"]


class View(BaseModel):
    """A frozen part of the picture; all texts are safe to print."""

    model_config = ConfigDict(frozen=True)


class VideoView(View):
    """One video: its name, state, how far it is, what there is to say (a text for each language)."""

    name: str
    state: Literal["waiting", "running", "done", "failed"]
    phase: str = ""
    percent: float = 0
    fps: float = 0
    eta_s: float | None = None
    text: tuple[str, ...] = ()


class JobView(View):
    """One folder: its name, where it is, its videos, what there is to say."""

    name: str
    state: str
    folder: str = ""
    text: tuple[str, ...] = ()
    videos: tuple[VideoView, ...] = ()
    finished: str = ""


class Snapshot(View):
    """Everything at one moment.

    state    what the daemon does as a whole; detail: why, a text for each language
    current  the job being rendered
    queue    what follows, in order
    waiting  folders that are not ready, and why
    recent   finished ones, newest first
    """

    version: str = __version__
    state: State
    detail: tuple[str, ...] = ()
    current: JobView | None = None
    queue: tuple[JobView, ...] = ()
    waiting: tuple[JobView, ...] = ()
    recent: tuple[JobView, ...] = ()
    updated: str = ""

    def line(self) -> str:
        """Return the one line that `systemctl status` shows."""
        if self.state == "working" and self.current is not None:
            done = sum(v.state == "done" for v in self.current.videos)
            running = next((v for v in self.current.videos if v.state == "running"), None)
            percent = f" {running.name} {running.percent:.0f}%" if running else ""
            return f"{self.current.name}: {done} of {len(self.current.videos)} done,{percent}; {len(self.queue)} queued"
        detail = f": {self.detail[0]}" if self.detail else ""
        stuck = next((f" ({j.name}: {j.text[0]})" for j in (*self.queue, *self.waiting) if j.text), "")
        return f"{self.state}{detail}; {len(self.queue)} queued, {len(self.waiting)} waiting{stuck}"


class Board:
    """Makes snapshots and writes them to the share (page and JSON) and to the state folder (for the CLI)."""

    def __init__(self, config: Config, scheduler: Scheduler) -> None:
        """`scheduler` is only read."""
        self.config = config
        self.scheduler = scheduler
        self.languages = config.people.languages
        self._started: tuple[str, float, float] = ("", 0.0, 0.0)

    def snapshot(self) -> Snapshot:
        """Return the picture of this moment."""
        scheduler, guard = self.scheduler, self.scheduler.guard
        state: State = "working" if scheduler.progress else "idle"
        problem = guard.problem or scheduler.paused
        if guard.problem:
            state = "share-unavailable"
        elif problem and not scheduler.progress:
            state = "paused"
        detail = self._texts(problem.code, problem.fields) if problem else ()
        current = scheduler.progress[0] if scheduler.progress else None
        jobs = [self._job(job) for job in scheduler.ordered() if job is not current]
        pending = scheduler.inbox.pending.values()
        return Snapshot(
            state=state,
            detail=detail,
            current=self._job(current) if current else None,
            queue=(*jobs, *(self._pending(p) for p in scheduler.inbox.queue())),
            waiting=tuple(self._pending(p) for p in sorted(pending, key=lambda p: p.arrived) if p.job is None),
            recent=tuple(self._job(job) for job in reversed(scheduler.finished[-RECENT:])),
            updated=time.strftime("%Y-%m-%d %H:%M:%S"),
        )

    def _texts(self, code: str, fields: dict[str, object]) -> tuple[str, ...]:
        return tuple(messages.text(code, fields, language) for language in self.languages)

    def _pending(self, pending: Pending) -> JobView:
        reason = pending.reason
        texts = self._texts(reason.code, reason.fields) if reason else ()
        if not texts and pending.state in ("settling", "copying"):
            texts = self._texts("settling", {})
        return JobView(name=printable(pending.name), state=pending.state, text=texts, folder="inbox")

    def _job(self, job: Job) -> JobView:
        reason = job.problem or self.scheduler.resting.get(job.id)
        texts = self._texts(reason.code, reason.fields) if reason else ()
        finished = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.finished)) if job.phase == "finished" else ""
        state = job.phase if job.phase != "finished" else ("done" if job.succeeded else "failed")
        folder = printable(job.destination) if finished else "processing"
        videos = tuple(self._video(job, video) for video in job.videos)
        return JobView(
            name=printable(job.name), state=state, folder=folder, text=texts, videos=videos, finished=finished
        )

    def _video(self, job: Job, video: Video) -> VideoView:
        name = printable(video.source.title)
        running = self.scheduler.progress
        if running is not None and running[1] is video:
            return self._running(job, name, running[2])
        state = "done" if video.state == "rendered" else video.state
        return VideoView(
            name=name,
            state=state,
            percent=100.0 if state == "done" else 0.0,
            text=tuple(outcome(video, language) for language in self.languages),
        )

    def _running(self, job: Job, name: str, progress: Progress | None) -> VideoView:
        now, key = time.monotonic(), f"{job.id}/{name}"
        percent = progress.percent if progress else 0.0
        if self._started[0] != key:
            self._started = (key, now, percent)
        _, since, first = self._started
        gained = percent - first
        eta_s = (now - since) / gained * (100 - percent) if gained > 1 else None
        phase = progress.phase if progress else "copy-in"
        fps = progress.fps if progress else 0.0
        return VideoView(name=name, state="running", phase=phase, percent=percent, fps=fps, eta_s=eta_s)


def as_json(snapshot: Snapshot) -> bytes:
    """Return the snapshot as the JSON of status.json."""
    return (json.dumps(snapshot.model_dump(), ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def as_page(snapshot: Snapshot, refresh_s: float) -> bytes:
    """Return the snapshot as a self-contained page that reloads itself."""
    page = templates().get_template("status.html").render(s=snapshot, refresh_s=max(1, round(refresh_s)))
    return page.encode("utf-8", "replace")


def write_local(config: Config, snapshot: Snapshot) -> None:
    """Put the snapshot where `heygemd status` finds it."""
    files.write(config.paths.state / FILE, as_json(snapshot), mode=0o644, durable=False)


def write_share(share: Path, pages: Sequence[tuple[str, bytes]], group: int | None) -> None:
    """Put page and JSON into the share (on the I/O thread)."""
    for name, data in pages:
        files.write(share / name, data, group, durable=False)


def read(config: Config) -> Snapshot | None:
    """Return what a daemon with this configuration last wrote, or None."""
    try:
        return Snapshot.model_validate_json((config.paths.state / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
