"""Teaches the small ear what the teacher hears, on speech whose lips need not be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..render import features
from ..render.engines.mesh.lips import PHONETIC, Ear
from ..render.geometry import F32
from .corpus import Example
from .train import BATCH, CROP_FRAMES, disguise, schedule

RATE = 2e-3
EVERY = 7
"""Share of the frames that the components are found on: neighbours are much alike."""


class Components(NamedTuple):
    """The teacher's principal components: mean (512,), axes (PHONETIC, 512), spread (PHONETIC,)."""

    mean: F32
    axes: F32
    spread: F32

    def of(self, heard: F32) -> F32:
        """Return (T, PHONETIC) of (T, 512), each component with a spread of 1."""
        return np.asarray((heard - self.mean) @ self.axes.T / self.spread, np.float32)


def components(examples: Sequence[Example]) -> Components:
    """Find the teacher's leading components over all examples."""
    rows = np.concatenate([e.heard[::EVERY] for e in examples]).astype(np.float32)
    mean = rows.mean(0)
    _, spread, axes = np.linalg.svd(rows - mean, full_matrices=False)
    return Components(mean, axes[:PHONETIC], (spread[:PHONETIC] / np.sqrt(len(rows))).astype(np.float32))


def fit(examples: Sequence[Example], steps: int, seed: int = 0, ear: Ear | None = None) -> Ear:
    """Return an ear (`ear` taught on, if given) whose outputs are the teacher's components, large ones the more."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    basis = components(examples)
    heard = [basis.of(e.heard.astype(np.float32)) for e in examples]
    mels = [features.level(e.mel, features.speaking(e.mel)) for e in examples]
    lengths = np.array([len(rows) for rows in heard], np.float64)
    weight = torch.from_numpy(basis.spread / basis.spread.sum())[None, :, None]
    ear = (ear or Ear()).train()
    adam = torch.optim.AdamW(ear.parameters(), RATE, weight_decay=0.01)
    for step in range(steps):
        schedule(adam, RATE, step, steps)
        mel, wanted = _batch(mels, heard, lengths / lengths.sum(), chance)
        error = (weight * (ear(mel) - wanted) ** 2).sum(1).mean()
        adam.zero_grad()
        torch.autograd.backward(error)
        nn.utils.clip_grad_norm_(ear.parameters(), 1.0)
        adam.step()
    return ear.eval()


def _batch(
    mels: Sequence[F32], heard: Sequence[F32], share: np.ndarray[tuple[int], np.dtype[np.float64]],
    chance: np.random.Generator,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    mel = np.zeros((BATCH, features.BANDS, 2 * CROP_FRAMES), np.float32)
    wanted = np.zeros((BATCH, PHONETIC, CROP_FRAMES), np.float32)
    for row, which in enumerate(chance.choice(len(mels), BATCH, p=share)):
        start = int(chance.integers(max(1, len(heard[which]) - CROP_FRAMES)))
        count = min(CROP_FRAMES, len(heard[which]) - start)
        mel[row, :, : 2 * count] = mels[which][2 * start : 2 * (start + count)].T
        wanted[row, :, :count] = heard[which][start : start + count].T
        disguise(mel[row], chance)
    return torch.from_numpy(mel), torch.from_numpy(wanted)
