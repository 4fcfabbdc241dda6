"""Weights for Wav2Lip that are the same on every machine: each tensor drawn by the CRC-32 of its name.

The reference implementation computed what lies in data/wav2lip.npz with exactly these.
"""

from __future__ import annotations

import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from heygemd.render.engines.wav2lip.network import expected_shapes

LAST_GAIN = 4e-4
"""Keeps what the network says in mid-range, so that a small error shows."""


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    chance = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_mean"):
        return (chance.standard_normal(shape) * 0.1).astype("f4")
    if name.endswith("running_var"):
        return chance.uniform(0.5, 1.5, shape).astype("f4")
    if len(shape) == 4:
        gain = LAST_GAIN if name == "output_block.1.weight" else np.sqrt(2 / np.prod(shape[1:]))
        return (chance.standard_normal(shape) * gain).astype("f4")
    if name.endswith("weight"):
        return chance.uniform(0.8, 1.2, shape).astype("f4")
    return (chance.standard_normal(shape) * 0.05).astype("f4")


@cache
def state() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(draw(name, shape))) for name, shape in expected_shapes().items()}


def write(path: Path, prefix: str = "module.") -> Path:
    """A file as the reference's training writes it (145 MB)."""
    named = {prefix + name: tensor for name, tensor in state().items()}
    torch.save({"state_dict": named, "optimizer": None, "global_step": 0, "global_epoch": 0}, path)
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]))
