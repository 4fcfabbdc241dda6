"""How far one sound lies behind another that contains the same voice, to the sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..audio.mel import VOICE_RATE_HZ

COMPARED_S, MAX_LAG_S = 60, 0.5
MIN_CORRELATION = 0.25
"""From here on they have a voice in common: different speech correlates by less than 0.1, a voice under music that is
as loud by 0.7."""


def lag_ms(sound: NDArray[np.float32], reference: NDArray[np.float32]) -> float | None:
    """Return by how many ms `sound` lies behind `reference`, MAX_LAG_S at most; None if they have nothing in common.

    sound, reference  (n,) float32 at VOICE_RATE_HZ, of which the first COMPARED_S are compared
    """
    count = min(len(sound), len(reference), COMPARED_S * VOICE_RATE_HZ)
    reach = min(round(MAX_LAG_S * VOICE_RATE_HZ), count - 1)
    late, early = (np.asarray(each[:count], np.float64) for each in (sound, reference))
    loudness = float(np.sqrt(np.square(late).sum() * np.square(early).sum()))
    if not loudness:
        return None
    size = 2 * count
    curve = np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size)), size)
    lags = np.arange(-reach, reach + 1)
    best = int(lags[curve[lags].argmax()])
    return 1000.0 * best / VOICE_RATE_HZ if curve[best] >= MIN_CORRELATION * loudness else None
