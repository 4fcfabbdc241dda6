"""Job records and job logs on the local disk: one versioned JSON file per job, one writer, replaced atomically."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from loguru import logger

from .. import logging_setup
from ..errors import LocalDiskError, describe, printable
from ..job import SCHEMA, Job
from ..storage import atomic

KEEP_FINISHED = 500
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


class Store:
    """The records in `state`/jobs; unreadable ones are set aside, not lost."""

    def __init__(self, state: Path) -> None:
        """`state`: a local folder; made if absent. Raises LocalDiskError."""
        self.folder = state / "jobs"
        atomic.make_folder(self.folder)
        for half in self.folder.glob(f".*{atomic.PART}"):  # left by a crash
            with contextlib.suppress(OSError):
                half.unlink()
        self._log_sinks: dict[str, int] = {}

    def save(self, job: Job) -> None:
        """Make the record durable before returning. Raises LocalDiskError."""
        # The job is encoded once: of a batch of hundreds of videos the record is large, and it is written often.
        body = json.dumps(job.model_dump(mode="python"), sort_keys=True)
        envelope = f'{{"schema": {SCHEMA}, "checksum": "{_checksum(body)}", "job": {body}}}\n'
        atomic.write(self.folder / f"{job.id}.json", envelope.encode())

    def load(self) -> list[Job]:
        """Return all records, oldest first."""
        return sorted(self._read(), key=lambda job: job.arrived)

    def _read(self) -> Iterator[Job]:
        for path in sorted(self.folder.glob("*.json")):
            try:
                yield _record(path)
            except UNREADABLE as error:
                aside = path.with_name(f"{path.name}.corrupt-{int(time.time())}")
                with contextlib.suppress(OSError, LocalDiskError):  # one record must not keep the daemon from starting
                    atomic.rename(path, aside)
                logger.error(
                    "job record {} is unreadable ({}); set aside as {}", path.name, printable(str(error)), aside
                )

    def forget(self, job: Job) -> None:
        """Remove a record and its log. Raises LocalDiskError."""
        for path in (self.folder / f"{job.id}.json", self.log_file(job)):
            with atomic.on_local_disk(path):
                path.unlink(missing_ok=True)

    def log_file(self, job: Job) -> Path:
        """Return where this job's own log is written."""
        return self.folder / f"{job.id}.log"

    def open_log(self, job: Job) -> None:
        """Write this job's log lines to its own file, too; a job goes on without one."""
        if job.id in self._log_sinks:
            return
        try:
            self._log_sinks[job.id] = logging_setup.job_sink(self.log_file(job), job.id)
        except LocalDiskError as error:
            logger.bind(job=job.name).warning("without a log of its own: {}", describe(error))

    def close_log(self, job: Job) -> None:
        """Stop writing the job's own log."""
        if (sink := self._log_sinks.pop(job.id, None)) is not None:
            logger.remove(sink)

    def prune(self, jobs: list[Job]) -> list[Job]:
        """Forget the oldest finished records beyond KEEP_FINISHED; return the rest."""
        finished = [job for job in jobs if job.phase == "finished"]
        old = finished[: max(0, len(finished) - KEEP_FINISHED)]
        for job in old:
            self.forget(job)
        gone = {job.id for job in old}
        return [job for job in jobs if job.id not in gone]


def peek(state: Path) -> list[Job]:
    """Return the readable records of a store that a daemon may be using; changes nothing. Raises OSError."""
    found = []
    for path in sorted((state / "jobs").glob("*.json")):
        with contextlib.suppress(*UNREADABLE):
            found.append(_record(path))
    return found


def _record(path: Path) -> Job:
    envelope = json.loads(atomic.read(path))
    if envelope["schema"] != SCHEMA:
        raise ValueError(f"schema {envelope['schema']}")
    if envelope["checksum"] != _checksum(json.dumps(envelope["job"], sort_keys=True)):
        raise ValueError("checksum differs")
    return Job.model_validate(envelope["job"])


def _checksum(body: str) -> str:
    return atomic.digest([body.encode()])
