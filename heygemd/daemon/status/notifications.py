"""Notifications for the administrator, as files in the outbox: the daemon has no network, see `send_notifications`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...config.schema import Config
from ...errors import InfrastructureError, printable
from ...job import Job
from ...storage import atomic

REPORT_PAUSE_AFTER_S = 60.0
"""A pause that is over sooner is not reported."""
DAY_S = 24 * 3600
DIGEST_DAY = "digest"
"""File in the state folder: the day of the last digest."""


class Notifier:
    """Writes a notification for each event that the configuration asks for; never waits."""

    def __init__(self, config: Config, known: Iterable[Job]) -> None:
        """`known`: jobs that finished before; they are not reported."""
        self.config = config
        self._reported = {job.id for job in known}
        self._paused_since: float | None = None
        self._digest_day = ""
        self._pause_reported = False

    def update(self, finished: Iterable[Job], paused_by: InfrastructureError | None, now: float) -> None:
        """Compare the state at `now` (wall clock) with what was reported. Raises LocalDiskError; then call it again."""
        if not self.config.notify.urls:
            self._reported = {job.id for job in finished}  # addresses given later hear of later jobs
            return
        for job in finished:
            if job.id not in self._reported:
                self._report_job(job)
                self._reported.add(job.id)
        self._report_pause(paused_by, now)
        self._report_digest(finished, now)

    def _report_job(self, job: Job) -> None:
        failed = [v for v in job.videos if v.state == "failed"]
        event = "failed" if failed or job.problem else "done"
        problems = [(job.problem, job.problem.fields)] if job.problem else [(v.problem, v.facts()) for v in failed]
        place = f"processing/{job.folder}" if job.abandoned else job.folder  # or users took it away
        fields = {
            "job": printable(job.name),
            "folder": printable(job.destination or place),
            "done": sum(v.state == "done" for v in job.videos),
            "total": len(job.videos),
            "problems": [{"code": p.code, "fields": facts} for p, facts in problems if p is not None],
        }
        self._put(event, fields)

    def _report_pause(self, paused_by: InfrastructureError | None, now: float) -> None:
        if paused_by is None:
            if self._pause_reported:
                self._put("recovered", {})
            self._paused_since, self._pause_reported = None, False
            return
        if self._paused_since is None:
            self._paused_since = now
        if not self._pause_reported and now - self._paused_since >= REPORT_PAUSE_AFTER_S:
            self._put("paused", {"problems": [{"code": paused_by.code, "fields": paused_by.fields}]})
            self._pause_reported = True

    def _report_digest(self, finished: Iterable[Job], now: float) -> None:
        """Write a digest once a day, from the configured hour on; a file remembers the day."""
        moment = time.localtime(now)
        if "digest" not in self.config.notify.on or moment.tm_hour < self.config.notify.digest_hour:
            return
        today = time.strftime("%Y-%m-%d", moment)
        if today in (self._digest_day, _read(self.config.paths.state / DIGEST_DAY)):
            return
        recent = [job for job in finished if now - job.finished < DAY_S]
        good = sum(v.state == "done" for job in recent for v in job.videos)
        bad = sum(v.state == "failed" for job in recent for v in job.videos)
        self._put("digest", {"jobs": len(recent), "good": good, "bad": bad})
        self._digest_day = today
        self._write(self.config.paths.state / DIGEST_DAY, today.encode())

    def _put(self, event: str, fields: dict[str, Any]) -> None:
        if event not in self.config.notify.on:
            return
        item = {"event": event, "time": time.time(), **fields}
        data = json.dumps(item, ensure_ascii=False, default=str).encode("utf-8", "replace")
        self._write(self.config.paths.outbox / f"{time.time_ns()}-{uuid.uuid4().hex[:6]}.json", data)

    def _write(self, path: Path, data: bytes) -> None:
        atomic.make_folder(path.parent)
        atomic.write(path, data)


def _read(path: Path) -> str:
    try:
        return atomic.read(path).decode(errors="replace")
    except OSError:
        return ""
