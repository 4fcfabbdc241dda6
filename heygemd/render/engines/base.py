"""The contracts of a lip-sync engine; `contract` holds any of them to these words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...config.schema import Render
from ..scene import Crop, Patch, Timeline, Track

Memo = dict[str, NDArray[Any]]
"""What an engine keeps of a video or of a voice: plain arrays, stored by content hash without pickle."""


class Engine(ABC):
    """What every engine has."""

    name: str

    def __init__(
        self, models: Path, device: str = "cpu", settings: Render | None = None, keep: Path | None = None
    ) -> None:
        """Nothing is loaded before `check`.

        models    folder of large weights
        device    torch device
        settings  the administrator's
        keep      folder for what is worth knowing of this machine in the next process; may be lost any time
        """
        self.models = models
        self.device = device
        self.settings = settings or Render()
        self.keep = keep

    @abstractmethod
    def check(self) -> None:
        """Raise NotInstalled when the engine cannot run here (weights missing, say): then work waits for it."""


class FrameEngine(Engine):
    """Makes new pixels for the face's box of each frame. Holds no state between videos.

    An engine must hold no more than a bounded number of frames, whatever the video's length.
    """

    version: ClassVar[str]
    """Part of the memo's cache key: raise it when `study` or `hear` changes."""

    effect_gain: ClassVar[float] = 1.0
    """Patches are blended by `Track.effect_weight` times this, 1 at most. An engine that moves less where the weight is
    low sets more than 1: it shows its patches in full, which avoids double-exposed mouths."""

    @abstractmethod
    def wants(self, track: Track) -> list[int]:
        """Return the ascending source frames whose crops `study` must see."""

    @abstractmethod
    def study(self, crops: Iterator[Crop], track: Track) -> Memo:
        """Learn what must be known of the whole video before the first frame is rendered."""

    def hear(self, voice: NDArray[np.float32]) -> Memo:
        """Learn what must be known of the whole voice, for this video and for others under the same voice.

        voice  (samples,) float32 mono at VOICE_RATE_HZ, possibly memory-mapped: as long as the output
        """
        del voice
        return {}

    @abstractmethod
    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], memo: Memo
    ) -> Iterator[Patch]:
        """Yield one Patch for each Crop, in order, batching as it likes.

        crops     the boxes of those output frames that have a face, ascending in `output`
        voice     as in `hear`
        memo      what `study` and `hear` returned, together
        """


class FileEngine(Engine):
    """Makes a video file from a video file and a voice file."""

    @abstractmethod
    def render(
        self, video: Path, audio: Path, folder: Path, fps: Fraction, progress: Callable[[float | None], None]
    ) -> Path:
        """Return the file made; its sound, and frames after the voice's end, are not used.

        video     H.264 in MP4 at a constant rate of `fps`, upright, square pixels, without sound, as long as the voice
        audio     WAV, 16 bits, mono, VOICE_RATE_HZ
        folder    empty, for this run only; gone after it
        progress  called with the share done, 0..1, at every step, or with None when time passes and nothing is known
        """
