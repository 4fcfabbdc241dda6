"""Trains what tells speech from music and noise: recorded speech with pauses, over music and effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..render.audio import mel as features
from ..render.audio.vad import VadNet
from ..render.scene import F32
from .synthetic_corpus import rough
from .train_lips import disguise, schedule

LESSON_S, CROP_S = 16, 8
SILENT_SHARE, QUIET_SHARE = 0.15, 0.25
"""Lessons without speech, and lessons without anything behind the speech."""
PAUSE_S = (0.15, 2.5)
APART_DB = (-4.0, 30.0)
"""How far the speech lies above what is behind it."""
BATCH, RATE = 32, 2e-3
RATE_HZ = features.VOICE_RATE_HZ


class Lesson(NamedTuple):
    """mel (2T, BANDS) levelled at 100 Hz · talk (T,) 0 or 1 at 50 Hz."""

    mel: F32
    talk: F32


def lessons(voices: Sequence[F32], behind: Sequence[F32], count: int, seed: int) -> list[Lesson]:
    """Return `count` stretches of LESSON_S: `voices` with pauses, over a piece of one of `behind`, 16 kHz all."""
    noise = np.random.default_rng(seed)
    return [_lesson(voices, behind, noise) for _ in range(count)]


def _lesson(voices: Sequence[F32], behind: Sequence[F32], noise: np.random.Generator) -> Lesson:
    clean = _spoken(voices, noise) if noise.random() > SILENT_SHARE else np.zeros(LESSON_S * RATE_HZ, np.float32)
    spoken = bool(clean.any())
    talk = features.energy_vad(features.log_mel(clean)) if spoken else np.zeros(LESSON_S * features.RATE_HZ, bool)
    sound = rough(clean, noise, np.zeros(1, np.float32)) if spoken else clean
    if not spoken or noise.random() > QUIET_SHARE:
        piece = rough(_piece(behind, noise), noise, np.zeros(1, np.float32))
        apart = float(noise.uniform(*APART_DB))
        power = float(np.mean(sound[np.abs(sound) > 0] ** 2)) if spoken else float(10 ** (-noise.uniform(10, 40) / 10))
        sound = sound + piece * np.sqrt(power / (float(np.mean(piece**2)) + 1e-12) * 10 ** (-apart / 10))
    mel = features.log_mel(np.asarray(sound, np.float32))
    count = min(len(mel), len(talk)) // 2
    return Lesson(
        features.normalise(mel, features.energy_vad(mel))[: 2 * count], talk[: 2 * count : 2].astype(np.float32)
    )


def _spoken(voices: Sequence[F32], noise: np.random.Generator) -> F32:
    sound = np.zeros(LESSON_S * RATE_HZ, np.float32)
    at = int(noise.uniform(*PAUSE_S) * RATE_HZ)
    while at < len(sound):
        voice = voices[int(noise.integers(len(voices)))]
        part = voice[: len(sound) - at]
        sound[at : at + len(part)] = part
        at += len(voice) + int(noise.uniform(*PAUSE_S) * RATE_HZ)
    return sound


def _piece(behind: Sequence[F32], noise: np.random.Generator) -> F32:
    whole = behind[int(noise.integers(len(behind)))]
    start = int(noise.integers(max(1, len(whole) - LESSON_S * RATE_HZ)))
    return np.resize(whole[start : start + LESSON_S * RATE_HZ], LESSON_S * RATE_HZ)


def fit(learnt: Sequence[Lesson], steps: int, seed: int = 0) -> VadNet:
    """Return a trained network; AdamW on cross-entropy."""
    torch.manual_seed(seed)
    noise, net = np.random.default_rng(seed), VadNet().train()
    adam = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    for step in range(steps):
        schedule(adam, RATE, step, steps)
        mel, talk = _batch(learnt, noise)
        error = nn.functional.binary_cross_entropy_with_logits(net(mel), talk)
        adam.zero_grad()
        torch.autograd.backward(error)
        adam.step()
    return net.eval()


def _batch(learnt: Sequence[Lesson], noise: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    length = CROP_S * 50
    mels = np.empty((BATCH, features.BANDS, 2 * length), np.float32)
    talks = np.empty((BATCH, length), np.float32)
    for k in range(BATCH):
        lesson = learnt[int(noise.integers(len(learnt)))]
        start = int(noise.integers(len(lesson.talk) - length + 1))
        mels[k] = lesson.mel[2 * start : 2 * (start + length)].T
        disguise(mels[k], noise)
        talks[k] = lesson.talk[start : start + length]
    return torch.from_numpy(mels), torch.from_numpy(talks)


def missed(net: VadNet, learnt: Sequence[Lesson]) -> tuple[float, float]:
    """Return the shares of speech taken for none, and of no speech taken for some."""
    from ..render.audio.vad import ENTER_PROBABILITY, LEAVE_PROBABILITY, speech_probability

    said: list[NDArray[np.bool_]] = []
    for lesson in learnt:
        said.append(
            features.hysteresis(speech_probability(net, lesson.mel), ENTER_PROBABILITY, LEAVE_PROBABILITY)[::2][
                : len(lesson.talk)
            ]
        )
    heard, true = np.concatenate(said), np.concatenate([lesson.talk for lesson in learnt]) > 0
    return float((~heard[true]).mean()), float(heard[~true].mean())
