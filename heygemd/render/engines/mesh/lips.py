"""Speech to lips: how the five quantities of the mouth depart from rest while a voice speaks.

Two small dilated convolutional networks (after WaveNet, van den Oord 2016): an ear that was taught to hear what the
encoder of Whisper (Radford 2022) hears, and a mouth that says it. `heygemd.training` made them; see models/lips.md.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ... import features, speech
from ...geometry import F32
from ...mouth import MODES
from ...weights import tensors

RATE_HZ = 50
CHANNELS, PHONETIC, MOUTH_CHANNELS = 128, 64, 96
DILATIONS, MOUTH_DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8), (1, 2, 3)
CHUNK_S = 60
OVERLAP_S = 2
"""More than the network can hear to either side (about 1 s), so that chunks join without a trace."""
HOLD_S = 0.3
"""Pauses longer than this close the mouth and hold it still."""
CLOSE_S, OPEN_S = 0.16, 0.10
"""How long the mouth takes to close after speech and to open before it."""


class Block(nn.Module):
    """A residual pair of convolutions."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(CHANNELS, CHANNELS, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, CHANNELS, T) to the same shape."""
        out: Tensor = x + self.drop(self.mix(nn.functional.gelu(self.wide(x))))
        return out


class Ear(nn.Module):
    """(N, BANDS, 2T) levelled log-mel at 100 Hz to (N, PHONETIC, T) what is being said, at 50 Hz."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(features.BANDS, CHANNELS, 5, stride=2, padding=2)
        self.blocks = nn.Sequential(*(Block(d) for d in DILATIONS))
        self.leave = nn.Conv1d(CHANNELS, PHONETIC, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.leave(self.blocks(nn.functional.gelu(self.enter(x))))
        return out


class Mouth(nn.Module):
    """(N, PHONETIC, T) to (N, T, 5) departures from rest, in units of `UNIT`."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(PHONETIC, MOUTH_CHANNELS, 1)
        size = MOUTH_CHANNELS
        self.blocks = nn.ModuleList(nn.Conv1d(size, size, 5, padding=2 * d, dilation=d) for d in MOUTH_DILATIONS)
        self.leave = nn.Conv1d(MOUTH_CHANNELS, len(MODES), 3, padding=1)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.enter(self.drop(x))
        for block in self.blocks:
            x = x + self.drop(block(nn.functional.gelu(x)))
        out: Tensor = self.leave(nn.functional.gelu(x))
        return out.transpose(1, 2)


class LipNet(nn.Module):
    """(N, BANDS, 2T) levelled log-mel at 100 Hz to (N, T, 5) departures from rest at 50 Hz, in units of `UNIT`."""

    def __init__(self) -> None:
        super().__init__()
        self.ear, self.mouth = Ear(), Mouth()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.mouth(self.ear(x))
        return out


UNIT = 0.03
"""Eye distances in one unit of the network's output."""


def load() -> LipNet:
    """Return the shipped network, ready to use."""
    net = LipNet()
    net.load_state_dict(tensors("lips.safetensors"))
    return net.eval()


def check() -> None:
    """Raise EngineError if a shipped network is missing or damaged."""
    load()
    speech.load()


def speak(voice: NDArray[np.float32], net: LipNet | None = None) -> F32:
    """Return (T, 5) float32 departures from the closed mouth at RATE_HZ, in eye distances.

    voice  (samples,) float32 at 16 kHz
    """
    heard, speaks = speech.listen(voice)
    count = len(heard) // 2
    lips = predict(net or load(), heard[: 2 * count])
    return np.asarray(lips * openness(speaks[: 2 * count])[::2, None], np.float32)


def predict(net: LipNet, heard: F32) -> F32:
    """Return (T, 5) for (2T, BANDS) levelled features, in chunks so that memory stays small."""
    step, reach = CHUNK_S * features.RATE_HZ, OVERLAP_S * features.RATE_HZ
    parts = [np.zeros((0, len(MODES)), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(heard), step):
            low, stop = max(0, start - reach), min(start + step, len(heard))
            part = torch.from_numpy(heard[low : min(stop + reach, len(heard))].T.copy())[None]
            parts.append(net(part)[0, (start - low) // 2 : (stop - low) // 2].numpy() * UNIT)
    return np.concatenate(parts)


def openness(speaks: NDArray[np.bool_]) -> F32:
    """Return (T,) 0..1 at features.RATE_HZ: 1 in speech, 0 in pauses longer than HOLD_S, eased between."""
    rate = features.RATE_HZ
    gate = np.ones(len(speaks), np.float32)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (~speaks).astype(np.int8), [0]))))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b - a < HOLD_S * rate and a > 0 and b < len(speaks):
            continue
        frames = np.arange(a, b)
        after = (frames - a + 1) / (CLOSE_S * rate) if a > 0 else np.ones(b - a)
        before = (b - frames) / (OPEN_S * rate) if b < len(speaks) else np.ones(b - a)
        gate[a:b] = 1 - _ease(np.minimum(after, before))
    return gate


def _ease(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float64)
