"""Encodes speech of any language: the lower half of Whisper-base's encoder (Radford 2022), 8 bits a weight.

Its third layer predicts lips better than its last, which is closer to words than to sounds; see models/lips.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....weights.bundled import tensors
from ...audio.mel import HOP, VOICE_RATE_HZ, mel_filters
from ...scene import F32

FILE = "speech_encoder.safetensors"
RATE_HZ = 50
STEP = VOICE_RATE_HZ // RATE_HZ
WIDTH, HEADS, LAYERS = 512, 8, 3
BANDS, FFT = 80, 400
FLOOR, DEPTH = 1e-10, 8.0
WINDOW, MARGIN = 500, 50
"""Frames at RATE_HZ that are encoded together, and how many at either end serve as context only."""


class SpeechEncoder(nn.Module):
    """The encoder up to its third layer, with layer normalisation after it.

    in   (N, BANDS, 2T) float32 of `log_mel`
    out  (N, T, WIDTH) float32 at RATE_HZ, each frame of zero mean and unit variance
    """

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(BANDS, WIDTH, 3, padding=1)
        self.halve = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, stride=2)
        self.layers = nn.Sequential(*(
            nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        ))  # fmt: skip

    def forward(self, mel: Tensor) -> Tensor:
        """Return (N, T, WIDTH) for (N, BANDS, 2T) of `log_mel`."""
        x = nn.functional.gelu(self.halve(nn.functional.gelu(self.enter(mel)))).transpose(1, 2)
        return nn.functional.layer_norm(self.layers(x + _positions(x.shape[1])), (WIDTH,))


def _positions(count: int) -> Tensor:
    """Return (count, WIDTH) float32 sinusoidal position embeddings, as in Whisper."""
    rates = torch.exp(-math.log(10_000) / (WIDTH // 2 - 1) * torch.arange(WIDTH // 2))
    angles = torch.arange(count)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def load() -> SpeechEncoder:
    """Return the shipped encoder in evaluation mode."""
    packed = tensors(FILE)
    with torch.device("meta"):  # random initial weights would take as much memory again
        encoder = SpeechEncoder()
    encoder.load_state_dict({name: unpack(packed, name) for name in packed if not name.endswith(".scale")}, assign=True)
    return encoder.eval()


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict with int8 weights and a scale for each row ("NAME.scale"); vectors as float16."""
    packed = {name: tensor.half() for name, tensor in state.items() if tensor.ndim == 1}
    for name, tensor in state.items():
        if tensor.ndim > 1:
            scale = tensor.flatten(1).abs().amax(1) / 127
            rows = tensor / scale.view(-1, *[1] * (tensor.ndim - 1))
            packed |= {name: rows.round().to(torch.int8), f"{name}.scale": scale}
    return packed


def unpack(packed: dict[str, Tensor], name: str) -> Tensor:
    """Return the float32 tensor `name` of a state dict made by `pack`."""
    rows, scale = packed[name].float(), packed.get(f"{name}.scale")
    return rows if scale is None else rows * scale.view(-1, *[1] * (rows.ndim - 1))


def encode(net: nn.Module, voice: NDArray[np.float32]) -> F32:
    """Return (T, C) float32 at RATE_HZ for a voice of any length; T = samples // STEP.

    net    a SpeechEncoder (C = WIDTH), or a network that begins with one
    voice  (samples,) float32 at 16 kHz, possibly memory-mapped: it is read a window at a time
    """
    with torch.inference_mode():
        parts = [net(mel[None])[0, new].numpy() for mel, new in _windows(voice)]
    return np.concatenate(parts)


def _windows(voice: NDArray[np.float32]) -> Iterator[tuple[Tensor, slice]]:
    """Yield the log-mel of each window and which of its frames are new; for an empty voice one window without any."""
    count, inner = len(voice) // STEP, WINDOW - 2 * MARGIN
    for start in range(0, max(count, 1), inner):
        low, high = max(0, start - MARGIN), min(count, start + inner + MARGIN)
        sound = voice[low * STEP : high * STEP]
        mel = log_mel(torch.tensor(sound) if count else torch.zeros(STEP))
        yield mel, slice(start - low, min(start + inner, count) - low)


def log_mel(sound: Tensor) -> Tensor:
    """Return (BANDS, samples // HOP) float32 log-mel as Whisper expects it: DEPTH decades below the peak are kept."""
    frames = len(sound) // HOP
    sound = nn.functional.pad(sound, (0, max(0, FFT - len(sound))))
    waves = torch.stft(sound, FFT, HOP, window=torch.hann_window(FFT), return_complex=True)[:, :frames]
    filters = torch.from_numpy(mel_filters(FFT, BANDS, 0, VOICE_RATE_HZ / 2))
    mel = (filters @ waves.abs() ** 2).clamp(min=FLOOR).log10()
    return (mel.clamp(min=float(mel.max()) - DEPTH) + 4) / 4
