"""A real engine small enough for tests: paints the lower half of the face red while the voice sounds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from heygemd.render.engines.base import FrameEngine, Memo
from heygemd.render.scene import Crop, Patch, Timeline, Track


class Tint(FrameEngine):
    name = "tint"
    version = "1"
    batch = 1
    studied = 0
    heard = 0

    def check(self) -> None:
        pass

    def wants(self, track: Track) -> list[int]:
        return [int(n) for n in np.flatnonzero(track.effect_weight > 0)[::10]]

    def study(self, crops: Iterator[Crop], track: Track) -> Memo:
        type(self).studied += 1
        return {"mean": np.array([crop.image.mean() for crop in crops])}

    def hear(self, voice: NDArray[np.float32]) -> Memo:
        type(self).heard += 1
        return {"loud": np.asarray(np.abs(voice).max(initial=0))}

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], memo: Memo
    ) -> Iterator[Patch]:
        assert memo["loud"] == np.abs(voice).max(initial=0)
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
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], memo: Memo
    ) -> Iterator[Patch]:
        list(crops)
        return iter(())


class Stops(Tint):
    """Breaks the contract: does not take what is offered."""

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], memo: Memo
    ) -> Iterator[Patch]:
        return super().render(islice(crops, 3), track, timeline, voice, memo)
