"""Start heygemd with injected faults in its file system calls: python -m tests.faults.fault_injection VERB ...

HEYGEMD_INJECT names a JSON file of rules, read again when it changes. Each injected fault adds a line to FILE.fired. A
rule has these keys:

    call    name of an os function, "read" for reads of an open file, "change" for all that alter a disk, "" for all
    where   "share" (default): calls on the share's I/O thread; "any": calls on every thread
    error   name of the errno to fail with, "hang" (for `seconds`) or "kill" (SIGKILL before the call)
    after   number of matching calls that pass first
    times   number of calls that fail; 0: all

HEYGEMD_CLOCK names a file with the number of seconds to add to the daemon's wall clock.

The daemon's pauses are shortened, so that a test sees the recovery. Nothing else differs from `heygemd`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

READS = ["scandir", "listdir", "stat", "lstat", "statvfs"]
CHANGES = ["mkdir", "rmdir", "unlink", "rename", "replace", "write", "fsync", "chmod"]
CALLS = [*READS, "open", *CHANGES]


class Rules:
    """The rules in the file, and how often each has matched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fired = os.open(f"{path}.fired", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in (*CALLS, "kill")}
        self._stamp = 0
        self._rules: list[dict[str, Any]] = []
        self._lock = threading.RLock()

    def apply(self, call: str) -> None:
        """Fail, hang or kill the process if a rule matches this call."""
        with self._lock:
            rule = next((rule for rule in self._current() if self._due(rule, call)), None)
        if rule is None:
            return
        self._real["write"](self._fired, f"{call} {rule['error']}\n".encode())
        if rule["error"] == "kill":
            self._real["kill"](os.getpid(), signal.SIGKILL)
        elif rule["error"] == "hang":
            time.sleep(rule["seconds"])
        else:
            raise OSError(getattr(errno, rule["error"]), "injected", "")

    def _current(self) -> list[dict[str, Any]]:
        try:
            stamp = self._real["stat"](self.path).st_mtime_ns
        except FileNotFoundError:
            return []
        if stamp != self._stamp:
            self._stamp, self._rules = stamp, json.loads(self.path.read_text())
        return self._rules

    def _due(self, rule: dict[str, Any], call: str) -> bool:
        wanted = CHANGES if rule["call"] == "change" else [rule["call"] or call]
        here = rule.get("where") == "any" or threading.current_thread().name == "share"
        if call not in wanted or not here:
            return False
        rule["matched"] = rule.get("matched", 0) + 1
        nth = rule["matched"] - rule.get("after", 0)
        times = rule.get("times", 0)
        return nth > 0 and (times == 0 or nth <= times)


def install(rules: Rules) -> None:
    """Wrap the os functions so that each call passes the rules first."""
    accessor = getattr(pathlib, "_NormalAccessor", None)  # Python 3.10 keeps its own references
    inside = threading.local()

    def guarded(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not getattr(inside, "rule", False):
                inside.rule = True
                try:
                    rules.apply(name)
                finally:
                    inside.rule = False
            return real(*args, **kwargs)

        return call

    class Reading(io.FileIO):
        def read(self, size: int = -1) -> bytes:  # type: ignore[override]
            rules.apply("read")
            return super().read(size)

        def readinto(self, buffer: Any) -> int | None:  # called by a buffered reader
            rules.apply("read")
            return super().readinto(buffer)

    def fdopen(fd: int, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if mode == "rb":
            raw = Reading(fd, "rb")
            return raw if buffering == 0 else io.BufferedReader(raw)
        return io.open(fd, mode, buffering, *rest, **more)  # noqa: UP020

    for name in CALLS:
        wrapped = guarded(name, getattr(os, name))
        setattr(os, name, wrapped)
        if accessor is not None and hasattr(accessor, name):
            setattr(accessor, name, staticmethod(wrapped))
    os.fdopen = fdopen


def set_clock(path: Path) -> None:
    """Shift the daemon's wall clock by the number of seconds in the file, read at each call."""
    true_time = time.time
    time.time = lambda: true_time() + float(path.read_text())


def main() -> None:
    from heygemd.cli import main as cli
    from heygemd.daemon.intake import inbox
    from heygemd.daemon.jobs import fault_isolation, recovery
    from heygemd.storage import availability, heartbeat

    availability.RETRY_S, availability.RETRY_MAX_S = 0.3, 1.0
    heartbeat.BEAT_S = 0.5
    fault_isolation.PAUSE_S, recovery.ORPHAN_S, inbox.RECLASSIFY_S = 1.0, 1.0, 1.0
    if "HEYGEMD_INJECT" in os.environ:
        install(Rules(Path(os.environ["HEYGEMD_INJECT"])))
    if "HEYGEMD_CLOCK" in os.environ:
        set_clock(Path(os.environ["HEYGEMD_CLOCK"]))
    sys.argv[0] = "heygemd"
    cli.main()


if __name__ == "__main__":
    main()
