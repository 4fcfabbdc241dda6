"""Tracks the lips of finished frames while they are encoded: cores have time for it then, and nothing is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from loguru import logger

from ..scene import F32, Image
from ..stages import Abandoned, BackgroundSink
from ..video import compositing
from ..video.decode import Frame, Picture


class Judge:
    """Sees every frame in order, and tracks them in a thread of its own."""

    def __init__(self, picture: Picture, track: Callable[[Iterator[Image]], F32], ahead: int) -> None:
        """`track`: as `av_offset.track_lips`, of small images; `ahead`: how many frames may wait for it."""
        self._picture, self._track = picture, track
        self._lips: F32 | None = None
        self._sink = BackgroundSink(self._run, ahead)

    def see(self, frame: Frame) -> None:
        """See the next frame, which nobody may change from now on."""
        self._sink.put(frame)

    def _run(self, frames: Iterator[Frame]) -> None:
        size = self._picture.small_size
        try:
            self._lips = self._track(compositing.shrunk(frame, self._picture, size) for frame in frames)
        except Abandoned:
            raise
        except Exception as error:
            logger.warning("the video is measured when it is finished: {}: {}", type(error).__name__, error)
        for _ in frames:  # whoever shows them must not wait
            pass

    def result(self) -> F32 | None:
        """Wait for what `track` returns; None if it failed, as where an engine is too slow for it."""
        self._sink.finish()
        return self._lips

    def close(self) -> None:
        """Give up what is not finished, and wait for the thread."""
        self._sink.close()
