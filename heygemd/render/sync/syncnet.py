"""SyncNet: two small networks that embed a mouth's movement and a voice in one space, where matching ones correlate.

Trained contrastively (after Chung and Zisserman 2016) by heygemd.training; see models/sync.md. It shares nothing with
the network that predicts the lips.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...weights.bundled import tensors
from ..audio import mel as features
from ..face.gaussian import gaussian_smooth
from ..layers import Weights, conv1d, gelu, residual_layers
from ..scene import F32

RATE_HZ = 50
SLOW_S = 0.6
"""Movement slower than this (standard deviation of a Gaussian) is removed."""
MIN_SPREAD = np.array([0.004, 0.004, 0.004, 0.002, 0.004], np.float32)
"""In eye distances. The noise of a mouth that moves less, and so does not speak, is not amplified."""
MAX_MOVEMENT = 4.0
VOICE_DILATIONS, MOUTH_DILATION = (1, 2, 4), 2


class SyncNet:
    """Embeds voices and mouths as (T, C) at RATE_HZ, of zero mean and unit power over time."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def voice(self, mel: F32) -> F32:
        """Embed (2T, BANDS) normalised log-mel at 100 Hz."""
        x = gelu(conv1d(mel, self._weights, "voice_in", stride=2))
        x = residual_layers(x, self._weights, "voice_layers", VOICE_DILATIONS)
        return _unit(conv1d(x, self._weights, "voice_out"))

    def mouth(self, moved: F32) -> F32:
        """Embed (T, 5) from `movement`."""
        x = gelu(conv1d(moved, self._weights, "mouth_in"))
        x = x + gelu(conv1d(x, self._weights, "mouth_layer", dilation=MOUTH_DILATION))
        return _unit(conv1d(x, self._weights, "mouth_out"))


def _unit(x: F32) -> F32:
    x = x - x.mean(0)
    return np.asarray(x / (np.sqrt(np.square(x).mean()) + 1e-5), np.float32)


def movement(params: F32) -> F32:
    """Return (T, 5) float32 mouth parameters at RATE_HZ, high-passed, over their own spread and clipped."""
    fast = params - gaussian_smooth(params, SLOW_S * RATE_HZ)
    return np.asarray((fast / np.maximum(fast.std(0), MIN_SPREAD)).clip(-MAX_MOVEMENT, MAX_MOVEMENT), np.float32)


def load() -> SyncNet:
    """Return the shipped network."""
    return SyncNet(tensors("sync.safetensors"))


def embed(voice: NDArray[np.float32], params: F32, net: SyncNet | None = None) -> tuple[F32, F32]:
    """Return the embeddings of voice and mouth, (T, C) float32 each, as long as the shorter of the two.

    voice   (samples,) float32 at 16 kHz
    params  (T, 5) float32 mouth parameters at RATE_HZ
    """
    net = net or load()
    mel = features.normalised_mel(voice)
    count = min(len(mel) // 2, len(params))
    return net.voice(mel[: 2 * count]), net.mouth(movement(params[:count]))
