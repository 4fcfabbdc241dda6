"""Loudness of the voice over time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mel import VOICE_RATE_HZ


def loudness(voice: NDArray[np.float32], seconds: float, rate_hz: int) -> NDArray[np.float64]:
    """Return (T,) float64 loudness of the first `seconds` of a voice at `rate_hz`: the square root of its RMS.

    voice  (samples,) float32 at VOICE_RATE_HZ
    """
    hop = VOICE_RATE_HZ // rate_hz
    count = min(len(voice), int(seconds * VOICE_RATE_HZ)) // hop
    power = np.square(voice[: count * hop].astype(np.float64)).reshape(count, hop).mean(1)
    return np.asarray(power**0.25)
