"""Encodes speech of any language: the lower half of Whisper-base's encoder (Radford 2022), 8 bits a weight.

Its third layer predicts lips better than its last, which is closer to words than to sounds; see models/lips.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ....weights.bundled import tensors
from ...audio.mel import HOP, VOICE_RATE_HZ, hann, mel_filters
from ...layers import Network, Weights, conv1d, encoder_layer, gelu, layer_norm
from ...scene import F32

FILE = "speech_encoder.safetensors"
RATE_HZ = 50
STEP = VOICE_RATE_HZ // RATE_HZ
WIDTH, HEADS, LAYERS = 512, 8, 3
BANDS, FFT = 80, 400
FLOOR, DEPTH = 1e-10, 8.0
WINDOW, MARGIN = 500, 50
"""Frames at RATE_HZ that are encoded together, and how many at either end serve as context only."""


class SpeechEncoder:
    """The encoder up to its third layer, with layer normalisation after it."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def __call__(self, mel: F32) -> F32:
        """Return (T, WIDTH) float32 at RATE_HZ, rows of zero mean and unit variance, for (2T, BANDS) of `log_mel`."""
        x = gelu(conv1d(mel, self._weights, "enter"))
        x = gelu(conv1d(x, self._weights, "halve", stride=2))
        x = x + _positions(len(x))
        for number in range(LAYERS):
            x = encoder_layer(x, self._weights, f"layers.{number}", HEADS)
        return layer_norm(x)


def _positions(count: int) -> F32:
    """Return (count, WIDTH) float32 sinusoidal position embeddings, as in Whisper."""
    rates = np.exp(-math.log(10_000) / (WIDTH // 2 - 1) * np.arange(WIDTH // 2))
    angles = np.arange(count)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).astype(np.float32)


def load() -> SpeechEncoder:
    """Return the shipped encoder."""
    return SpeechEncoder(unpack(tensors(FILE)))


def pack(weights: Weights) -> dict[str, NDArray[Any]]:
    """Return int8 weights and a scale for each row ("NAME.scale"); vectors as float16."""
    packed: dict[str, NDArray[Any]] = {}
    for name, tensor in weights.items():
        if tensor.ndim == 1:
            packed[name] = tensor.astype(np.float16)
        else:
            scale = np.abs(tensor).max(tuple(range(1, tensor.ndim)), keepdims=True) / 127
            packed |= {name: np.rint(tensor / scale).astype(np.int8), f"{name}.scale": scale.ravel()}
    return packed


def unpack(packed: dict[str, NDArray[Any]]) -> Weights:
    """Return the float32 weights of what `pack` made."""
    weights = {name: rows.astype(np.float32) for name, rows in packed.items() if not name.endswith(".scale")}
    for name, rows in weights.items():
        if rows.ndim > 1:
            rows *= packed[f"{name}.scale"].reshape(-1, *[1] * (rows.ndim - 1))
    return weights


def encode(net: Network, voice: NDArray[np.float32]) -> F32:
    """Return (T, C) float32 at RATE_HZ for a voice of any length; T = samples // STEP.

    net    a SpeechEncoder (C = WIDTH), or a network that begins with one
    voice  (samples,) float32 at 16 kHz, possibly memory-mapped: it is read a window at a time
    """
    return np.concatenate([net(mel)[new] for mel, new in _windows(voice)])


def _windows(voice: NDArray[np.float32]) -> Iterator[tuple[F32, slice]]:
    """Yield the log-mel of each window and which of its frames are new; for an empty voice one window without any."""
    count, inner = len(voice) // STEP, WINDOW - 2 * MARGIN
    for start in range(0, max(count, 1), inner):
        low, high = max(0, start - MARGIN), min(count, start + inner + MARGIN)
        sound = voice[low * STEP : high * STEP] if count else np.zeros(STEP, np.float32)
        yield log_mel(sound), slice(start - low, min(start + inner, count) - low)


def log_mel(sound: NDArray[np.float32]) -> F32:
    """Return (samples // HOP, BANDS) float32 log-mel as Whisper expects it: DEPTH decades below the peak are kept."""
    padded = np.pad(np.pad(sound, (0, max(0, FFT - len(sound)))), FFT // 2, "reflect")
    waves = np.fft.rfft(sliding_window_view(padded, FFT)[::HOP][: len(sound) // HOP] * hann(FFT))
    power = np.square(np.abs(waves)).astype(np.float32) @ mel_filters(FFT, BANDS, 0, VOICE_RATE_HZ / 2).T
    mel = np.log10(np.maximum(power, np.float32(FLOOR)))
    return np.asarray((np.maximum(mel, mel.max() - np.float32(DEPTH)) + 4) / 4, np.float32)
