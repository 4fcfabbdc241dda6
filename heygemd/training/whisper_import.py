"""Reads the speech encoder out of Whisper-base as CTranslate2 stores it (Systran's faster-whisper-base, MIT)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..render.engines.mesh.speech_encoder import LAYERS
from ..render.layers import Weights

VERSION = 6
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
NAMES = {"conv1": "enter", "conv2": "halve"} | {
    f"layer_{k}/{whispers}": f"layers.{k}.{ours}"
    for k in range(LAYERS)
    for whispers, ours in {
        "self_attention/layer_norm": "norm1",
        "self_attention/linear_0": "self_attn.in_proj",
        "self_attention/linear_1": "self_attn.out_proj",
        "ffn/layer_norm": "norm2",
        "ffn/linear_0": "linear1",
        "ffn/linear_1": "linear2",
    }.items()
}
PARTS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}


def encoder_weights(model: Path) -> Weights:
    """Return the weights for mesh.speech_encoder from a model.bin.

    Raise ValueError if it is no such file or of another version.
    """
    weights = {}
    for name, tensor in _variables(model.read_bytes()):
        owner, _, part = name.removeprefix("encoder/").rpartition("/")
        if name.startswith("encoder/") and owner in NAMES:
            ours = NAMES[owner]
            joint = "_" if ours.endswith("in_proj") else "."
            weights[f"{ours}{joint}{PARTS[part]}"] = tensor.astype(np.float32)
    return weights


def _variables(data: bytes) -> Iterator[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]]:
    """Yield (name, array) of each variable; the format is that of CTranslate2's model_spec.py, little-endian."""
    at = 0

    def take(form: str) -> int:
        nonlocal at
        at += struct.calcsize(form)
        return int(struct.unpack_from(form, data, at - struct.calcsize(form))[0])

    def text() -> str:
        nonlocal at
        length = take("<H")
        at += length
        return data[at - length : at].rstrip(b"\0").decode("ascii")

    if len(data) < 4 or take("<I") != VERSION:
        raise ValueError(f"not a CTranslate2 model of version {VERSION}")
    text(), take("<I")
    for _ in range(take("<I")):
        name = text()
        shape = [take("<I") for _ in range(take("<B"))]
        dtype, size = np.dtype(DTYPES[take("<B")]), take("<I")
        yield name, np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size
