"""Trains voice activity detection: recorded speech with pauses, over music and noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..render.audio import mel as features
from ..render.audio import vad
from ..render.audio.vad import ENTER_PROBABILITY, LEAVE_PROBABILITY
from ..render.scene import F32
from .networks import VadNet, weights
from .synthetic_corpus import augment
from .train_lips import augment_mel, set_learning_rate

EXAMPLE_S, CROP_S = 16, 8
SILENT_SHARE, QUIET_SHARE = 0.15, 0.25
"""Shares of examples without speech, and of those with nothing behind the speech."""
PAUSE_S = (0.15, 2.5)
SNR_DB = (-4.0, 30.0)
"""Range of the speech's level above what is behind it."""
BATCH, RATE = 32, 2e-3
RATE_HZ = features.VOICE_RATE_HZ


class VadExample(NamedTuple):
    """A sound and where there is speech in it.

    mel   (2T, BANDS) float32 normalised log-mel at 100 Hz
    talk  (T,) float32 0 or 1 at 50 Hz
    """

    mel: F32
    talk: F32


def make_examples(voices: Sequence[F32], behind: Sequence[F32], count: int, seed: int) -> list[VadExample]:
    """Return `count` examples of EXAMPLE_S: `voices` with pauses over an excerpt of one of `behind`, all at 16 kHz."""
    rng = np.random.default_rng(seed)
    return [_make_example(voices, behind, rng) for _ in range(count)]


def _make_example(voices: Sequence[F32], behind: Sequence[F32], rng: np.random.Generator) -> VadExample:
    clean = (
        _speech_with_pauses(voices, rng) if rng.random() > SILENT_SHARE else np.zeros(EXAMPLE_S * RATE_HZ, np.float32)
    )
    spoken = bool(clean.any())
    talk = features.energy_vad(features.log_mel(clean)) if spoken else np.zeros(EXAMPLE_S * features.RATE_HZ, bool)
    sound = augment(clean, rng, np.zeros(1, np.float32)) if spoken else clean
    if not spoken or rng.random() > QUIET_SHARE:
        piece = augment(_excerpt(behind, rng), rng, np.zeros(1, np.float32))
        apart = float(rng.uniform(*SNR_DB))
        power = float(np.mean(sound[np.abs(sound) > 0] ** 2)) if spoken else float(10 ** (-rng.uniform(10, 40) / 10))
        sound = sound + piece * np.sqrt(power / (float(np.mean(piece**2)) + 1e-12) * 10 ** (-apart / 10))
    mel = features.log_mel(np.asarray(sound, np.float32))
    count = min(len(mel), len(talk)) // 2
    return VadExample(
        features.normalise(mel, features.energy_vad(mel))[: 2 * count], talk[: 2 * count : 2].astype(np.float32)
    )


def _speech_with_pauses(voices: Sequence[F32], rng: np.random.Generator) -> F32:
    sound = np.zeros(EXAMPLE_S * RATE_HZ, np.float32)
    at = int(rng.uniform(*PAUSE_S) * RATE_HZ)
    while at < len(sound):
        voice = voices[int(rng.integers(len(voices)))]
        part = voice[: len(sound) - at]
        sound[at : at + len(part)] = part
        at += len(voice) + int(rng.uniform(*PAUSE_S) * RATE_HZ)
    return sound


def _excerpt(behind: Sequence[F32], rng: np.random.Generator) -> F32:
    recording = behind[int(rng.integers(len(behind)))]
    start = int(rng.integers(max(1, len(recording) - EXAMPLE_S * RATE_HZ)))
    return np.resize(recording[start : start + EXAMPLE_S * RATE_HZ], EXAMPLE_S * RATE_HZ)


def train(examples: Sequence[VadExample], steps: int, seed: int = 0) -> VadNet:
    """Return a trained network; AdamW on cross-entropy."""
    torch.manual_seed(seed)
    rng, net = np.random.default_rng(seed), VadNet().train()
    adam = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    for step in range(steps):
        set_learning_rate(adam, RATE, step, steps)
        mel, talk = _batch(examples, rng)
        error = nn.functional.binary_cross_entropy_with_logits(net(mel), talk)
        adam.zero_grad()
        torch.autograd.backward(error)
        adam.step()
    return net.eval()


def _batch(examples: Sequence[VadExample], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    length = CROP_S * 50
    mels = np.empty((BATCH, features.BANDS, 2 * length), np.float32)
    talks = np.empty((BATCH, length), np.float32)
    for k in range(BATCH):
        example = examples[int(rng.integers(len(examples)))]
        start = int(rng.integers(len(example.talk) - length + 1))
        mels[k] = example.mel[2 * start : 2 * (start + length)].T
        augment_mel(mels[k], rng)
        talks[k] = example.talk[start : start + length]
    return torch.from_numpy(mels), torch.from_numpy(talks)


def error_rates(net: VadNet, examples: Sequence[VadExample]) -> tuple[float, float]:
    """Return the share of speech that is missed, and the share of the rest that is taken for speech."""
    said: list[NDArray[np.bool_]] = []
    detector = vad.VadNet(weights(net))
    for example in examples:
        probability = vad.speech_probability(detector, example.mel)
        found = features.hysteresis(probability, ENTER_PROBABILITY, LEAVE_PROBABILITY)
        said.append(found[::2][: len(example.talk)])
    predicted, true = np.concatenate(said), np.concatenate([example.talk for example in examples]) > 0
    return float((~predicted[true]).mean()), float(predicted[~true].mean())
