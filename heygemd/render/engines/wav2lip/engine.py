"""Wav2Lip as an engine, with the reference program's defects corrected; with `compat` as the reference is."""

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
from ..base import AnalysisData, FrameEngine
from . import checkpoint, corrected, face_crop, reference
from .batching import BatchRunner


class Wav2LipEngine(FrameEngine):
    """Needs a public Wav2Lip checkpoint; works for any face and language, at 96 pixels a face."""

    name = "wav2lip"
    version = "1"

    def check(self) -> None:
        """Raise NotInstalled("wav2lip_missing") without a checkpoint, or as `checkpoint.load` does."""
        assert self._runner

    @cached_property
    def _runner(self) -> BatchRunner:
        state = checkpoint.load(requirements.wav2lip_checkpoint(self.settings, self.models))
        wanted = self.settings.wav2lip
        exactly = wanted.compat and wanted.precision == "auto"
        return BatchRunner(state, self.device, "fp32" if exactly else wanted.precision, self.machine_cache)

    def frames_to_analyse(self, track: Track) -> list[int]:
        """Return no frame: the track is enough."""
        del track
        return []

    def analyse_video(self, crops: Iterator[Crop], track: Track) -> AnalysisData:
        """Return "bounds": (T, 4) float32 of face_crop.face_bounds."""
        del crops
        return {"bounds": face_crop.face_bounds(track)}

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        """Yield one Patch for each Crop, in order; one batch is computed while the last one is pasted."""
        style = self._style(track, timeline, voice, data["bounds"])
        held: deque[tuple[list[Crop], list[Image], Future[F32]]] = deque()
        while True:
            if batch := list(islice(crops, self._runner.batch)):
                faces = [style.face_input(crop) for crop in batch]
                mels = style.mel_input(np.array([crop.output for crop in batch]))
                held.append((batch, faces, self._runner.submit(np.stack(faces), mels, style.lower)))
            if len(held) > 1 or not batch:
                if not held:
                    return
                seen, shown, made = held.popleft()
                yield from map(style.make_patch, seen, shown, made.result())

    def _style(
        self, track: Track, timeline: Timeline, voice: NDArray[np.float32], bounds: F32
    ) -> reference.ReferenceStyle | corrected.CorrectedStyle:
        if self.settings.wav2lip.compat:
            return reference.ReferenceStyle(track, timeline, voice, bounds)
        return corrected.CorrectedStyle(self.settings.wav2lip, track, timeline, voice, bounds)
