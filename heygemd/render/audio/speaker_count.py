"""Detects a recording that seems to have two speakers, a low and a high voice: its pitches form two groups.

Two people of similar pitch are not told apart. Of 123 recordings of one person (as far as known) 3 % are taken for two
speakers, of pairs of them put one after the other 35 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..scene import Finding
from . import mel

HOP, FRAME = 320, 1024
LOWEST_HZ, HIGHEST_HZ = 60, 450
BLOCK_S, SEGMENT_S = 30, 1
MAX_STEP_SEMITONES, MIN_VOICED_S = 1.0, 0.25
"""Frames whose pitch moves less than the first count as voiced; a segment needs the second of them."""
MIN_SEGMENTS, MIN_SHARE = 8, 0.2
"""Least number of segments, and least share of them in either voice."""
MIN_DISTANCE_SEMITONES, MIN_DISTANCE_SPREADS = 7.0, 3.5
"""Least distance between the voices' mean pitches, and its ratio to the spread within them."""
MIN_SPREAD_SEMITONES = 0.5
"""Added to the spread within a voice, as a few segments may agree by chance."""


def findings(voice: NDArray[np.float32], speech: NDArray[np.bool_]) -> list[Finding]:
    """Return Finding("two_voices") or nothing.

    voice   (samples,) float32 at 16 kHz
    speech  (T,) bool at mel.RATE_HZ
    """
    if len(speech) <= (MIN_SEGMENTS - 1) * SEGMENT_S * mel.RATE_HZ:  # too short: do without importing librosa
        return []
    pitch = np.sort(list(_segment_pitches(voice, speech)))
    count = len(pitch)
    if count < MIN_SEGMENTS:
        return []
    few = max(2, round(MIN_SHARE * count))
    for k in range(few, count - few + 1):
        low, high = pitch[:k], pitch[k:]
        apart = high.mean() - low.mean()
        within = np.sqrt((low.var() * k + high.var() * (count - k)) / count) + MIN_SPREAD_SEMITONES
        if apart > MIN_DISTANCE_SEMITONES and apart > MIN_DISTANCE_SPREADS * within:
            return [Finding("two_voices", {})]
    return []


def _segment_pitches(voice: NDArray[np.float32], speech: NDArray[np.bool_]) -> Iterator[float]:
    """Yield the median pitch in semitones of each segment of SEGMENT_S with enough voiced speech."""
    import librosa  # takes a second; voices in the cache do without

    block, rate_hz = BLOCK_S * mel.VOICE_RATE_HZ, mel.VOICE_RATE_HZ / HOP
    for start in range(0, len(voice) - FRAME, block):
        part = np.asarray(voice[start : start + block])
        hertz = librosa.yin(part, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=mel.VOICE_RATE_HZ, frame_length=FRAME,
                            hop_length=HOP)  # fmt: skip
        spoken = speech[start // mel.HOP :][:: HOP // mel.HOP][: len(hertz)]
        pitch = 12 * np.log2(hertz[: len(spoken)] / 100)
        step = np.abs(np.diff(pitch, append=np.inf))
        voiced = spoken & (step < MAX_STEP_SEMITONES) & (np.roll(step, 1) < MAX_STEP_SEMITONES)
        voiced &= (hertz[: len(spoken)] > LOWEST_HZ + 2) & (hertz[: len(spoken)] < HIGHEST_HZ - 10)
        length = round(SEGMENT_S * rate_hz)
        for first in range(0, len(pitch), length):
            kept = pitch[first : first + length][voiced[first : first + length]]
            if len(kept) >= MIN_VOICED_S * rate_hz:
                yield float(np.median(kept))
