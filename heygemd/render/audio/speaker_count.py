"""Tells whether a recording seems to have two voices, a low and a high one: the pitch of its stretches falls apart.

Two people of like pitch are not told apart. On 123 recordings of one person (as far as known) 3 % are told as two, of
pairs of them put one after the other 35 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..scene import Finding
from . import mel

HOP, FRAME = 320, 1024
LOWEST_HZ, HIGHEST_HZ = 60, 450
BLOCK_S, STRETCH_S = 30, 1
STEADY_SEMITONES, LEAST_VOICED_S = 1.0, 0.25
LEAST_STRETCHES, LEAST_SHARE = 8, 0.2
APART_SEMITONES, CLEARLY = 7.0, 3.5
OWN_SEMITONES = 0.5
"""Added to the spread within a voice: stretches that agree by chance are not clearly apart from others."""


def several(voice: NDArray[np.float32], speech: NDArray[np.bool_]) -> list[Finding]:
    """Return Finding("two_voices") or nothing.

    voice  (samples,) float32 at 16 kHz · speech (T,) bool at features.RATE_HZ
    """
    if len(speech) <= (LEAST_STRETCHES - 1) * STRETCH_S * mel.RATE_HZ:  # not worth what librosa's import takes
        return []
    pitch = np.sort(list(_stretches(voice, speech)))
    count = len(pitch)
    if count < LEAST_STRETCHES:
        return []
    few = max(2, round(LEAST_SHARE * count))
    for k in range(few, count - few + 1):
        low, high = pitch[:k], pitch[k:]
        apart = high.mean() - low.mean()
        within = np.sqrt((low.var() * k + high.var() * (count - k)) / count) + OWN_SEMITONES
        if apart > APART_SEMITONES and apart > CLEARLY * within:
            return [Finding("two_voices", {})]
    return []


def _stretches(voice: NDArray[np.float32], speech: NDArray[np.bool_]) -> Iterator[float]:
    """Yield the median pitch of each stretch of STRETCH_S with enough voiced speech, semitones."""
    import librosa  # takes seconds; a voice that is in the cache does without

    block, rate_hz = BLOCK_S * mel.VOICE_RATE_HZ, mel.VOICE_RATE_HZ / HOP
    for start in range(0, len(voice) - FRAME, block):
        part = np.asarray(voice[start : start + block])
        hertz = librosa.yin(part, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=mel.VOICE_RATE_HZ, frame_length=FRAME,
                            hop_length=HOP)  # fmt: skip
        spoken = speech[start // mel.HOP :][:: HOP // mel.HOP][: len(hertz)]
        pitch = 12 * np.log2(hertz[: len(spoken)] / 100)
        step = np.abs(np.diff(pitch, append=np.inf))
        voiced = spoken & (step < STEADY_SEMITONES) & (np.roll(step, 1) < STEADY_SEMITONES)
        voiced &= (hertz[: len(spoken)] > LOWEST_HZ + 2) & (hertz[: len(spoken)] < HIGHEST_HZ - 10)
        length = round(STRETCH_S * rate_hz)
        for first in range(0, len(pitch), length):
            kept = pitch[first : first + length][voiced[first : first + length]]
            if len(kept) >= LEAST_VOICED_S * rate_hz:
                yield float(np.median(kept))
