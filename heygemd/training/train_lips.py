"""Trains the mouth on what the ear hears, and measures both on real talking videos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..render.audio import mel as features
from ..render.engines.mesh import speech_encoder as ear
from ..render.engines.mesh import viseme_net as lips
from ..render.face.mouth_params import MOUTH_PARAMS, OPEN, WIDTH, measure_mouth
from ..render.face.pose import align
from ..render.scene import F32
from .real_clips import Clip
from .synthetic_corpus import Example

CROP_FRAMES, LEAST_FRAMES = 100, 20
"""Length of a training crop at 50 Hz, and of the shortest example."""
WARM_STEPS = 50
BATCH = 32
RATE = 2e-3
CLOSED_BELOW = 0.012
CLOSED_WEIGHT = 7.0
NEAR_FRAMES, OPEN_ABOVE = 11, 0.03
"""Closures within speech (an opening above this near by) are short and matter most to the eye."""
MODE_WEIGHTS = torch.tensor([1.5, 1.2, 0.7, 2.0, 0.8])
GAINS = torch.tensor([1.3, 1.45, 1.5, 1.4, 1.4])
"""The likeliest movement is smaller than the one that somebody makes: by these it is as large as unseen speakers'."""
MAX_LAG_S = 0.24


class Heard(NamedTuple):
    """An example ready for the mouth: what the ear hears (T, ear.WIDTH), and lips (T, 5)."""

    ear: NDArray[np.float16]
    lips: F32


def prepare(examples: Iterable[Example], listener: torch.nn.Module) -> list[Heard]:
    """Hear the examples."""
    heard = ((ear.through(listener, example.sound).astype(np.float16), example.lips) for example in examples)
    pairs = ((said[: len(moved)], moved[: len(said)]) for said, moved in heard)
    return [Heard(said, moved) for said, moved in pairs if len(moved) > LEAST_FRAMES]


def batch(heard: list[Heard], chance: np.random.Generator, rows: int) -> tuple[Tensor, Tensor]:
    """Return ((rows, T, ear.WIDTH), (rows, T, 5)) random crops; short examples share a row."""
    said = np.zeros((rows, CROP_FRAMES, ear.WIDTH), np.float32)
    lip = np.zeros((rows, CROP_FRAMES, len(MOUTH_PARAMS)), np.float32)
    for row in range(rows):
        filled = 0
        while filled < CROP_FRAMES:
            example = heard[chance.integers(len(heard))]
            start = int(chance.integers(max(1, len(example.lips) - CROP_FRAMES // 2)))
            count = min(CROP_FRAMES - filled, len(example.lips) - start)
            said[row, filled : filled + count] = example.ear[start : start + count]
            lip[row, filled : filled + count] = example.lips[start : start + count]
            filled += count
    return torch.from_numpy(said), torch.from_numpy(lip)


def disguise(mel: F32, chance: np.random.Generator) -> None:
    """Change a (BANDS, T) crop in place as microphones do, and mask bands now and then."""
    mel += chance.normal(0, 0.15) + chance.normal(0, 0.15) * np.linspace(-1, 1, len(mel), dtype=np.float32)[:, None]
    shift = int(chance.integers(-2, 3))
    if shift:
        mel[:] = np.roll(mel, shift, 0)
    if chance.random() < 0.4:
        low = int(chance.integers(0, features.BANDS - 6))
        mel[low : low + int(chance.integers(1, 6))] = 0
    mel += chance.normal(0, 0.1, mel.shape).astype(np.float32)


def loss(said: Tensor, lip: Tensor) -> Tensor:
    """Weighted L1 on values and speeds, both (N, T, 5) in UNITs."""
    opening = lip[..., OPEN] * lips.UNIT
    near = torch.nn.functional.max_pool1d(opening[:, None], NEAR_FRAMES, 1, NEAR_FRAMES // 2)[:, 0]
    shut = ((opening < CLOSED_BELOW) & (near > OPEN_ABOVE)).float()[..., None]
    weight = MODE_WEIGHTS * (1 + (CLOSED_WEIGHT - 1) * shut * torch.eye(len(MOUTH_PARAMS))[OPEN])
    value = (weight * (said - lip).abs()).mean()
    speed = (MODE_WEIGHTS * (said.diff(dim=1) - lip.diff(dim=1)).abs()).mean()
    return value + 0.5 * speed


def schedule(optimiser: torch.optim.Optimizer, rate: float, step: int, steps: int) -> None:
    """Warm up, then fall along a cosine."""
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, (step + 1) / WARM_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def fit(lessons: Sequence[list[Heard]], steps: int, seed: int = 0) -> lips.Mouth:
    """Return a mouth learnt from several sources in equal parts; AdamW, weights averaged over the last two fifths."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    mouth = lips.Mouth().train()
    mean = torch.optim.swa_utils.AveragedModel(mouth)
    adam = torch.optim.AdamW(mouth.parameters(), RATE, weight_decay=0.05)
    for step in range(steps):
        schedule(adam, RATE, step, steps)
        parts = [batch(heard, chance, BATCH // len(lessons)) for heard in lessons]
        said, lip = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        error = loss(mouth(said), lip / lips.UNIT)
        adam.zero_grad()
        torch.autograd.backward(error)
        torch.nn.utils.clip_grad_norm_(mouth.parameters(), 1.0)
        adam.step()
        if step >= steps * 3 // 5:
            mean.update_parameters(mouth)
    mouth.load_state_dict(mean.module.state_dict())
    with torch.no_grad():
        for tensor in mouth.leave.parameters():
            tensor.mul_(GAINS.view(-1, *[1] * (tensor.ndim - 1)))
    return mouth.eval()


def compare(net: torch.nn.Module, clip: Clip) -> dict[str, float] | None:
    """Return r_open, r_peak, lag_s, r_width and range of predicted lips against a clip's own; None if unusable."""
    good = np.isfinite(clip.points[:, 0, 0])
    if good.sum() < 25 or good.mean() < 0.8:
        return None
    times = ((np.arange(len(clip.points)) + 0.5) / clip.fps)[good]
    real = measure_mouth(align(clip.points[good]).to_face(clip.points[good]))
    said = lips.speak(clip.voice, net)
    count = int(min(len(said), times[-1] * lips.RATE_HZ))
    at = (np.arange(count) + 0.5) / lips.RATE_HZ
    open_real, width_real = (np.interp(at, times, real[:, k]).astype(np.float32) for k in (OPEN, WIDTH))
    curve = correlations(said[:count, OPEN], open_real)
    best, reach = int(np.argmax(curve)), len(curve) // 2
    return {
        "r_open": curve[reach],
        "r_peak": curve[best],
        "lag_s": (best - reach) / lips.RATE_HZ,
        "r_width": _correlation(said[:count, WIDTH], width_real, 0),
        "range": float(said[:count, OPEN].std() / max(open_real.std(), 1e-6)),
    }


def correlations(said: F32, real: F32) -> list[float]:
    """Return the correlation at each lag within MAX_LAG_S; later entries: `said` is late."""
    reach = int(MAX_LAG_S * lips.RATE_HZ)
    return [_correlation(said, real, lag) for lag in range(-reach, reach + 1)]


def _correlation(a: F32, b: F32, lag: int) -> float:
    """Correlation of `a` delayed by -lag: positive lag means that `a` is late."""
    a, b = a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) - max(0, lag)]
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else 0.0
