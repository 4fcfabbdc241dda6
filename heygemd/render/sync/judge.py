"""Tracks the lips of a video while it is encoded: cores have time for it then, and the end is not waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import FileIO
from typing import Generic, TypeVar

from loguru import logger

from ..scene import F32
from ..video.decode import Picture

T = TypeVar("T")


class Judge(Generic[T]):
    """Reads the packets that go into the file, in a thread of its own.

    packets  a pipe for the encoder, who closes it; when nothing more is to be tracked, nobody reads it
    """

    def __init__(self, made: Picture, track: Callable[[Picture], F32], then: Callable[[F32], T]) -> None:
        """`made`: of `decode.describe_encoded`; `track` as `av_offset.track_lips`; `then` is called with its result."""
        reading, writing = os.pipe()
        self.packets = FileIO(writing, "w")
        self._pool = ThreadPoolExecutor(1)
        self._work = self._pool.submit(self._run, FileIO(reading), replace(made, pipe=reading), track, then)

    @staticmethod
    def _run(
        reading: FileIO, made: Picture, track: Callable[[Picture], F32], then: Callable[[F32], T]
    ) -> tuple[F32, T]:
        with reading:  # closed, it no longer holds the encoder up
            lips = track(made)
        return lips, then(lips)

    def result(self) -> tuple[F32, T] | None:
        """Wait for what `track` and `then` return; None if they failed, as where an engine is too slow for them."""
        try:
            return self._work.result()
        except Exception as error:
            logger.warning("the video is measured when it is finished: {}: {}", type(error).__name__, error)
            return None

    def close(self) -> None:
        """Wait for the thread; an encoder that got `packets` must have ended."""
        self.packets.close()
        self._pool.shutdown()
