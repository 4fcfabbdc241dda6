"""Logging: to the journal or stderr, and to a rotated file. Every line has `job=`.

Only the daemon writes logs; renderers send it their records. Control characters in file names are escaped, so that a
name cannot forge a log line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from loguru import logger

from .config.schema import Log
from .errors import printable

if TYPE_CHECKING:
    from loguru import Message, Record

LEVELS = {"TRACE": 7, "DEBUG": 7, "INFO": 6, "SUCCESS": 5, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
FILE_FORMAT = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} job={extra[job]} {extra[text]}"
FILE_NAME = "heygemd.log"


def setup(settings: Log, folder: Path | None) -> None:
    """Replace all sinks: stderr (with journal priorities under systemd) and, unless `folder` is None, its heygemd.log.

    Rotated files are compressed. All are private. Raises OSError if the file cannot be written.
    """
    logger.remove()
    logger.configure(extra={"job": "-", "id": ""}, patcher=_flatten)
    journal = under_journal(sys.stderr)
    logger.add(_journal if journal else sys.stderr, level=settings.level, format=_line, diagnose=False, backtrace=False)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        logger.add(
            folder / FILE_NAME,
            level=settings.level,
            format=FILE_FORMAT,
            rotation=f"{settings.rotation_mb} MB",
            retention=settings.retention,
            compression="gz",
            diagnose=False,
            backtrace=False,
            watch=True,
            encoding="utf-8",
            opener=_private,
        )


def job_sink(path: Path, job_id: str) -> int:
    """Also write this job's records to `path`; return the handle for `logger.remove`."""
    return logger.add(
        path,
        level="DEBUG",
        format=FILE_FORMAT,
        filter=lambda record: record["extra"]["id"] == job_id,
        diagnose=False,
        backtrace=False,
        encoding="utf-8",
        opener=_private,
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
