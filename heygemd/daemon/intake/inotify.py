"""Local file events through watchdog (inotify): what a scan cannot see, and an early wake-up.

On network shares events are lost or never raised, so nothing here decides: an open writer delays settling, a close
wakes the loop. Scans alone would give the same result, later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from loguru import logger
from watchdog.events import FileClosedEvent, FileModifiedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from .filename_rules import is_a

logging.getLogger("watchdog").setLevel(logging.CRITICAL)
"""It complains of events that came while we stopped watching, and of lost ones, which scans make up for."""

FORGET_S = 120.0
"""A writer of which nothing was heard for this long no longer counts: its close may have been lost in an overflow."""


class Watch(FileSystemEventHandler):
    """Watches one folder tree while `start`ed."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """`wake`: called from the observer's thread when a file was closed or something was moved in."""
        self._wake = wake
        self._writing: dict[str, float] = {}
        self._lock = threading.Lock()
        self._observer: BaseObserver | None = None

    def start(self, root: Path) -> None:
        """Begin to watch; without inotify (limits, odd file systems) scans go on alone."""
        observer = Observer()
        try:
            observer.schedule(self, str(root), recursive=True)
            observer.start()
        except OSError as error:
            logger.warning(
                "no file events ({}); scans go on alone: `heygemd doctor` tells how to raise the limit", error
            )
            return
        self._observer = observer

    def stop(self) -> None:
        """End watching; safe to call twice."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.unschedule_all()  # first, else its emitter complains of a late event
            observer.stop()
            observer.join(5)

    @property
    def running(self) -> bool:
        """Whether events arrive."""
        return self._observer is not None and self._observer.is_alive()

    def writing(self, folder: Path) -> bool:
        """Return whether a file below `folder` was modified and not closed since."""
        prefix, now = f"{folder}{os.sep}", time.monotonic()
        with self._lock:
            self._writing = {p: t for p, t in self._writing.items() if now - t < FORGET_S}
            return any(path.startswith(prefix) for path in self._writing)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Keep the set of files being written (watchdog's callback)."""
        path = os.fsdecode(event.src_path)
        if is_a("junk", path):  # a NAS or a file manager is at it, not staff
            return
        with self._lock:
            if isinstance(event, FileModifiedEvent):
                self._writing[path] = time.monotonic()
                return
            known = self._writing.pop(path, None) is not None
        if (known and isinstance(event, FileClosedEvent)) or event.event_type in ("moved", "created"):
            self._wake()
