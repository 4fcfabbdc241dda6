"""The one thread that touches the share, so that a share that hangs never blocks the main loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from . import share_paths
from .share_layout import MARKER
from .transfer import Steps

P = ParamSpec("P")
R = TypeVar("R")
_Call = tuple[Callable[[], Any], asyncio.Future[Any], float]


class ShareThread:
    """Runs the share's I/O on one thread, one call at a time: a call that hangs blocks this thread, not the main loop.

    It is a daemon thread: nothing can end a call that is stuck in the kernel, and it must not keep the process alive.
    """

    def __init__(self, root: Path, deadline_s: float) -> None:
        """`root`: the share's; `deadline_s`: after this long in one call it counts as not answering."""
        self.root = root.absolute()
        share_paths.anchor(root, MARKER)
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
        try:
            while True:
                finished, value = await self.call(_step, steps)
                if finished:
                    return value  # type: ignore[no-any-return]
        finally:
            # On the I/O thread, before whatever is asked of it next: an operation that was cancelled removes its
            # temporary file, which must not be the one of its successor.
            self._calls.put((steps.close, self._loop.create_future(), 0))

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
                error = share_paths.outage(self.root) or caught
            except BaseException as caught:
                error = caught
            self._since = None
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, future, outcome, error)


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
