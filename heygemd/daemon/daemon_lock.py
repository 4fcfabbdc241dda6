"""The lock that a running daemon holds in its state folder: one daemon a folder, and whether there is one."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from ..storage import atomic

TRIES, PAUSE_S = 20, 0.05
"""For as long as another command may be looking whether a daemon runs."""


def open_for_daemon(state: Path) -> IO[str]:
    """Open the lock file; the lock ends with the process. Raises LocalDiskError."""
    path = state / "lock"
    with atomic.on_local_disk(path):
        return open(path, "a")


def acquire(lock: IO[str]) -> bool:
    """Take the lock; False if another daemon holds it."""
    for _ in range(TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(PAUSE_S)
    return False


def is_held(state: Path) -> bool | None:
    """Return whether a daemon runs with these records, None if this user may not look."""
    try:
        with open(state / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
