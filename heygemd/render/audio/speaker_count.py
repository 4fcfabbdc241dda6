"""Detects a recording that seems to have two speakers, a low and a high voice: its pitches form two groups.

Pitch is measured by YIN (de Cheveigné and Kawahara 2002), coarsely for all recordings and then by librosa for the few
that may have two: importing it takes a second or more.

Two people of similar pitch are not told apart. Of 123 recordings of one person (as far as known) 3 % are taken for two
speakers, of pairs of them put one after the other 35 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..scene import Finding
from . import mel

HOP, FRAME = 320, 1024
LOWEST_HZ, HIGHEST_HZ = 60, 450
SHORTEST, LONGEST = mel.VOICE_RATE_HZ // HIGHEST_HZ, -(-mel.VOICE_RATE_HZ // LOWEST_HZ)
"""Periods of these pitches, in samples."""
DEEP_TROUGH = 0.1
"""The first period at which YIN's function falls below this counts, even if a longer one fits better."""
BLOCK_S, SEGMENT_S = 30, 1
MAX_STEP_SEMITONES, MIN_VOICED_S = 1.0, 0.25
"""Frames whose pitch moves less than the first count as voiced; a segment needs the second of them."""
MIN_SEGMENTS, MIN_SHARE = 8, 0.2
"""Least number of segments, and least share of them in either voice."""
MIN_DISTANCE_SEMITONES, MIN_DISTANCE_SPREADS = 7.0, 3.5
"""Least distance between the voices' mean pitches, and its ratio to the spread within them."""
MIN_SPREAD_SEMITONES = 0.5
"""Added to the spread within a voice, as a few segments may agree by chance."""
COARSE = 0.8
"""Two voices may be there from this share of those distances on. Of 801 pairs of recordings that exact pitches take for
two, coarse ones then miss none; of 84 single recordings 11 are measured exactly."""

PitchTracker = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""Maps (n,) samples at 16 kHz to the pitch at every HOP, in hertz."""


def findings(voice: NDArray[np.float32], speech: NDArray[np.bool_]) -> list[Finding]:
    """Return Finding("two_voices") or nothing.

    voice   (samples,) float32 at 16 kHz
    speech  (T,) bool at mel.RATE_HZ
    """
    if len(speech) <= (MIN_SEGMENTS - 1) * SEGMENT_S * mel.RATE_HZ:
        return []
    suspected = _two_groups(_segment_pitches(voice, speech, coarse_pitch), COARSE)
    if suspected and _two_groups(_segment_pitches(voice, speech, _exact_pitch), 1.0):
        return [Finding("two_voices", {})]
    return []


def _two_groups(pitches: Iterator[float], share: float) -> bool:
    """Return whether pitches in semitones form two groups as far apart as `share` of the least distances."""
    pitch = np.sort(list(pitches))
    count = len(pitch)
    if count < MIN_SEGMENTS:
        return False
    few = max(2, round(MIN_SHARE * count))
    for k in range(few, count - few + 1):
        low, high = pitch[:k], pitch[k:]
        apart = high.mean() - low.mean()
        within = np.sqrt((low.var() * k + high.var() * (count - k)) / count) + MIN_SPREAD_SEMITONES
        if apart > share * max(MIN_DISTANCE_SEMITONES, MIN_DISTANCE_SPREADS * within):
            return True
    return False


def _segment_pitches(voice: NDArray[np.float32], speech: NDArray[np.bool_], tracker: PitchTracker) -> Iterator[float]:
    """Yield the median pitch in semitones of each segment of SEGMENT_S with enough voiced speech."""
    block, rate_hz = BLOCK_S * mel.VOICE_RATE_HZ, mel.VOICE_RATE_HZ / HOP
    for start in range(0, len(voice) - FRAME, block):
        part = np.asarray(voice[start : start + block])
        hertz = tracker(part)
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


def _exact_pitch(part: NDArray[np.float32]) -> NDArray[np.floating]:
    import librosa

    hertz: NDArray[np.floating] = librosa.yin(
        part, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=mel.VOICE_RATE_HZ, frame_length=FRAME, hop_length=HOP
    )
    return hertz


def coarse_pitch(part: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return (T,) pitch in hertz at every HOP of (n,) samples, by periods of whole samples."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(part, FRAME // 2), FRAME)[::HOP]
    power = np.abs(np.fft.rfft(frames, 2 * FRAME)) ** 2
    products = np.fft.irfft(power)[:, : LONGEST + 1]
    energy = np.cumsum(np.square(frames[:, :LONGEST], dtype=np.float64), 1)
    difference = 2 * (products[:, :1] - products[:, 1:]) - energy
    mean = np.cumsum(difference, 1) / np.arange(1, LONGEST + 1)
    normalised = (difference / np.maximum(mean, np.finfo(np.float64).tiny))[:, SHORTEST - 1 :]
    return mel.VOICE_RATE_HZ / (SHORTEST + _trough(normalised))


def _trough(rows: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return (T,) column of the first local minimum of each row below DEEP_TROUGH, else of the lowest value."""
    deep = rows < DEEP_TROUGH
    deep[:, 0] &= rows[:, 0] < rows[:, 1]
    deep[:, 1:-1] &= (rows[:, 1:-1] < rows[:, :-2]) & (rows[:, 1:-1] <= rows[:, 2:])
    deep[:, -1] &= rows[:, -1] < rows[:, -2]
    return np.asarray(np.where(deep.any(1), deep.argmax(1), rows.argmin(1)))
