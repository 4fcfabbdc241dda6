"""Tells speech from music and noise, so that the mouth rests while nobody speaks.

A small dilated convolutional network (after WaveNet, van den Oord 2016); `heygemd.training` made it, see
models/speech.md.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...weights.bundled import tensors
from ..scene import F32, Finding
from . import mel as features
from . import speaker_count

FILE = "speech.safetensors"
RATE_HZ = 50
CHANNELS, DILATIONS = 48, (1, 2, 4, 8, 16, 32)
CHUNK_S, OVERLAP_S = 60, 2
SPEAKS, MAY_SPEAK = 0.5, 0.15
"""Speech begins above the first and lasts while it stays above the second."""
TOLD_S = 1.0
"""Shorter stretches without speech (a door, a breath) are not told."""


class SpeechNet(nn.Module):
    """(N, BANDS, 2T) levelled log-mel at 100 Hz to (N, T) log-odds of speech at RATE_HZ."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(features.BANDS, CHANNELS, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 3, padding=d, dilation=d) for d in DILATIONS)
        self.leave = nn.Conv1d(CHANNELS, 1, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = nn.functional.gelu(self.enter(x))
        for block in self.blocks:
            x = x + nn.functional.gelu(block(self.drop(x)))
        out: Tensor = self.leave(x)[:, 0]
        return out


def load() -> SpeechNet:
    """Return the shipped network, ready to use."""
    net = SpeechNet()
    net.load_state_dict(tensors(FILE))
    return net.eval()


def listen(voice: NDArray[np.float32], net: SpeechNet | None = None) -> tuple[F32, NDArray[np.bool_]]:
    """Return ((T, BANDS) float32 levelled features, (T,) bool speech) at features.RATE_HZ.

    voice  (samples,) float32 at 16 kHz
    """
    mel, _, speech = _hear(voice, net)
    return features.level(mel, speech), speech


def findings(voice: NDArray[np.float32]) -> list[Finding]:
    """Return what people should know: no speech at all, seconds of music or noise without speech, two voices."""
    _, loud, speech = _hear(voice)
    if loud.any() and not speech.any():
        return [Finding("no_speech", {})]
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (loud & ~speech).astype(np.int8), [0]))))
    ranges = (edges / features.RATE_HZ).reshape(-1, 2).round(1)
    long = [[float(a), float(b)] for a, b in ranges if b - a >= TOLD_S]
    return ([Finding("no_speech_ranges", {"ranges": long})] if long else []) + speaker_count.several(voice, speech)


def _hear(voice: NDArray[np.float32], net: SpeechNet | None = None) -> tuple[F32, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the log-mel, where it is loud, and where it is speech."""
    mel = features.log_mel(voice)
    loud = features.speaking(mel)
    speech = features.steady(chance(net or load(), features.level(mel, loud)), SPEAKS, MAY_SPEAK)
    return mel, loud, loud & speech


def chance(net: SpeechNet, heard: F32) -> F32:
    """Return (T,) 0..1 for (T, BANDS) levelled features, in chunks so that memory stays small."""
    step, reach = CHUNK_S * features.RATE_HZ, OVERLAP_S * features.RATE_HZ
    odds = np.zeros(len(heard), np.float32)
    with torch.inference_mode():
        for start in range(0, len(heard), step):
            low, stop = max(0, start - reach), min(start + step, len(heard))
            part = torch.from_numpy(heard[low : min(stop + reach, len(heard))].T.copy())[None]
            odds[start:stop] = net(part)[0].sigmoid().repeat_interleave(2).numpy()[start - low : stop - low]
    return odds
