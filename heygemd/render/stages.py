"""Two ways to let the stages of a render overlap, each with a bounded queue and errors that arrive.

What a thread starts (an ffmpeg) dies with it, so each thread lives until the work it was given is closed.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

POLL_S = 0.2

T = TypeVar("T")


class _End:
    """What follows the last item."""


class Ahead(Generic[T]):
    """Runs an iterator in a thread of its own, at most `size` items ahead."""

    def __init__(self, source: Iterator[T], size: int) -> None:
        self._source = source
        self._queue: queue.Queue[T | _End] = queue.Queue(size)
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for item in self._source:
                if not self._put(item):
                    return
        except BaseException as error:
            self._error = error
        finally:
            if isinstance(self._source, Generator):
                self._source.close()
            self._put(_End())

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=POLL_S)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        self._thread.join()


class Behind(Generic[T]):
    """Runs `work` over what is `put`, in a thread of its own, at most `size` items behind."""

    def __init__(self, work: Callable[[Iterator[T]], None], size: int) -> None:
        self._work = work
        self._queue: queue.Queue[T | _End] = queue.Queue(size)
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="behind", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work(self._items())
        except BaseException as error:
            self._error = error

    def _items(self) -> Iterator[T]:
        while True:
            try:
                item = self._queue.get(timeout=POLL_S)
            except queue.Empty:
                if self._stop.is_set():
                    raise RuntimeError("abandoned") from None
                continue
            if isinstance(item, _End):
                return
            yield item

    def put(self, item: T | _End) -> None:
        """Hand over an item; raises what the work raised."""
        while self._thread.is_alive():
            try:
                return self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
        raise self._error or RuntimeError("the work has ended")

    def finish(self) -> None:
        """Say that nothing more comes and wait for the end of the work; raises what it raised."""
        self.put(_End())
        self._thread.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Abandon the work if it has not ended, and wait for the thread."""
        self._stop.set()
        self._thread.join()
