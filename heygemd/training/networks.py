"""The networks of `render` as PyTorch modules, for training.

The names of their layers are the keys of the files of weights, which `render` evaluates without PyTorch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..render.audio import mel as features
from ..render.audio import vad
from ..render.engines.mesh import speech_encoder, viseme_net
from ..render.face.mouth_params import MOUTH_PARAMS
from ..render.layers import Weights
from ..render.sync import syncnet


def weights(net: nn.Module) -> Weights:
    """Return a module's weights for its counterpart in `render`."""
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


class VisemeNet(nn.Module):
    """(N, T, speech_encoder.WIDTH) to (N, T, 5), the mean of `count` networks and a map; see viseme_net.VisemeNet."""

    def __init__(self, count: int = 1) -> None:
        super().__init__()
        self.networks = nn.ModuleList(DilatedNet() for _ in range(count))
        reach = viseme_net.LINEAR_TAPS // 2 * viseme_net.LINEAR_STEP
        self.linear = nn.Conv1d(
            speech_encoder.WIDTH, len(MOUTH_PARAMS), viseme_net.LINEAR_TAPS, 1, reach, viseme_net.LINEAR_STEP,
            padding_mode="replicate",
        )  # fmt: skip
        self.drop = nn.Dropout(0.4)

    def forward(self, encoded: Tensor) -> Tensor:
        """Return departures from the closed mouth, in units of viseme_net.UNIT."""
        seen = self.drop(encoded.transpose(1, 2))
        out: Tensor = torch.stack([net(seen) for net in self.networks]).mean(0) + self.linear(seen)
        return out.transpose(1, 2)


class DilatedNet(nn.Module):
    """One of the networks of a VisemeNet, (N, speech_encoder.WIDTH, T) to (N, 5, T)."""

    def __init__(self) -> None:
        super().__init__()
        size = 96
        self.enter = nn.Conv1d(speech_encoder.WIDTH, size, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(size, size, 5, padding=2 * d, dilation=d) for d in viseme_net.DILATIONS)
        self.leave = nn.Conv1d(size, len(MOUTH_PARAMS), 3, padding=1)
        self.drop = nn.Dropout(0.3)

    def forward(self, seen: Tensor) -> Tensor:
        """Return this network's departures from the closed mouth."""
        x = self.enter(seen)
        for block in self.blocks:
            x = x + self.drop(block(nn.functional.gelu(x)))
        out: Tensor = self.leave(nn.functional.gelu(x))
        return out


class VadNet(nn.Module):
    """(N, BANDS, 2T) to (N, T), see vad.VadNet."""

    def __init__(self) -> None:
        super().__init__()
        size = 48
        self.enter = nn.Conv1d(features.BANDS, size, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(nn.Conv1d(size, size, 3, padding=d, dilation=d) for d in vad.DILATIONS)
        self.leave = nn.Conv1d(size, 1, 1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Return log-odds of speech."""
        x = nn.functional.gelu(self.enter(x))
        for block in self.blocks:
            x = x + nn.functional.gelu(block(self.drop(x)))
        out: Tensor = self.leave(x)[:, 0]
        return out


class SyncNet(nn.Module):
    """Embeds voices and mouths as (N, C, T), see syncnet.SyncNet."""

    def __init__(self) -> None:
        super().__init__()
        embedding, size, mouth_size, apart = 16, 64, 32, syncnet.MOUTH_DILATION
        self.voice_in = nn.Conv1d(features.BANDS, size, 5, stride=2, padding=2)
        self.voice_layers = nn.ModuleList(
            nn.Conv1d(size, size, 3, padding=d, dilation=d) for d in syncnet.VOICE_DILATIONS
        )
        self.voice_out = nn.Conv1d(size, embedding, 1)
        self.mouth_in = nn.Conv1d(len(MOUTH_PARAMS), mouth_size, 5, padding=2)
        self.mouth_layer = nn.Conv1d(mouth_size, mouth_size, 5, padding=2 * apart, dilation=apart)
        self.mouth_out = nn.Conv1d(mouth_size, embedding, 1)
        self.drop = nn.Dropout(0.15)
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def voice(self, mel: Tensor) -> Tensor:
        """Embed (N, BANDS, 2T) normalised log-mel at 100 Hz."""
        x = nn.functional.gelu(self.voice_in(mel))
        for layer in self.voice_layers:
            x = x + nn.functional.gelu(layer(self.drop(x)))
        return _unit(self.voice_out(x))

    def mouth(self, moved: Tensor) -> Tensor:
        """Embed (N, 5, T) from syncnet.movement."""
        x = nn.functional.gelu(self.mouth_in(moved))
        return _unit(self.mouth_out(x + nn.functional.gelu(self.mouth_layer(self.drop(x)))))


def _unit(x: Tensor) -> Tensor:
    x = x - x.mean(2, keepdim=True)
    return x / (x.pow(2).mean((1, 2), keepdim=True).sqrt() + 1e-5)
