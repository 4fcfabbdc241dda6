"""Voice activity detection that tells speech from music and noise, so that the mouth rests while nobody speaks.

A small dilated convolutional network (after WaveNet, van den Oord 2016), trained by heygemd.training; see
models/vad.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...weights.bundled import tensors
from ..layers import Weights, conv1d, gelu, residual_layers, sigmoid
from ..scene import F32, Finding, spans
from . import mel as features
from . import speaker_count

FILE = "vad.safetensors"
RATE_HZ = 50
DILATIONS = (1, 2, 4, 8, 16, 32)
CHUNK_S, OVERLAP_S = 60, 2
ENTER_PROBABILITY, LEAVE_PROBABILITY = 0.5, 0.15
"""Speech begins above the first and lasts while the probability stays above the second."""
MIN_REPORTED_S = 1.0
"""Shorter stretches of sound without speech (a door, a breath) are not reported."""


class VadNet:
    """Maps sound to speech."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def __call__(self, mel: F32) -> F32:
        """Return (T,) log-odds of speech at RATE_HZ for (2T, BANDS) normalised log-mel at 100 Hz."""
        x = gelu(conv1d(mel, self._weights, "enter", stride=2))
        x = residual_layers(x, self._weights, "blocks", DILATIONS)
        return conv1d(x, self._weights, "leave")[:, 0]


def load() -> VadNet:
    """Return the shipped network."""
    return VadNet(tensors(FILE))


def detect_speech(voice: NDArray[np.float32], net: VadNet | None = None) -> NDArray[np.bool_]:
    """Return (T,) bool at mel.RATE_HZ, true where somebody speaks.

    voice  (samples,) float32 at 16 kHz
    """
    return _detect(voice, net)[1]


def findings(voice: NDArray[np.float32]) -> list[Finding]:
    """Return what people should know: no speech at all, stretches of music or noise without speech, two voices."""
    loud, speech = _detect(voice)
    if loud.any() and not speech.any():
        return [Finding("no_speech", {})]
    ranges = (np.reshape(spans(loud & ~speech), (-1, 2)) / features.RATE_HZ).round(1)
    long = [[float(start), float(stop)] for start, stop in ranges if stop - start >= MIN_REPORTED_S]
    return ([Finding("no_speech_ranges", {"ranges": long})] if long else []) + speaker_count.findings(voice, speech)


def _detect(voice: NDArray[np.float32], net: VadNet | None = None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (T,) where it is loud enough for speech, and (T,) where it is speech."""
    mel = features.log_mel(voice)
    loud = features.energy_vad(mel)
    probability = speech_probability(net or load(), features.normalise(mel, loud))
    speech = features.hysteresis(probability, ENTER_PROBABILITY, LEAVE_PROBABILITY)
    return loud, loud & speech


def speech_probability(net: VadNet, mel: F32) -> F32:
    """Return (T,) float32 0..1 for (T, BANDS) normalised log-mel, computed in chunks to limit memory."""
    step, reach = CHUNK_S * features.RATE_HZ, OVERLAP_S * features.RATE_HZ
    probability = np.zeros(len(mel), np.float32)
    for start in range(0, len(mel), step):
        low, stop = max(0, start - reach), min(start + step, len(mel))
        part = sigmoid(net(mel[low : min(stop + reach, len(mel))])).repeat(2)
        probability[start:stop] = part[start - low : stop - low]
    return probability
