"""Voice activity detection that tells speech from music and noise, so that the mouth rests while nobody speaks.

A small dilated convolutional network (after WaveNet, van den Oord 2016), trained by heygemd.training; see
models/vad.md.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...weights.bundled import tensors
from ..scene import F32, Finding, spans
from . import mel as features
from . import speaker_count

FILE = "vad.safetensors"
RATE_HZ = 50
CHANNELS, DILATIONS = 48, (1, 2, 4, 8, 16, 32)
CHUNK_S, OVERLAP_S = 60, 2
ENTER_PROBABILITY, LEAVE_PROBABILITY = 0.5, 0.15
"""Speech begins above the first and lasts while the probability stays above the second."""
MIN_REPORTED_S = 1.0
"""Shorter stretches of sound without speech (a door, a breath) are not reported."""


class VadNet(nn.Module):
    """(N, BANDS, 2T) normalised log-mel at 100 Hz to (N, T) log-odds of speech at RATE_HZ."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(features.BANDS, CHANNELS, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=d, dilation=d) for d in DILATIONS)
        self.leave = nn.Conv1d(CHANNELS, 1, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, T) log-odds for (N, BANDS, 2T) features."""
        x = nn.functional.gelu(self.enter(x))
        for block in self.blocks:
            x = x + nn.functional.gelu(block(self.drop(x)))
        out: Tensor = self.leave(x)[:, 0]
        return out


def load() -> VadNet:
    """Return the shipped network in evaluation mode."""
    net = VadNet()
    net.load_state_dict(tensors(FILE))
    return net.eval()


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
    with torch.inference_mode():
        for start in range(0, len(mel), step):
            low, stop = max(0, start - reach), min(start + step, len(mel))
            part = torch.from_numpy(mel[low : min(stop + reach, len(mel))].T.copy())[None]
            probability[start:stop] = net(part)[0].sigmoid().repeat_interleave(2).numpy()[start - low : stop - low]
    return probability
