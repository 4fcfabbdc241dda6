"""Job records on the local disk: one versioned JSON file each, one writer, never half-written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from loguru import logger

from ..errors import printable
from ..job import SCHEMA, Job
from ..storage import atomic

KEEP_FINISHED = 500
UNREADABLE = (ValueError, KeyError, TypeError, RecursionError)


class Store:
    """The records below `folder`/jobs; unreadable ones are set aside, not lost."""

    def __init__(self, state: Path) -> None:
        """`state`: a local folder; made if absent. Raises LocalDiskError."""
        self.folder = state / "jobs"
        atomic.make_folder(self.folder, mode=0o770)
        for half in self.folder.glob(f".*{atomic.PART}"):  # a crash ended its writer
            half.unlink()

    def save(self, job: Job) -> None:
        """Make the record durable before returning. Raises LocalDiskError."""
        body = json.dumps(job.model_dump(mode="python"), sort_keys=True)
        envelope = {"schema": SCHEMA, "checksum": _checksum(body), "job": json.loads(body)}
        atomic.write(self.folder / f"{job.id}.json", json.dumps(envelope, indent=1).encode())

    def load(self) -> list[Job]:
        """Return all records, oldest first."""
        return sorted(self._read(), key=lambda job: job.arrived)

    def _read(self) -> Iterator[Job]:
        for path in sorted(self.folder.glob("*.json")):
            try:
                yield _record(path)
            except UNREADABLE as error:
                aside = path.with_name(f"{path.name}.corrupt-{int(time.time())}")
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

    def prune(self, jobs: list[Job]) -> list[Job]:
        """Forget the oldest finished records beyond KEEP_FINISHED; return the rest."""
        finished = [job for job in jobs if job.phase == "finished"]
        old = finished[: max(0, len(finished) - KEEP_FINISHED)]
        for job in old:
            self.forget(job)
        gone = {job.id for job in old}
        return [job for job in jobs if job.id not in gone]


def peek(state: Path) -> list[Job]:
    """Return the readable records of a store that may be in use; changes nothing. Raises OSError."""
    found = []
    for path in sorted((state / "jobs").glob("*.json")):
        with contextlib.suppress(FileNotFoundError, *UNREADABLE):
            found.append(_record(path))
    return found


def _record(path: Path) -> Job:
    envelope = json.loads(path.read_bytes())
    if envelope["schema"] != SCHEMA:
        raise ValueError(f"schema {envelope['schema']}")
    if envelope["checksum"] != _checksum(json.dumps(envelope["job"], sort_keys=True)):
        raise ValueError("checksum differs")
    return Job.model_validate(envelope["job"])


def _checksum(body: str) -> str:
    return hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
