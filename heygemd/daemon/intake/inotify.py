"""Local file events through watchdog (inotify): they show open writers, and wake the daemon before the next scan.

Network shares lose events or raise none, so nothing is decided here: an open writer delays settling, a closed file
wakes the loop. Scans alone would lead to the same result, only later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from loguru import logger
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)  # fmt: skip
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from ...errors import HeygemdError
from .filename_rules import is_a

logging.getLogger("watchdog").setLevel(logging.CRITICAL)
"""It warns of late events after a stop, and of lost ones, which scans make up for."""
warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")  # of a folder moved in while it is listed

EVENTS: list[type[FileSystemEvent]] = [
    FileModifiedEvent, FileClosedEvent, FileDeletedEvent, FileCreatedEvent, DirCreatedEvent, FileMovedEvent,
    DirMovedEvent,
]  # fmt: skip
"""Not what only reads: each scan opens every folder, and handling these events would cost more than the scan."""
RETRY_S = 600.0
"""After how long file events are tried again where the system refused them."""
FORGET_S = 120.0
"""A writer without events for this long no longer counts: its close event may have been lost in an overflow."""


class Watch(FileSystemEventHandler):
    """Watches one folder tree while `start`ed."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """`wake`: called from the observer's thread when a file was closed or something was moved in."""
        self._wake = wake
        self._writing: dict[str, float] = {}
        self._lock = threading.Lock()
        self._observer: BaseObserver | None = None
        self._retry_at = 0.0
        self.problem: HeygemdError | None = None
        """Why there are no file events, if they could not be had."""

    def start(self, root: Path) -> None:
        """Start watching unless that failed lately.

        Where inotify is not available (limits, some file systems), scans alone are used.
        """
        if time.monotonic() < self._retry_at:
            return
        observer = None
        try:
            observer = Observer()
            observer.schedule(self, str(root), recursive=True, event_filter=EVENTS)
            observer.start()
        except OSError as error:
            if observer is not None:
                observer.stop()  # it leaves the thread and the descriptors of a failed start behind
            self._retry_at = time.monotonic() + RETRY_S
            if self.problem is None:
                logger.warning("no file events ({}); using scans alone. `heygemd doctor` shows the limits", error)
            self.problem = HeygemdError("no_file_events", reason=os.strerror(error.errno or 0))
            return
        self._observer, self.problem = observer, None

    def stop(self) -> None:
        """Stop watching; can be called twice."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.unschedule_all()  # first, or its emitter warns of a late event
            observer.stop()
            observer.join(5)

    @property
    def running(self) -> bool:
        """Whether events are delivered."""
        return self._observer is not None and self._observer.is_alive()

    def writing(self, folder: Path) -> bool:
        """Return whether a file below `folder` was modified and not closed since."""
        with self._lock:
            if not self._writing:
                return False
            prefix, now = f"{folder}{os.sep}", time.monotonic()
            self._writing = {p: t for p, t in self._writing.items() if now - t < FORGET_S}
            return any(path.startswith(prefix) for path in self._writing)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Update the set of files being written (watchdog's callback)."""
        path = os.fsdecode(event.src_path)
        if is_a("junk", path):  # written by a NAS or a file manager, not by a user
            return
        with self._lock:
            if isinstance(event, FileModifiedEvent):
                self._writing[path] = time.monotonic()
                return
            known = self._writing.pop(path, None) is not None
        if (known and isinstance(event, FileClosedEvent)) or event.event_type in ("moved", "created"):
            self._wake()
