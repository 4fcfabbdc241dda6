"""Logging: to the journal or stderr, and to a rotated file. Every line has `job=`.

Only the daemon writes logs; renderers send it their records. Control characters in file names are escaped, so that a
name cannot forge a log line.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import sys
import time
from io import TextIOWrapper
from logging import LogRecord, StreamHandler
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, TYPE_CHECKING

from loguru import logger

from .config.schema import Log
from .errors import LocalDiskError, describe, printable

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS = {"TRACE": 7, "DEBUG": 7, "INFO": 6, "SUCCESS": 5, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
FILE_FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} job={extra[job]} {extra[text]}"
FILE_NAME = "heygemd.log"
MB = 1_000_000
RETRY_S = 60.0
"""How long a file that cannot be written is left alone."""


_installed: list[int] = []
"""The sinks of the last `setup`; the jobs' own are not among them."""


def setup(settings: Log, folder: Path | None) -> LogFile | None:
    """Replace the sinks: stderr (with journal priorities under systemd) and, unless `folder` is None, its heygemd.log.

    The new ones are opened before the old ones are closed. Jobs' own logs go on. Raises LocalDiskError, with all as it
    was, if the file cannot be written.
    """
    file = None if folder is None else LogFile(folder / FILE_NAME, settings.rotation_mb, settings.retention)
    logger.configure(extra={"job": "-", "id": ""}, patcher=_flatten)
    stream = _journal if under_journal(sys.stderr) else sys.stderr
    added = [logger.add(stream, level=settings.level, format=_line, diagnose=False, backtrace=False)]
    if file is not None:
        added.append(logger.add(file, level=settings.level, format=FILE_FORMAT, diagnose=False, backtrace=False))
    if not _installed:
        _remove([0])  # loguru's own, which writes to stderr
    _remove(_installed)
    _installed[:] = added
    return file


def _remove(sinks: list[int]) -> None:
    for sink in sinks:
        with contextlib.suppress(ValueError):  # removed already
            logger.remove(sink)


class LogFile(RotatingFileHandler):
    """heygemd.log and its compressed predecessors, all private.

    Follows a file that others move, delete or replace. One that cannot be written stops nothing: it is reported once
    and tried again after RETRY_S.

    problem   why it cannot be written now, for the status page
    """

    def __init__(self, path: Path, rotation_mb: float = 0, retention: int = 0) -> None:
        """Open the file, whose folder is made; 0: never rotated. Raises LocalDiskError("log_not_writable")."""
        self.problem: LocalDiskError | None = None
        self._retry_at = 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            super().__init__(path, maxBytes=round(rotation_mb * MB), backupCount=retention, encoding="utf-8")
        except OSError as error:
            raise _not_writable(path, error) from error
        self.namer = "{}.gz".format
        self.rotator = self._show_packed
        self._packed = path.with_name(f"{path.name}.gz.part")

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_private)

    def emit(self, record: LogRecord) -> None:
        """Write a record, or drop it while the file cannot be written; it is in the journal too."""
        if self.problem is not None and time.monotonic() < self._retry_at:
            return
        try:
            self._follow()
            if self.shouldRollover(record):
                self.doRollover()
            StreamHandler.emit(self, record)
        except OSError as error:
            self._failed(error)

    def flush(self) -> None:
        """Bring what was written to the file; only a whole line counts as written."""
        super().flush()
        self.problem = None

    def handleError(self, record: LogRecord) -> None:  # noqa: N802  the library's name
        """Report a fault of the disk once, without a traceback for each record."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._failed(error)
        else:
            super().handleError(record)

    def doRollover(self) -> None:  # noqa: N802  the library's name
        """Compress before the predecessors make room: a full disk must not cost them."""
        _compress(Path(self.baseFilename), self._packed)
        super().doRollover()

    def _show_packed(self, source: str, target: str) -> None:
        self._packed.replace(target)
        Path(source).unlink()

    def _follow(self) -> None:
        """Open the file anew after a failure, and where another or none is in its place."""
        here = os.fstat(self.stream.fileno()) if self.stream else None
        try:
            there = Path(self.baseFilename).lstat()
        except FileNotFoundError:
            there = None
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        if here is None or there is None or not os.path.samestat(here, there):
            self._drop_stream()
            self.stream = self._open()

    def _drop_stream(self) -> None:
        stream, self.stream = self.stream, None
        with contextlib.suppress(OSError):  # what it still holds cannot be written
            if stream:
                stream.close()

    def _failed(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + RETRY_S
        self._drop_stream()
        first, self.problem = self.problem is None, _not_writable(Path(self.baseFilename), error)
        if first:
            sys.stderr.write(f"WARNING the log file cannot be written: {describe(self.problem)}\n")


def _not_writable(path: Path, error: OSError) -> LocalDiskError:
    reason = os.strerror(error.errno or errno.EIO)
    return LocalDiskError("log_not_writable", path=str(error.filename or path), reason=reason)


def _compress(source: Path, target: Path) -> None:
    try:
        with open(source, "rb") as plain, open(target, "wb", opener=_private) as sink, gzip.open(sink, "wb") as packed:
            shutil.copyfileobj(plain, packed)
    except OSError:
        with contextlib.suppress(OSError):
            target.unlink()
        raise


def job_sink(path: Path, job_id: str) -> int:
    """Also write this job's records to `path`; return the handle for `logger.remove`. Raises LocalDiskError."""
    return logger.add(
        LogFile(path),
        level="DEBUG",
        format=FILE_FORMAT,
        filter=lambda record: record["extra"]["id"] == job_id,
        diagnose=False,
        backtrace=False,
    )


def under_journal(stream: IO[str]) -> bool:
    """Return whether the stream is connected to the journal, according to JOURNAL_STREAM."""
    try:
        facts = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"


def _flatten(record: Record) -> None:
    record["extra"] |= {"text": printable(record["message"]), "job": printable(record["extra"]["job"])}


def _line(_: Record) -> str:
    return "{level: <7} job={extra[job]} {extra[text]}\n{exception}"


def _journal(message: Message) -> None:
    """Write the priority on every line of the message; otherwise the journal takes all but the first as info."""
    priority = LEVELS.get(message.record["level"].name, 6)
    lines = message.rstrip("\n").split("\n")
    sys.stderr.write("".join(f"<{priority}>{line}\n" for line in lines))
    sys.stderr.flush()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
