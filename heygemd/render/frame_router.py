"""Routes frames through an engine: crops in, patches back into their frames, all in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from .engines.base import AnalysisData, FrameEngine
from .scene import Crop, Image, Patch, Timeline, Track
from .video import compositing
from .video.decode import Frame, Picture

WAITING_BYTES = 192 << 20
MIN_WAITING = 16


@dataclass
class _Waiting:
    """A queued frame. `crop` is None if it has no face; otherwise its patch has not come yet."""

    frame: Frame
    crop: Crop | None


class FrameRouter:
    """Feeds an engine and emits finished frames in order.

    Frames without a face pass through unchanged. They wait only while the engine holds patches of earlier frames back;
    if too many wait, the engine's input ends, so that it must yield what it holds, and it is started again afterwards.
    """

    def __init__(self, picture: Picture, track: Track, timeline: Timeline, emit: Callable[[Frame], None]) -> None:
        self._picture, self._track, self._timeline, self._emit = picture, track, timeline, emit
        self._waiting: deque[_Waiting] = deque()
        self._max_waiting = max(MIN_WAITING, WAITING_BYTES // picture.frame_bytes)
        self._frames: Iterator[tuple[int, Frame]] = iter(())
        self._ended = self._full = False
        self._gain = 1.0

    def run(self, frames: Iterator[Frame], engine: FrameEngine, voice: NDArray[np.float32], data: AnalysisData) -> None:
        """Render all frames, given in the order of the output.

        voice, data  as in FrameEngine.render
        Raises EngineError("engine_broken") when the engine breaks its contract.
        """
        self._frames, self._gain = enumerate(frames), engine.effect_gain
        while not self._ended:
            self._full = False
            crops = self._crops()
            for patch in engine.render(crops, self._track, self._timeline, voice, data):
                self._apply(patch)
            if self._waiting:
                raise EngineError("engine_broken", reason="a crop without a patch")
            if not self._full and next(crops, None) is not None:
                raise EngineError("engine_broken", reason="a crop was not asked for")

    def _crops(self) -> Iterator[Crop]:
        """Yield the boxes with a face until the frames end or too many wait."""
        while not self._full:
            output, frame = next(self._frames, (-1, None))
            if frame is None:
                self._ended = True
                return
            crop = self._crop(output, frame)
            if crop is None and not self._waiting:
                self._emit(frame)
                continue
            self._waiting.append(_Waiting(frame, crop))
            self._full = len(self._waiting) >= self._max_waiting
            if crop is not None:
                yield crop

    def _crop(self, output: int, frame: Frame) -> Crop | None:
        source = int(self._timeline.source[output])
        x0, y0, x1, y1 = (int(n) for n in self._track.boxes[source])
        if x1 <= x0 or y1 <= y0 or self._track.effect_weight[source] <= 0:
            return None
        return Crop(output, source, (x0, y0, x1, y1), compositing.crop(frame, self._picture, (x0, y0, x1, y1)))

    def _apply(self, patch: Patch) -> None:
        """Emit the frame that the patch belongs to, and the frames without a face after it."""
        if not self._waiting:
            raise EngineError("engine_broken", reason="a patch without a crop")
        first = self._waiting.popleft()
        crop = first.crop
        assert crop is not None  # the first in the queue always has a face: others are emitted at once
        _check(patch, crop.output, crop.image)
        weight = self._gain * float(self._track.effect_weight[crop.source])
        self._emit(compositing.blend(first.frame, self._picture, crop.box, crop.image, patch, weight))
        while self._waiting and self._waiting[0].crop is None:
            self._emit(self._waiting.popleft().frame)


def _check(patch: Patch, output: int, image: Image) -> None:
    if patch.output != output or patch.image.shape != image.shape or patch.mask.shape != image.shape[:2]:
        reason = f"frame {output} {image.shape} answered by {patch.output} {patch.image.shape} {patch.mask.shape}"
        raise EngineError("engine_broken", reason=reason)
