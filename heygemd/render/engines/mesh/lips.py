"""Speech to lips: how the five quantities of the mouth depart from rest while a voice speaks."""

from __future__ import annotations

import numpy as np

from ...geometry import F32
from ...mouth import JAW, LOWER, OPEN

RATE_HZ = 50


def check() -> None:
    """Raise EngineError if the shipped network is missing or damaged."""


def speak(voice: F32) -> F32:
    """Return (T, 5) float32 departures from the closed mouth at RATE_HZ."""
    hop = 16_000 // RATE_HZ
    count = len(voice) // hop
    loud = np.sqrt(np.mean(np.asarray(voice[: count * hop]).reshape(count, hop) ** 2, 1) + 1e-9)
    loud = np.convolve(loud, np.hanning(7) / np.hanning(7).sum(), "same")
    lips = np.zeros((count, 5), np.float32)
    lips[:, OPEN] = 0.22 * np.clip(loud / (np.percentile(loud, 95) + 1e-6), 0, 1)
    lips[:, JAW] = 0.6 * lips[:, OPEN]
    lips[:, LOWER] = 0.85 * lips[:, OPEN]
    return lips
