"""Trains SyncNet: matching moments of lips and voice against shifted ones and against other people's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..render.audio import mel as features
from ..render.face.mouth_params import MOUTH_PARAMS, measure_meshes
from ..render.scene import F32
from ..render.sync import av_offset, syncnet
from ..render.sync.syncnet import movement
from .networks import SyncNet, weights
from .real_clips import RealClip
from .real_lessons import mouth_params
from .synthetic_corpus import Example
from .train_lips import augment_mel, set_learning_rate

REACH = 25
"""Shifts that it learns to distinguish, in frames of 50 Hz to either side."""
CROP_FRAMES, BATCH, RATE = 130, 24, 1.5e-3
REAL_SHARE = 0.7
LENGTHS_S, SHIFTS_S = (2.56, 3.0, 5.0, av_offset.SAMPLE_S), (0.08, 0.16, 0.32)
"""What `shift_errors` tries: how much is measured, and by how much the sound is shifted to either side."""


class Pair(NamedTuple):
    """A voice and the mouth that belongs to it.

    mel    (2T, BANDS) float32 normalised log-mel at 100 Hz
    moved  (T, 5) float32 at 50 Hz, see syncnet.movement
    """

    mel: F32
    moved: F32


def synthetic_pairs(examples: Sequence[Example]) -> list[Pair]:
    """Return pairs of synthesised speech and its known lips."""
    long = [e for e in examples if len(e.lips) > CROP_FRAMES + 2 * REACH]
    features_and_movement = [(features.log_mel(e.sound), movement(e.lips)) for e in long]
    return [Pair(features.normalise(mel, features.energy_vad(mel)), moved) for mel, moved in features_and_movement]


def real_pairs(clips: Sequence[RealClip]) -> list[Pair]:
    """Return pairs of real people and their own sound. Constant offsets of clips cancel out over many clips."""
    found = [(features.normalised_mel(clip.voice), mouth_params(clip)) for clip in clips]
    pairs = [Pair(mel[: 2 * len(rows)], movement(rows[: len(mel) // 2])) for mel, rows in found if rows is not None]
    return [pair for pair in pairs if len(pair.moved) >= CROP_FRAMES]


def train(sources: Sequence[list[Pair]], steps: int, seed: int = 0, net: SyncNet | None = None) -> SyncNet:
    """Return a trained network; AdamW, weights averaged over the last two fifths.

    sources  synthesised speech first, then real people, who get REAL_SHARE of the steps; or either alone
    net      to train further
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = (net or SyncNet()).train()
    mean = torch.optim.swa_utils.AveragedModel(net)
    adam = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    for step in range(steps):
        set_learning_rate(adam, RATE, step, steps)
        error = loss(net, *_batch(sources[-1 if rng.random() < REAL_SHARE else 0], rng))
        adam.zero_grad()
        torch.autograd.backward(error)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        if step >= steps * 3 // 5:
            mean.update_parameters(net)
    net.load_state_dict(mean.module.state_dict())
    return net.eval()


def loss(net: SyncNet, mel: Tensor, moved: Tensor) -> Tensor:
    """Return the cross-entropy of the true shift among all, plus half that of the true voice among the batch's."""
    voice, mouth = net.voice(mel), net.mouth(moved)
    inner = voice[:, :, REACH:-REACH]
    length, sharpness = inner.shape[2], net.sharpness.exp()
    lags = range(2 * REACH + 1)
    curve = torch.stack([(inner * mouth[:, :, k : k + length]).mean((1, 2)) for k in lags], 1)
    true_shift = torch.full((len(mel),), REACH)
    others = torch.einsum("nct,mct->nm", inner, mouth[:, :, REACH:-REACH]) / (inner.shape[1] * length)
    shifted = nn.functional.cross_entropy(curve * sharpness, true_shift, label_smoothing=0.05)
    return shifted + 0.5 * nn.functional.cross_entropy(others * sharpness, torch.arange(len(mel)))


def shift_errors(net: SyncNet, clip: RealClip) -> dict[float, list[float]]:
    """Return by how many ms each of SHIFTS_S is missed, by measured length; the whole clip counts as SAMPLE_S."""
    judge = syncnet.SyncNet(weights(net))
    params = measure_meshes(clip.points)
    missed: dict[float, list[float]] = {}
    length = len(params) / clip.fps - 2 * max(SHIFTS_S) - 0.04
    for wanted in LENGTHS_S:
        seconds = min(wanted, length)
        if seconds < av_offset.MIN_SPEECH_S or (wanted < av_offset.SAMPLE_S and seconds < wanted):
            continue
        first, last = (round((max(SHIFTS_S) + 0.02 + s) * clip.fps) for s in (0.0, seconds))

        def estimate(shift_s: float, first: int = first, last: int = last) -> float:
            low, high = (round((k / clip.fps - shift_s) * features.VOICE_RATE_HZ) for k in (first, last))
            fps = Fraction(clip.fps).limit_denominator(1001)
            curve = av_offset.correlation_curve(params[first:last], fps, clip.voice[max(low, 0) : high], net=judge)
            return av_offset.peak_ms(curve) if len(curve) else math.nan

        still = estimate(0.0)
        errors = [abs(estimate(sign * s) - still + 1000 * sign * s) for s in SHIFTS_S for sign in (-1, 1)]
        missed[wanted] = [error for error in errors if math.isfinite(error)]
    return missed


def _batch(pairs: list[Pair], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return random crops, (BATCH, BANDS, 2T) and (BATCH, 5, T); movements are scaled, made noisy and partly hidden."""
    mel = np.zeros((BATCH, features.BANDS, 2 * CROP_FRAMES), np.float32)
    moved = np.zeros((BATCH, len(MOUTH_PARAMS), CROP_FRAMES), np.float32)
    for row, which in enumerate(rng.integers(len(pairs), size=BATCH)):
        pair = pairs[which]
        start = int(rng.integers(len(pair.moved) - CROP_FRAMES + 1))
        mel[row] = pair.mel[2 * start : 2 * (start + CROP_FRAMES)].T
        moved[row] = pair.moved[start : start + CROP_FRAMES].T
        augment_mel(mel[row], rng)
        moved[row] *= np.exp(rng.normal(0, 0.2, (len(MOUTH_PARAMS), 1)))
        moved[row] += rng.normal(0, 0.15, moved[row].shape)
        moved[row] += rng.normal(0, 0.2) * np.cumsum(rng.normal(0, 0.1, moved[row].shape), 1)
        if rng.random() < 0.3:
            moved[row, 1:] *= rng.random()
    return torch.from_numpy(mel), torch.from_numpy(moved)
