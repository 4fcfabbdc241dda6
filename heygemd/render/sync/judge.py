"""Tracks the lips of a video while it is encoded: cores have time for it then, and the end is not waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import FileIO

from loguru import logger

from ..scene import F32
from ..video.decode import Picture


class Judge:
    """Reads the packets that go into the file, in a thread of its own.

    packets  a pipe for the encoder, who closes it; when nothing more is to be tracked, nobody reads it
    """

    def __init__(self, made: Picture, track: Callable[[Picture], F32]) -> None:
        """`made`: of `decode.describe_encoded`; `track` as `av_offset.track_lips`."""
        reading, writing = os.pipe()
        self.packets = FileIO(writing, "w")
        self._pool = ThreadPoolExecutor(1)
        self._work = self._pool.submit(self._run, FileIO(reading), replace(made, pipe=reading), track)

    @staticmethod
    def _run(reading: FileIO, made: Picture, track: Callable[[Picture], F32]) -> F32:
        with reading:  # closed, it no longer holds the encoder up
            return track(made)

    def result(self) -> F32 | None:
        """Wait for what `track` returns; None if it failed, as where an engine is too slow for it."""
        try:
            return self._work.result()
        except Exception as error:
            logger.warning("the video is measured when it is finished: {}: {}", type(error).__name__, error)
            return None

    def close(self) -> None:
        """Wait for the thread; an encoder that got `packets` must have ended."""
        self.packets.close()
        self._pool.shutdown()
