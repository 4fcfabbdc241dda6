"""Speech to visemes: how the five mouth parameters depart from the closed mouth while a voice speaks.

A speech encoder that knows any language (speech_encoder.py), then a small dilated convolutional network (after WaveNet,
van den Oord 2016), which `heygemd.training` trains; see models/lips.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ....weights.bundled import asset, tensors
from ...audio import mel, vad
from ...face.mouth_params import MOUTH_PARAMS
from ...scene import F32
from . import speech_encoder

FILE = "lips.safetensors"
FILES = (FILE, speech_encoder.FILE, vad.FILE)
RATE_HZ = speech_encoder.RATE_HZ
CHANNELS, DILATIONS = 96, (1, 2, 3)
UNIT = 0.03
"""Eye distances in one unit of the network's output."""
HOLD_S = 0.3
"""Pauses longer than this close the mouth and hold it still."""
CLOSE_S, OPEN_S = 0.16, 0.10
"""How long the mouth takes to close after speech, and to open before it."""


class VisemeNet(nn.Module):
    """Maps encoded speech to the mouth: 0.26 s of sound on either side of a frame count.

    in   (N, T, speech_encoder.WIDTH) float32 at RATE_HZ
    out  (N, T, 5) float32 departures from the closed mouth at RATE_HZ, in units of UNIT
    """

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(speech_encoder.WIDTH, CHANNELS, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(CHANNELS, CHANNELS, 5, padding=2 * d, dilation=d) for d in DILATIONS)
        self.leave = nn.Conv1d(CHANNELS, len(MOUTH_PARAMS), 3, padding=1)
        self.drop = nn.Dropout(0.3)

    def forward(self, encoded: Tensor) -> Tensor:
        """Return (N, T, 5) departures from the closed mouth, in units of UNIT, for (N, T, WIDTH) encoded speech."""
        x = self.enter(self.drop(encoded.transpose(1, 2)))
        for block in self.blocks:
            x = x + self.drop(block(nn.functional.gelu(x)))
        out: Tensor = self.leave(nn.functional.gelu(x))
        return out.transpose(1, 2)


def load(state: dict[str, Tensor] | None = None) -> nn.Sequential:
    """Return the speech encoder followed by the VisemeNet of `state` (the shipped one if None), in evaluation mode."""
    net = VisemeNet()
    net.load_state_dict(tensors(FILE) if state is None else state)
    return nn.Sequential(speech_encoder.load(), net.eval())


def check() -> None:
    """Raise NotInstalled if a shipped network is missing or damaged."""
    for name in FILES:
        asset(name)


def predict_visemes(voice: NDArray[np.float32], net: nn.Module | None = None) -> F32:
    """Return (T, 5) float32 departures from the closed mouth at RATE_HZ, in eye distances.

    voice  (samples,) float32 at 16 kHz
    """
    visemes = speech_encoder.encode(net or load(), voice) * UNIT
    speaks = vad.detect_speech(voice)[: 2 * len(visemes)]
    return np.asarray(visemes * speech_weight(speaks)[::2, None], np.float32)


def speech_weight(speaks: NDArray[np.bool_]) -> F32:
    """Return (T,) float32 0..1 at audio.mel.RATE_HZ: 1 in speech, 0 in pauses longer than HOLD_S, eased between."""
    rate = mel.RATE_HZ
    weight = np.ones(len(speaks), np.float32)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (~speaks).astype(np.int8), [0]))))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b - a < HOLD_S * rate and a > 0 and b < len(speaks):
            continue
        frames = np.arange(a, b)
        after = (frames - a + 1) / (CLOSE_S * rate) if a > 0 else np.ones(b - a)
        before = (b - frames) / (OPEN_S * rate) if b < len(speaks) else np.ones(b - a)
        weight[a:b] = 1 - _smoothstep(np.minimum(after, before))
    return weight


def _smoothstep(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float64)
