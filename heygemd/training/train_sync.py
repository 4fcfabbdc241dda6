"""Trains the judge of lips against voice: matching moments against shifted ones and against other people's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..render.audio import mel as features
from ..render.face.mouth_params import MOUTH_PARAMS, measure_mouth
from ..render.face.pose import align
from ..render.scene import F32
from ..render.sync import av_offset
from ..render.sync.syncnet import SyncNet, movement
from .real_clips import Clip
from .real_lessons import quantities
from .synthetic_corpus import Example
from .train_lips import disguise, schedule

REACH = 25
"""Shifts that it must tell apart, in frames of 50 Hz to either side."""
CROP_FRAMES, BATCH, RATE = 130, 24, 1.5e-3
REAL_SHARE = 0.7
LENGTHS_S, SHIFTS_S = (2.56, 3.0, 5.0, av_offset.SAMPLE_S), (0.08, 0.16, 0.32)
"""What `shifts` tries: how much is judged, and by how much the sound is moved to either side."""


class Pair(NamedTuple):
    """mel (2T, BANDS) levelled · moved (T, 5), see syncnet.movement."""

    mel: F32
    moved: F32


def spoken(examples: Sequence[Example]) -> list[Pair]:
    """Return synthesised speech with its known lips."""
    long = [e for e in examples if len(e.lips) > CROP_FRAMES + 2 * REACH]
    heard = [(features.log_mel(e.sound), movement(e.lips)) for e in long]
    return [Pair(features.normalise(mel, features.energy_vad(mel)), moved) for mel, moved in heard]


def filmed(clips: Sequence[Clip]) -> list[Pair]:
    """Return real people with their own sound, as it is: a constant offset of a clip cancels over many clips."""
    found = [(features.normalised_mel(clip.voice), quantities(clip)) for clip in clips]
    pairs = [Pair(mel[: 2 * len(rows)], movement(rows[: len(mel) // 2])) for mel, rows in found if rows is not None]
    return [pair for pair in pairs if len(pair.moved) >= CROP_FRAMES]


def fit(sources: Sequence[list[Pair]], steps: int, seed: int = 0, net: SyncNet | None = None) -> SyncNet:
    """Return a judge (`net` trained on, if given); AdamW, weights averaged over the last two fifths.

    sources  synthesised speech first, then real people, who get REAL_SHARE of the steps; or either alone
    """
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    net = (net or SyncNet()).train()
    mean = torch.optim.swa_utils.AveragedModel(net)
    adam = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    for step in range(steps):
        schedule(adam, RATE, step, steps)
        error = loss(net, *_batch(sources[-1 if chance.random() < REAL_SHARE else 0], chance))
        adam.zero_grad()
        torch.autograd.backward(error)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        if step >= steps * 3 // 5:
            mean.update_parameters(net)
    net.load_state_dict(mean.module.state_dict())
    return net.eval()


def loss(net: SyncNet, mel: Tensor, moved: Tensor) -> Tensor:
    """Cross-entropy of the true shift among all, and (half as much) of the true voice among the batch's."""
    heard, seen = net.voice(mel), net.mouth(moved)
    inner = heard[:, :, REACH:-REACH]
    length, sharpness = inner.shape[2], net.sharpness.exp()
    shifts = range(2 * REACH + 1)
    curve = torch.stack([(inner * seen[:, :, k : k + length]).mean((1, 2)) for k in shifts], 1)
    true_shift = torch.full((len(mel),), REACH)
    others = torch.einsum("nct,mct->nm", inner, seen[:, :, REACH:-REACH]) / (inner.shape[1] * length)
    shifted = nn.functional.cross_entropy(curve * sharpness, true_shift, label_smoothing=0.05)
    return shifted + 0.5 * nn.functional.cross_entropy(others * sharpness, torch.arange(len(mel)))


def shifts(net: SyncNet, clip: Clip) -> dict[float, list[float]]:
    """Return by how many ms each of SHIFTS_S is missed, by the length that was judged; the whole clip as SAMPLE_S."""
    seen = _measured(clip)
    missed: dict[float, list[float]] = {}
    length = len(seen) / clip.fps - 2 * max(SHIFTS_S) - 0.04
    for wanted in LENGTHS_S:
        seconds = min(wanted, length)
        if seconds < av_offset.MIN_SPEECH_S or (wanted < av_offset.SAMPLE_S and seconds < wanted):
            continue
        first, last = (round((max(SHIFTS_S) + 0.02 + s) * clip.fps) for s in (0.0, seconds))

        def estimate(shift_s: float, first: int = first, last: int = last) -> float:
            low, high = (round((k / clip.fps - shift_s) * features.VOICE_RATE_HZ) for k in (first, last))
            fps = Fraction(clip.fps).limit_denominator(1001)
            curve = av_offset.correlation_curve(seen[first:last], fps, clip.voice[max(low, 0) : high], net)
            return av_offset.peak_ms(curve) if len(curve) else math.nan

        still = estimate(0.0)
        errors = [abs(estimate(sign * s) - still + 1000 * sign * s) for s in SHIFTS_S for sign in (-1, 1)]
        missed[wanted] = [error for error in errors if math.isfinite(error)]
    return missed


def _measured(clip: Clip) -> F32:
    """Return (frames, 5) quantities as `sync.watch` gives them, NaN without a face."""
    good = np.isfinite(clip.points[:, 0, 0])
    rows = np.full((len(good), len(MOUTH_PARAMS)), np.nan, np.float32)
    if good.any():
        rows[good] = measure_mouth(align(clip.points[good]).to_face(clip.points[good]))
    return rows


def _batch(pairs: list[Pair], chance: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return (BATCH, BANDS, 2T), (BATCH, 5, T) random crops; mouths are made louder, noisier and partly unseen."""
    mel = np.zeros((BATCH, features.BANDS, 2 * CROP_FRAMES), np.float32)
    moved = np.zeros((BATCH, len(MOUTH_PARAMS), CROP_FRAMES), np.float32)
    for row, which in enumerate(chance.integers(len(pairs), size=BATCH)):
        pair = pairs[which]
        start = int(chance.integers(len(pair.moved) - CROP_FRAMES + 1))
        mel[row] = pair.mel[2 * start : 2 * (start + CROP_FRAMES)].T
        moved[row] = pair.moved[start : start + CROP_FRAMES].T
        disguise(mel[row], chance)
        moved[row] *= np.exp(chance.normal(0, 0.2, (len(MOUTH_PARAMS), 1)))
        moved[row] += chance.normal(0, 0.15, moved[row].shape)
        moved[row] += chance.normal(0, 0.2) * np.cumsum(chance.normal(0, 0.1, moved[row].shape), 1)
        if chance.random() < 0.3:
            moved[row, 1:] *= chance.random()
    return torch.from_numpy(mel), torch.from_numpy(moved)
