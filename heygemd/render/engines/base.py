"""The contract of a lip-sync engine. One contract-test suite runs over all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..scene import Crop, Patch, Timeline, Track

VOICE_RATE_HZ = 16_000
Memo = dict[str, NDArray[Any]]
"""What an engine keeps of a video between voices: plain arrays, stored by content hash without pickle."""


class FrameEngine(ABC):
    """Makes new pixels for the face's box of each frame. Holds no state between videos.

    An engine must hold no more than a bounded number of frames, whatever the video's length.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    """Part of the memo's cache key: raise it when `study` changes."""

    def __init__(self, models: Path, device: str = "cpu") -> None:
        """`models`: folder of large weights; `device`: torch device."""
        self.models = models
        self.device = device

    @abstractmethod
    def check(self) -> None:
        """Raise EngineError with what to do when the engine cannot run here (weights missing, say)."""

    @abstractmethod
    def wants(self, track: Track) -> list[int]:
        """Return the ascending source frames whose crops `study` must see."""

    @abstractmethod
    def study(self, crops: Iterator[Crop], track: Track) -> Memo:
        """Learn what must be known of the whole video before the first frame is rendered."""

    @abstractmethod
    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], memo: Memo
    ) -> Iterator[Patch]:
        """Yield one Patch for each Crop, in order, batching as it likes.

        crops     the boxes of those output frames that have a face, ascending in `output`
        voice     (samples,) float32 mono at VOICE_RATE_HZ, possibly memory-mapped: as long as the output
        """
