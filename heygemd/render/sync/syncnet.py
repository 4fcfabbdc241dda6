"""SyncNet: two small networks that embed a mouth's movement and a voice in one space, where matching ones correlate.

Trained contrastively (after Chung and Zisserman 2016) by heygemd.training; see models/sync.md. It shares nothing with
the network that predicts the lips.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...weights.bundled import tensors
from ..audio import mel as features
from ..face.gaussian import gaussian_smooth
from ..face.mouth_params import MOUTH_PARAMS
from ..scene import F32

RATE_HZ = 50
SLOW_S = 0.6
"""Movement slower than this (standard deviation of a Gaussian) is removed."""
MIN_SPREAD = np.array([0.004, 0.004, 0.004, 0.002, 0.004], np.float32)
"""In eye distances. The noise of a mouth that moves less, and so does not speak, is not amplified."""
MAX_MOVEMENT = 4.0
EMBEDDING, VOICE_CHANNELS, MOUTH_CHANNELS = 16, 64, 32


class SyncNet(nn.Module):
    """Embeds voices and mouths as (N, EMBEDDING, T) at RATE_HZ, of zero mean and unit power over time.

    The names of the layers are the keys of sync.safetensors.
    """

    def __init__(self) -> None:
        super().__init__()
        size = VOICE_CHANNELS
        self.voice_in = nn.Conv1d(features.BANDS, size, 5, stride=2, padding=2)
        self.voice_layers = nn.ModuleList(nn.Conv1d(size, size, 3, padding=d, dilation=d) for d in (1, 2, 4))
        self.voice_out = nn.Conv1d(size, EMBEDDING, 1)
        self.mouth_in = nn.Conv1d(len(MOUTH_PARAMS), MOUTH_CHANNELS, 5, padding=2)
        self.mouth_layer = nn.Conv1d(MOUTH_CHANNELS, MOUTH_CHANNELS, 5, padding=4, dilation=2)
        self.mouth_out = nn.Conv1d(MOUTH_CHANNELS, EMBEDDING, 1)
        self.drop = nn.Dropout(0.15)
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def voice(self, mel: Tensor) -> Tensor:
        """Embed (N, BANDS, 2T) normalised log-mel at 100 Hz."""
        x = nn.functional.gelu(self.voice_in(mel))
        for layer in self.voice_layers:
            x = x + nn.functional.gelu(layer(self.drop(x)))
        return _unit(self.voice_out(x))

    def mouth(self, moved: Tensor) -> Tensor:
        """Embed (N, 5, T) from `movement`."""
        x = nn.functional.gelu(self.mouth_in(moved))
        return _unit(self.mouth_out(x + nn.functional.gelu(self.mouth_layer(self.drop(x)))))


def _unit(x: Tensor) -> Tensor:
    x = x - x.mean(2, keepdim=True)
    return x / (x.pow(2).mean((1, 2), keepdim=True).sqrt() + 1e-5)


def movement(params: F32) -> F32:
    """Return (T, 5) float32 mouth parameters at RATE_HZ, high-passed, over their own spread and clipped."""
    fast = params - gaussian_smooth(params, SLOW_S * RATE_HZ)
    return np.asarray((fast / np.maximum(fast.std(0), MIN_SPREAD)).clip(-MAX_MOVEMENT, MAX_MOVEMENT), np.float32)


def load() -> SyncNet:
    """Return the shipped network in evaluation mode."""
    net = SyncNet()
    net.load_state_dict(tensors("sync.safetensors"))
    return net.eval()


def embed(voice: NDArray[np.float32], params: F32, net: SyncNet | None = None) -> tuple[F32, F32]:
    """Return the embeddings of voice and mouth, (T, EMBEDDING) float32 each, as long as the shorter of the two.

    voice   (samples,) float32 at 16 kHz
    params  (T, 5) float32 mouth parameters at RATE_HZ
    """
    net = net or load()
    mel = features.normalised_mel(voice)
    count = min(len(mel) // 2, len(params))
    with torch.inference_mode():
        voice_embedding = net.voice(torch.from_numpy(mel[: 2 * count].T.copy())[None])[0].T
        mouth_embedding = net.mouth(torch.from_numpy(movement(params[:count]).T.copy())[None])[0].T
    return voice_embedding.numpy(), mouth_embedding.numpy()
