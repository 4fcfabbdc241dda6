"""Levels and clipping of a recording."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..scene import Finding

Samples = NDArray[np.float32]

LEVEL_FRAME, LEVEL_HOP = 400, 320  # 25 ms and 20 ms at 16 kHz
SILENT_DB, QUIET_DB = -60.0, -38.0
NOISY_SPREAD_DB = 18.0
"""Speech at 0 dB over babble spreads by 11 to 16 dB, at 10 dB by 21, clean recordings by 26 and more."""
MIN_SPREAD_FRAMES = 100
FULL_SCALE, CLIP_RUN, CLIPPED_SHARE = 0.99, 3, 5e-4
"""Samples from the first on, in runs of the second or more, are clipped; the third is the share that is reported."""


class QualityMeter:
    """Measures a recording block by block; `count` is the number of its samples so far."""

    def __init__(self) -> None:
        self.count = self.clipped = 0
        self._levels: list[Samples] = []

    def count_clipped(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        """Pass on the recording's blocks at their own rate, counting samples and clipped ones."""
        for block in blocks:
            self.count += len(block)
            loud = np.abs(block) >= FULL_SCALE
            run = np.convolve(loud, np.ones(CLIP_RUN), "same") >= CLIP_RUN
            self.clipped += int(run.sum())
            yield block

    def add_levels(self, block: Samples) -> None:
        """Take the levels of a block that was resampled to VOICE_RATE_HZ."""
        if len(block) >= LEVEL_FRAME:
            frames = np.lib.stride_tricks.sliding_window_view(np.square(block), LEVEL_FRAME)[::LEVEL_HOP]
            self._levels.append(np.sqrt(frames.mean(1)))
        elif len(block):
            self._levels.append(np.sqrt(np.mean(np.square(block), keepdims=True)))

    def findings(self) -> list[Finding]:
        """Return what people should know about the recording."""
        levels = 20 * np.log10(np.maximum(np.concatenate(self._levels), 1e-9))
        loud = float(np.percentile(levels, 95))
        if float(levels.max()) < SILENT_DB:
            return [Finding("audio_silent", {"level_db": round(float(levels.max()), 1)})]
        found = []
        if loud < QUIET_DB:
            found.append(Finding("audio_quiet", {"level_db": round(loud, 1)}))
        share = self.clipped / self.count
        if share > CLIPPED_SHARE:
            found.append(Finding("audio_clipped", {"share": round(share, 5)}))
        spread = loud - float(np.percentile(levels, 10))
        # Speech has pauses; a level that never falls is noise or music.
        if spread < NOISY_SPREAD_DB and len(levels) > MIN_SPREAD_FRAMES:
            found.append(Finding("audio_noisy", {"spread_db": round(spread, 1)}))
        return found
