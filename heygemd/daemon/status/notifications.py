"""News for the administrator, as files in state/outbox: the daemon has no network, `heygemd notify` sends them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

from loguru import logger

from ...config.schema import Config
from ...errors import InfrastructureError, describe, printable
from ...job import Job
from ...storage import atomic

PATIENCE_S = 60.0
"""A trouble that is over sooner is not worth a message."""
DAY_S = 24 * 3600


class Herald:
    """Notices what is worth telling and puts it into the outbox; reads, never waits, never fails."""

    def __init__(self, config: Config, known: Iterable[Job]) -> None:
        """`known`: jobs that were finished before."""
        self.config = config
        self._told = {job.id for job in known}
        self._trouble: tuple[str, float] | None = None
        self._trouble_told = False

    def notice(self, finished: Iterable[Job], trouble: InfrastructureError | None, now: float) -> None:
        """Take in the state of things at `now` (wall clock)."""
        if not self.config.notify.urls:
            return
        for job in finished:
            if job.id not in self._told:
                self._told.add(job.id)
                self._job(job)
        self._notice_trouble(trouble, now)
        self._digest(finished, now)

    def _job(self, job: Job) -> None:
        failed = [v for v in job.videos if v.state == "failed"]
        event = "failed" if failed or job.problem else "done"
        problems = [(job.problem, job.problem.fields)] if job.problem else [(v.problem, v.facts()) for v in failed]
        fields = {
            "job": printable(job.name),
            "folder": printable(job.destination),
            "done": sum(v.state == "done" for v in job.videos),
            "total": len(job.videos),
            "problems": [{"code": p.code, "fields": facts} for p, facts in problems if p is not None],
        }
        self._put(event, fields)

    def _notice_trouble(self, trouble: InfrastructureError | None, now: float) -> None:
        if trouble is None:
            if self._trouble_told:
                self._put("recovered", {})
            self._trouble, self._trouble_told = None, False
            return
        if self._trouble is None:
            self._trouble = (trouble.code, now)
        if not self._trouble_told and now - self._trouble[1] >= PATIENCE_S:
            self._trouble_told = True
            self._put("paused", {"problems": [{"code": trouble.code, "fields": trouble.fields}]})

    def _digest(self, finished: Iterable[Job], now: float) -> None:
        """Once a day, at the hour that was asked for; a file remembers the day."""
        moment = time.localtime(now)
        if "digest" not in self.config.notify.on or moment.tm_hour < self.config.notify.digest_hour:
            return
        told, today = self.config.paths.state / "digest", time.strftime("%Y-%m-%d", moment)
        if told.exists() and told.read_text() == today:
            return
        recent = [job for job in finished if now - job.finished < DAY_S]
        good = sum(v.state == "done" for job in recent for v in job.videos)
        bad = sum(v.state == "failed" for job in recent for v in job.videos)
        atomic.write(told, today.encode())
        self._put("digest", {"jobs": len(recent), "good": good, "bad": bad})

    def _put(self, event: str, fields: dict[str, Any]) -> None:
        if event not in self.config.notify.on:
            return
        item = {"event": event, "time": time.time(), **fields}
        folder = self.config.paths.outbox
        try:
            atomic.make_folder(folder)
            data = json.dumps(item, ensure_ascii=False, default=str).encode("utf-8", "replace")
            atomic.write(folder / f"{time.time_ns()}-{uuid.uuid4().hex[:6]}.json", data)
        except Exception as error:  # a message that cannot be written must not stop the work it tells of
            logger.warning("a notification could not be written: {}", describe(error))
