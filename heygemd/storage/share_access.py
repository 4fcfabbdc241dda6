"""The share as the daemon sees it: one thread that touches it, a guard that knows whether it is really there."""

from __future__ import annotations

import asyncio
import errno
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from loguru import logger

from ..errors import InfrastructureError, NotReady, describe
from . import mounts, share_fs
from .transfer import Steps

FOLDERS = ("inbox", "processing", "done", "failed")
MARKER = ".heygemd-share"
TEMPLATES = "templates"
"""Presenters to be named by job folders; the daemon works without it."""
REMIND_S = 3600
RETRY_S, RETRY_MAX_S = 5.0, 60.0
"""How long to wait before looking at a failed share again: doubled each time it is still away."""

P = ParamSpec("P")
R = TypeVar("R")
_Call = tuple[Callable[[], Any], asyncio.Future[Any], float]


class ShareThread:
    """Runs share I/O one call at a time on one thread; a call that hangs holds this thread, never the main loop.

    The thread is a daemon thread: nothing can end a call stuck in the kernel, and it must not keep the process alive.
    """

    def __init__(self, root: Path, deadline_s: float) -> None:
        """`root`: the share's; `deadline_s`: after this long in one call it counts as not answering."""
        self.root = root
        self.deadline_s = deadline_s
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._since: float | None = None
        self._extra_s = 0.0
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name="share", daemon=True).start()

    @property
    def hung(self) -> bool:
        """Whether the current call has passed its deadline."""
        since = self._since
        return since is not None and time.monotonic() - since > self.deadline_s + self._extra_s

    async def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` on the I/O thread and return what it returns or raise what it raises."""
        return await self.call_slow(0, function, *args, **kwargs)

    async def call_slow(self, extra_s: float, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As `call`, for what may take `extra_s` longer before the share counts as not answering."""
        future: asyncio.Future[R] = self._loop.create_future()
        self._calls.put((lambda: function(*args, **kwargs), future, extra_s))
        return await future

    async def drain(self, steps: Steps[R]) -> R:
        """Run a long operation step by step, letting other calls in between."""
        while True:
            finished, value = await self.call(_step, steps)
            if finished:
                return value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let the thread end when its current call returns."""
        self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            function, future, extra_s = item
            if future.cancelled():
                continue
            self._extra_s, self._since = extra_s, time.monotonic()
            outcome: Any = None
            error: BaseException | None = None
            try:
                outcome = function()
            except FileNotFoundError as caught:
                error = self._absence(caught)
            except BaseException as caught:
                error = caught
            self._since = None
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, future, outcome, error)

    def _absence(self, error: FileNotFoundError) -> Exception:
        """What is missing because the share went away was not removed by anybody."""
        return error if os.path.lexists(self.root / MARKER) else _unavailable(self.root, error)


def _step(steps: Steps[Any]) -> tuple[bool, Any]:
    try:
        next(steps)
    except StopIteration as end:
        return True, end.value
    return False, None


def _settle(future: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(outcome)


@dataclass
class Guard:
    """Knows whether the share is there: its marker, its device, an answer within the deadline.

    Absence is never read as "deleted": while `problem` is set nobody claims, publishes or removes anything.
    """

    root: Path
    thread: ShareThread
    problem: InfrastructureError | None = None
    mount: mounts.Mount | None = None
    _told: float = 0.0
    _retry_at: float = 0.0
    _retry_s: float = 0.0

    async def check(self) -> bool:
        """Look at the share (with a growing pause after a failure); return whether it may be used now."""
        if self.problem is not None and time.monotonic() < self._retry_at:
            return False
        try:
            found = await self.thread.call(_inspect, self.root)
            self.recovered(found)
        except (InfrastructureError, NotReady, OSError) as error:
            self.lost(error)
        return self.problem is None

    def lost(self, error: BaseException) -> None:
        """Note that the share failed, here or in somebody's call; warn once, remind hourly."""
        typed = error if isinstance(error, InfrastructureError) else _unavailable(self.root, error)
        now = time.monotonic()
        if self.problem is None or now - self._told > REMIND_S:
            logger.warning("the share cannot be used: {}; nothing is lost, waiting for it", describe(typed))
            self._told = now
        self._retry_s = RETRY_S if self.problem is None else min(RETRY_MAX_S, self._retry_s * 2)
        self._retry_at = now + self._retry_s
        self.problem = typed

    def notice_hang(self) -> None:
        """Count a call that passed its deadline as a failed share; called by the main loop, touches nothing."""
        if self.thread.hung and self.problem is None:
            reason = f"no answer for {self.thread.deadline_s:g} s"
            self.lost(InfrastructureError("share_unavailable", path=str(self.root), reason=reason))

    def recovered(self, found: mounts.Mount) -> None:
        """Note that the share answers."""
        if self.problem is not None:
            logger.info("the share is back")
        self.problem, self.mount = None, found


def _unavailable(root: Path, error: BaseException) -> InfrastructureError:
    if isinstance(error, FileNotFoundError):
        return InfrastructureError("share_missing", path=str(root))
    return InfrastructureError("share_unavailable", path=str(root), reason=describe(error))


def _inspect(root: Path) -> mounts.Mount:
    found = mounts.mount(root)
    share_fs.read(root / MARKER)
    for folder in FOLDERS:
        if mounts.mount(root / folder).read_only:
            reason = os.strerror(errno.EROFS)
            raise InfrastructureError("share_unavailable", path=str(root / folder), reason=reason)
    return found


def create(root: Path, group: int | None = None) -> list[str]:
    """Make a share of `root`: the folders, group-writable and setgid, and the marker. Safe to repeat.

    Returns a line for each thing done. Raises the faults of `files`.
    """
    done = []
    if not share_fs.exists(root):
        root.mkdir(parents=True)
        share_fs.yield_to_group(root, group, share_fs.FOLDER_MODE)
        done.append(f"made {root}")
    for name in (*FOLDERS, TEMPLATES):
        if share_fs.exists(root / name):
            share_fs.open_to_group(root / name, group)
        else:
            share_fs.make_folder(root / name, group)
            done.append(f"made {root / name}")
    if not share_fs.exists(root / MARKER):
        share_fs.write(root / MARKER, f"{uuid.uuid4()}\n".encode(), group)
        done.append(f"marked {root} as a heygemd share ({MARKER}: do not delete it)")
    return done
