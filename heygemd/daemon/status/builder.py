"""The live picture: what the page on the share, the CLI and `systemctl status` show; written when it changed."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

from pydantic import ValidationError

from ...config.schema import GIB, Config
from ...errors import printable
from ...i18n import catalog
from ...i18n.catalog import Text
from ...job import Job, Video
from ...path_checks import nearest_existing
from ...storage import atomic, share_fs
from ...storage.availability import ShareAvailability
from ...storage.share_layout import MARKER
from ..intake import filename_rules, job_folder
from ..intake.classify import AUDIO_ENDINGS, VIDEO_ENDINGS
from ..pages.html_page import page
from ..publish import preview_store, retention
from ..queue_state import PendingFolder, QueueState, RunningVideo
from .snapshot import Health, JobView, Snapshot, State, VideoView

FILE = "status.json"
HOW_TO = "HOW-TO.html"
ENDINGS = {"audio": AUDIO_ENDINGS, "video": VIDEO_ENDINGS}
RECENT = 20
HEARTBEAT_S = 60.0
"""The page counts as stale when it was not written for some of these."""
GPUS = Path("/proc/driver/nvidia/gpus")


class Board:
    """Makes snapshots of the queue and of the share's state."""

    def __init__(self, config: Config, state: QueueState, share: ShareAvailability) -> None:
        """`state` and `share` are only read."""
        self.config = config
        self.state = state
        self.share = share
        self.gpus = gpus()
        self.gone: frozenset[str] = frozenset()
        """Finished jobs whose folder staff took away since; see `gone`."""
        self._started: dict[RunningVideo, tuple[float, float]] = {}

    def snapshot(self) -> Snapshot:
        """Return the picture of this moment."""
        queue = self.state
        state, detail = self._state()
        self._started = {run: self._started[run] for run in queue.running if run in self._started}
        working = list({run.job.id: self._job(run.job) for run in queue.running}.values())
        jobs = [self._job(job) for job in queue.ordered() if not queue.running_of(job)]
        pending = sorted(queue.pending.values(), key=lambda p: p.arrived)
        return Snapshot(
            state=state,
            detail=detail,
            current=working[0] if working else None,
            beside=tuple(working[1:]),
            queue=(*jobs, *(self._pending(p) for p in queue.ready())),
            waiting=(*self._loose(), *(self._pending(p) for p in pending if p.job is None)),
            recent=tuple(self._job(job) for job in reversed(queue.finished[-RECENT:])),
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
            disk_free_gib=_gib(shutil.disk_usage(nearest_existing(self.config.paths.cache)).free),
        )

    def _texts(self, code: str, fields: dict[str, object]) -> Text:
        return catalog.texts(code, fields, self.config.pages.languages)

    def _loose(self) -> list[JobView]:
        """Return what is said of files that lie in the inbox itself."""
        loose = self.state.loose_files
        text = self._texts("loose_files", {"names": loose})
        return [JobView(id="inbox", name="inbox", state="waiting", text=text, folder="inbox")] if loose else []

    def _pending(self, pending: PendingFolder) -> JobView:
        reason = pending.reason
        text = self._texts(reason.code, reason.fields) if reason else {}
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

    def _job(self, job: Job) -> JobView:
        back_off = self.state.backing_off.get(job.id)
        reason = job.problem or (back_off.reason if back_off else None)
        finished = job.phase == "finished"
        there = self._there(job)
        return JobView(
            id=job.id,
            name=printable(job.name),
            state=("done" if job.succeeded else "failed") if finished else job.phase,
            folder="processing" if not finished else printable(job.destination) if there else "",
            link=link(job.destination, job_folder.REPORT) if there else "",
            text=self._texts(reason.code, reason.fields) if reason else {},
            videos=tuple(self._video(job, video) for video in job.videos),
            arrived=_iso(job.arrived),
            finished=_iso(job.finished) if finished else "",
        )

    def _there(self, job: Job) -> bool:
        """Whether a finished job's folder lies where it was put, so that a link leads to it."""
        return job.phase == "finished" and bool(job.destination) and job.id not in self.gone

    def _video(self, job: Job, video: Video) -> VideoView:
        name = printable(video.source.title)
        if (run := self.state.run_of(video)) is not None:
            return self._running(run, name)
        if video.state == "waiting":
            return VideoView(name=name, state="waiting")
        if video.problem is not None:
            return VideoView(name=name, state="failed", text=self._texts(video.problem.code, video.facts()))
        shown = self._there(job)
        return VideoView(
            name=name,
            state="done",
            percent=100.0,
            warnings=tuple(self._texts(f.code, f.fields) for f in video.notices),
            link=link(job.destination, video.output) if shown else "",
            thumbnail=link(job.destination, share_fs.HIDDEN, preview_store.thumbnail_name(video)) if shown else "",
        )

    def _running(self, run: RunningVideo, name: str) -> VideoView:
        now, progress = time.monotonic(), run.progress
        percent = progress.percent if progress else 0.0
        since, first = self._started.setdefault(run, (now, percent))
        gained = percent - first
        eta_s = (now - since) / gained * (100 - percent) if gained > 1 else None
        phase = progress.phase if progress else "copy-in"
        fps = progress.fps if progress else 0.0
        return VideoView(name=name, state="running", phase=phase, percent=percent, fps=fps, eta_s=eta_s)


