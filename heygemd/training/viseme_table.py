"""What predicted lips do in each class of sounds of synthesised speech, beside what the viseme table expects."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from ..render.engines.mesh import mouth_plan, viseme_net
from ..render.face.mouth_params import OPEN
from ..render.layers import Network
from ..render.scene import F32
from .synthetic_corpus import random_speech
from .visemes import mouth_targets, viseme_classes

SHOWN_FPS = 25


class SpokenClass(NamedTuple):
    """One class of sounds, each between two other sounds.

    predicted, expected  (5,) float32 departures from the closed mouth in the middle of a sound, means, eye distances
    closed               share of the sounds in whose middle half, or nearest to it, a frame shows closed lips
    """

    sounds: int
    predicted: F32
    expected: F32
    closed: float


def measure_visemes(net: Network, count: int, seed: int, language: str = "") -> dict[str, SpokenClass]:
    """Return what `net` (see `viseme_net.load`) predicts in `count` random utterances, by the name of the viseme.

    language  of sentences.SENTENCES, spoken by espeak-ng; "" for all languages and synthesisers
    """
    chooser = random.Random(seed)
    found: dict[str, list[tuple[F32, F32, bool]]] = {}
    for _ in range(count):
        sound, phones, ipa = random_speech(chooser, language)
        predicted = viseme_net.predict_visemes(sound, net)
        expected = mouth_targets(phones, len(predicted) / viseme_net.RATE_HZ, viseme_net.RATE_HZ, ipa)
        times_s = (np.arange(len(predicted) * SHOWN_FPS // viseme_net.RATE_HZ) + 0.5) / SHOWN_FPS
        shut = mouth_plan.sample_visemes(predicted, times_s)[:, OPEN] < mouth_plan.SHUT
        classes = [viseme_classes(phone, ipa) for _, _, phone in phones]
        for k, (before, names, after) in enumerate(zip(classes, classes[1:], classes[2:], strict=False), 1):
            start, end, _ = phones[k]
            if before and names and after:
                middle_s, reach_s = (start + end) / 2, max((end - start) / 4, 0.5 / SHOWN_FPS)
                closed = bool(shut[np.abs(times_s - middle_s) <= reach_s].any())
                at = int(middle_s * viseme_net.RATE_HZ)
                found.setdefault(names[0], []).append((predicted[at], expected[at], closed))
    return {
        name: SpokenClass(len(rows), *(np.mean(column, 0) for column in zip(*rows, strict=True)))
        for name, rows in found.items()
    }
