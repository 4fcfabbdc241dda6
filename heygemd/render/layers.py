"""Layers of neural networks, computed with numpy: importing PyTorch costs more than the bundled networks' whole work.

Signals are (T, C) float32, a row for each moment. Weights have the names and shapes that PyTorch gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .scene import F32

Weights = dict[str, F32]
"""A network's weights by name, such as "enter.weight"."""
Network = Callable[[F32], F32]
ERF, ERF_SCALE = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592), 0.3275911
"""Coefficients of the error function's approximation 7.1.26 in Abramowitz and Stegun (1964), exact to 1.5e-7."""
BLOCK = 1 << 14
"""Values that are worked on together because they stay in the processor's cache."""
EPSILON = np.float32(1e-5)


def conv1d(x: F32, weights: Weights, name: str, stride: int = 1, dilation: int = 1) -> F32:
    """Return (ceil(T / stride), O) of the convolution `name` over (T, C), with zeros beyond the ends."""
    kernel = weights[f"{name}.weight"]
    reach = dilation * (kernel.shape[2] - 1)
    padded = np.pad(x, ((reach // 2, reach // 2), (0, 0)))
    seen = sliding_window_view(padded, reach + 1, 0)[::stride, :, ::dilation]
    out = seen.reshape(len(seen), -1) @ kernel.reshape(len(kernel), -1).T + weights[f"{name}.bias"]
    return np.asarray(out, np.float32)


def linear(x: F32, weights: Weights, name: str, joint: str = ".") -> F32:
    """Return (T, O) of the linear map `name` of (T, C)."""
    return np.asarray(x @ weights[f"{name}{joint}weight"].T + weights[f"{name}{joint}bias"], np.float32)


def gelu(x: F32) -> F32:
    """Return (T, C) Gaussian error linear units (Hendrycks and Gimpel 2016), exact to 1e-6."""
    out = np.empty(x.size, np.float32)
    for start in range(0, x.size, BLOCK):
        part = x.reshape(-1)[start : start + BLOCK]
        away = np.abs(part)
        z = away * np.float32(0.5**0.5)
        t = 1 / (1 + np.float32(ERF_SCALE) * z)
        tail = t * np.float32(ERF[0])
        for factor in ERF[1:]:
            tail += np.float32(factor)
            tail *= t
        tail *= np.exp(-z * z)
        out[start : start + BLOCK] = np.maximum(part, 0) - np.float32(0.5) * away * tail
    return out.reshape(x.shape)


def residual_layers(x: F32, weights: Weights, name: str, dilations: Sequence[int]) -> F32:
    """Return (T, C) after the convolutions `name`.0, `name`.1 …, each with a GELU and its input added (He 2016)."""
    for number, dilation in enumerate(dilations):
        x = x + gelu(conv1d(x, weights, f"{name}.{number}", dilation=dilation))
    return x


def layer_norm(x: F32) -> F32:
    """Return (T, C) whose rows have zero mean and unit variance."""
    centred = x - x.mean(1, keepdims=True)
    return np.asarray(centred / np.sqrt(np.square(centred).mean(1, keepdims=True) + EPSILON), np.float32)


def encoder_layer(x: F32, weights: Weights, name: str, heads: int) -> F32:
    """Return (T, C) of a transformer encoder's layer `name` (Vaswani 2017) that normalises first and uses GELU."""

    def norm(x: F32, norm_name: str) -> F32:
        return layer_norm(x) * weights[f"{name}.{norm_name}.weight"] + weights[f"{name}.{norm_name}.bias"]

    x = x + _self_attention(norm(x, "norm1"), weights, f"{name}.self_attn", heads)
    hidden = gelu(linear(norm(x, "norm2"), weights, f"{name}.linear1"))
    return x + linear(hidden, weights, f"{name}.linear2")


def _self_attention(x: F32, weights: Weights, name: str, heads: int) -> F32:
    joint = linear(x, weights, f"{name}.in_proj", "_")
    query, key, value = joint.reshape(len(x), 3, heads, -1).transpose(1, 2, 0, 3)
    score = (query * np.float32(query.shape[2] ** -0.5)) @ key.transpose(0, 2, 1)
    score -= score.max(2, keepdims=True)
    np.exp(score, out=score)
    score /= score.sum(2, keepdims=True)
    return linear((score @ value).transpose(1, 0, 2).reshape(x.shape), weights, f"{name}.out_proj")


def sigmoid(x: F32) -> F32:
    """Return the logistic function of each value."""
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)