def gone(share: Path, jobs: list[Job]) -> frozenset[str]:
    """Return the ids of those among finished jobs (oldest first) whose folder is no longer where it was put.

    Staff moved it, or a later job has its place: what lies there is not what the older one made. Runs on the I/O
    thread. Raises FileNotFoundError where the share itself is gone.
    """
    share_fs.read(share / MARKER)
    found, taken = set(), set()
    for job in reversed(jobs):
        if job.destination in taken or not share_fs.exists(share / job.destination / job_folder.REPORT):
            found.add(job.id)
        taken.add(job.destination)
    return frozenset(found)


def link(*parts: str) -> str:
    """Return a link relative to the share; names may be bytes that are no text."""
    return quote(os.fsencode("/".join(parts)))


def gpus(root: Path = GPUS) -> tuple[str, ...]:
    """Return the names of NVIDIA's cards as their driver tells them; asking CUDA would take a second and 200 MB."""
    found = []
    for path in sorted(root.glob("*/information")):
        model = next((line for line in path.read_text().splitlines() if line.startswith("Model:")), "")
        found.append(printable(model.removeprefix("Model:").strip()))
    return tuple(found)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().isoformat(timespec="seconds")


def _gib(size: int) -> float:
    """Free space, coarse where there is much of it: the page is not rewritten for every megabyte."""
    gib = size / GIB
    return round(gib, 1) if gib < 10 else float(round(gib))


def as_json(snapshot: Snapshot) -> bytes:
    """Return the snapshot as the JSON of status.json."""
    return (snapshot.model_dump_json() + "\n").encode("utf-8", "replace")


def share_files(snapshot: Snapshot, config: Config) -> dict[str, bytes]:
    """Return what lies on the share: the pages (constant), the data one loads again and again, the same for programs.

    A page opened from a file may not fetch, but it may load a script.
    """
    pages, limit = config.pages, config.limits.max_files_per_job - 1
    data = as_json(snapshot)
    return {
        HOW_TO: _how_to(tuple(pages.languages), limit, retention.wanted(config)),
        "status.html": _shell(tuple(pages.languages), max(1, round(pages.refresh_s))),
        "status.js": b"heygemd(" + data.rstrip() + b");\n",
        FILE: data,
    }


@cache
def _shell(languages: tuple[str, ...], refresh_s: int) -> bytes:
    return page("status.html", languages, refresh_s=refresh_s, stale_s=3 * HEARTBEAT_S, how_to=HOW_TO)


@cache
def _how_to(languages: tuple[str, ...], limit: int, cleared: bool) -> bytes:
    kinds = {name: [e.removeprefix(".") for e in endings] for name, endings in ENDINGS.items()}
    return page("how-to.html", languages, limit=limit, cleared=cleared, why_note=filename_rules.WHY_NOTE, **kinds)


def write_local(config: Config, snapshot: Snapshot) -> None:
    """Put the snapshot where `heygemd status` finds it."""
    atomic.write(config.paths.state / FILE, as_json(snapshot), mode=0o644, durable=False)


def write_share(share: Path, written: dict[str, bytes], content: dict[str, bytes], group: int | None) -> None:
    """Put what changed since `written` into the share (on the I/O thread), and what somebody deleted.

    Raises FileNotFoundError when the share is not there: nothing may be made in the empty folder that it leaves.
    """
    share_fs.read(share / MARKER)
    for name, data in content.items():
        if written.get(name) != data or not share_fs.exists(share / name):
            share_fs.write(share / name, data, group, durable=False)
            written[name] = data


def read(config: Config) -> Snapshot | None:
    """Return what a daemon with this configuration last wrote, or None."""
    try:
        return Snapshot.model_validate_json((config.paths.state / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
