"""Two ways to run stages of a render at the same time. Each has a bounded queue and passes errors on.

A process that a thread starts (ffmpeg) dies with the thread, so each thread lives until its work is closed.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

POLL_S = 0.2

T = TypeVar("T")


class Abandoned(Exception):
    """Work is to stop: whoever made its items has given up."""


class _End:
    """Follows the last item in a queue."""


class _Stage(ABC, Generic[T]):
    """A thread, and the bounded queue between it and its caller."""

    def __init__(self, name: str, size: int) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(size)
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @abstractmethod
    def _run(self) -> None:
        """Work until the end, or until `_stop` is set; keep what is raised in `_error`."""

    def close(self) -> None:
        """Abort the work if it has not ended, and wait for the thread."""
        self._stop.set()
        self._thread.join()


class Prefetch(_Stage[T]):
    """Runs an iterator in its own thread, at most `size` items ahead; iterating raises what `source` raised."""

    def __init__(self, source: Iterator[T], size: int) -> None:
        self._source = source
        super().__init__("prefetch", size)

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


class BackgroundSink(_Stage[T]):
    """Runs `work` in its own thread over the items that are `put`, at most `size` items behind."""

    def __init__(self, work: Callable[[Iterator[T]], None], size: int) -> None:
        self._work = work
        super().__init__("background-sink", size)

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
                    raise Abandoned from None
                continue
            if isinstance(item, _End):
                return
            yield item

    def put(self, item: T | _End) -> None:
        """Queue an item. Raises what the work raised."""
        while self._thread.is_alive():
            try:
                return self._queue.put(item, timeout=POLL_S)
            except queue.Full:
                continue
        raise self._error or RuntimeError("the work has ended")

    def finish(self) -> None:
        """Mark the end of the items and wait for the work to end. Raises what it raised."""
        self.put(_End())
        self._thread.join()
        if self._error is not None:
            raise self._error
