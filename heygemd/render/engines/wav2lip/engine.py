"""Wav2Lip as an engine: the reference's defects mended, or with `compat` the reference itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ....weights import requirements
from ...scene import F32, Crop, Image, Patch, Timeline, Track
from ..base import FrameEngine, Memo
from . import checkpoint, corrected, face_crop, reference
from .batching import Runner


class Wav2LipEngine(FrameEngine):
    """Needs a public Wav2Lip checkpoint; works for any face and language, at 96 pixels a face."""

    name = "wav2lip"
    version = "1"

    def check(self) -> None:
        """Raise NotInstalled("wav2lip_missing") without a checkpoint, or what `checkpoint.load` says of it."""
        assert self._runner

    @cached_property
    def _runner(self) -> Runner:
        state = checkpoint.load(requirements.wav2lip_checkpoint(self.settings, self.models))
        wanted = self.settings.wav2lip
        exactly = wanted.compat and wanted.precision == "auto"
        return Runner(state, self.device, "fp32" if exactly else wanted.precision, self.keep)

    def wants(self, track: Track) -> list[int]:
        """Return no frame: the track says all that is needed."""
        del track
        return []

    def study(self, crops: Iterator[Crop], track: Track) -> Memo:
        """Keep where the face is in each frame."""
        del crops
        return {"bounds": face_crop.bounds(track)}

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], memo: Memo
    ) -> Iterator[Patch]:
        """Yield one Patch for each Crop; see FrameEngine."""
        style = self._style(track, timeline, voice, memo["bounds"])
        held: deque[tuple[list[Crop], list[Image], Future[F32]]] = deque()
        while True:
            if batch := list(islice(crops, self._runner.batch)):
                faces = [style.look(crop) for crop in batch]
                mels = style.hear(np.array([crop.output for crop in batch]))
                held.append((batch, faces, self._runner.submit(np.stack(faces), mels, style.lower)))
            if len(held) > 1 or not batch:
                if not held:
                    return
                seen, shown, made = held.popleft()
                yield from map(style.show, seen, shown, made.result())

    def _style(
        self, track: Track, timeline: Timeline, voice: NDArray[np.float32], bounds: F32
    ) -> reference.Reference | corrected.Mended:
        if self.settings.wav2lip.compat:
            return reference.Reference(track, timeline, voice, bounds)
        return corrected.Mended(self.settings.wav2lip, track, timeline, voice, bounds)
