"""A real engine small enough for tests: paints the lower half of the face red while the voice sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.engines.base import AnalysisData, FileEngine, FrameEngine
from heygemd.render.scene import Crop, Patch, Timeline, Track


class Tint(FrameEngine):
    name = "tint"
    version = "1"
    batch = 1
    studied = 0
    analysed_voices = 0

    def check(self) -> None:
        pass

    def frames_to_analyse(self, track: Track) -> list[int]:
        return [int(n) for n in np.flatnonzero(track.effect_weight > 0)[::10]]

    def analyse_video(self, crops: Iterator[Crop], track: Track) -> AnalysisData:
        type(self).studied += 1
        return {"mean": np.array([crop.image.mean() for crop in crops])}

    def analyse_voice(self, voice: NDArray[np.float32]) -> AnalysisData:
        type(self).analysed_voices += 1
        return {"loud": np.asarray(np.abs(voice).max(initial=0))}

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        assert data["loud"] == np.abs(voice).max(initial=0)
        while batch := list(islice(crops, self.batch)):
            for crop in batch:
                image = crop.image.copy()
                image[..., 2] = 255
                mask = np.zeros(image.shape[:2], np.float32)
                mask[len(mask) // 2 :, :] = 1
                yield Patch(crop.output, image, mask)


class Batches(Tint):
    """Holds back whole batches, as engines on a GPU do."""

    batch = 16


class Forgets(Tint):
    """Breaks the contract: gives nothing."""

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        list(crops)
        return iter(())


class Stops(Tint):
    """Breaks the contract: does not take what is offered."""

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        return super().render(islice(crops, 3), track, timeline, voice, data)


class Whole(FileEngine):
    """Works on files: gives the video back as it is."""

    name = "whole"

    def check(self) -> None:
        pass

    def render(
        self, video: Path, audio: Path, folder: Path, fps: Fraction, progress: Callable[[float | None], None]
    ) -> Path:
        return video
