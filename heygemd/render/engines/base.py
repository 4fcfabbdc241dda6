"""The contracts of lip-sync engines. `heygemd.testing` holds the tests that every engine must pass."""

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

AnalysisData = dict[str, NDArray[Any]]
"""What an engine learns from a video or a voice before rendering: plain arrays, cached by content hash, not pickled."""


class Engine(ABC):
    """The part that all engines share."""

    name: str

    def __init__(
        self, models: Path, device: str = "cpu", settings: Render | None = None, machine_cache: Path | None = None
    ) -> None:
        """Nothing is loaded before `check`.

        models         folder of large weights
        device         torch device, "cpu" or "cuda[:N]"
        settings       of the job
        machine_cache  folder for facts about this machine that save time in the next process; may be lost at any time
        """
        self.models = models
        self.device = device
        self.settings = settings or Render()
        self.machine_cache = machine_cache

    @abstractmethod
    def check(self) -> None:
        """Raise NotInstalled when the engine cannot run here (weights missing, say): its jobs then wait."""


class FrameEngine(Engine):
    """Renders the face's box of each frame. Keeps no state between videos.

    An engine must hold a bounded number of frames only, whatever the video's length. Where several people speak,
    `render` runs for each of their faces at the same time, in threads of their own.
    """

    version: ClassVar[str]
    """Part of the cache key of analysis data: raise it when `analyse_video` or `analyse_voice` changes."""

    effect_gain: ClassVar[float] = 1.0
    """Patches are blended by `Track.effect_weight` times this, 1 at most. An engine that moves less where the weight is
    low sets more than 1: it shows its patches in full, which avoids double-exposed mouths."""

    @abstractmethod
    def frames_to_analyse(self, track: Track) -> list[int]:
        """Return the source frames, ascending, whose crops `analyse_video` needs."""

    @abstractmethod
    def analyse_video(self, crops: Iterator[Crop], track: Track) -> AnalysisData:
        """Return what must be known of the whole video before the first frame is rendered.

        crops  those of `frames_to_analyse`, in that order; their `output` equals `source`
        """

    def analyse_voice(self, voice: NDArray[np.float32]) -> AnalysisData:
        """Return what must be known of the whole voice; it serves other videos under the same voice, too.

        Its keys must differ from those of `analyse_video`.

        voice  (samples,) float32 mono at VOICE_RATE_HZ, possibly memory-mapped: as long as the output
        """
        del voice
        return {}

    @abstractmethod
    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        """Yield one Patch for each Crop, in order, batching as it likes.

        crops     the boxes of the output frames that have a face, ascending in `output`
        voice     as in `analyse_voice`
        data      what `analyse_video` and `analyse_voice` returned, together
        """


class FileEngine(Engine):
    """Makes a video file from a video file and a voice file."""

    @abstractmethod
    def render(
        self, video: Path, audio: Path, folder: Path, fps: Fraction, progress: Callable[[float | None], None]
    ) -> Path:
        """Return the path of the file made. Its sound and the frames after the voice's end are not used.

        video     H.264 in MP4 at a constant rate of `fps`, upright, square pixels, without sound, as long as the voice
        audio     WAV, 16 bits, mono, VOICE_RATE_HZ
        folder    empty, for this run only; removed after it
        progress  called with the share done, 0..1, at every step; with None now and then where the share is not known
        """
