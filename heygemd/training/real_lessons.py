"""Talking people as teachers of lips: what their tracked mouths did, person and recording taken out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..render.audio import mel
from ..render.engines.mesh import mouth_calibration, viseme_net
from ..render.engines.mesh.speech_encoder import STEP
from ..render.face.mouth_params import OPEN, measure_mouth
from ..render.face.pose import align
from ..render.scene import F32
from . import synthetic_corpus
from .real_clips import Clip
from .synthetic_corpus import Example
from .train_lips import correlations

LEAST_FRAMES, LEAST_FACES = 40, 0.8
USUAL_OPENING = 0.10
"""The 95th percentile of a person's opening is brought here, in eye distances, by no more than twice or half."""
SURE_R, SURE_GAIN = 0.45, 0.05
"""A clip's sound is moved if it agrees with a first model's lips this well at another lag, and this much better."""


def quantities(clip: Clip) -> F32 | None:
    """Return (T, 5) float32 quantities of the mouth at lips.RATE_HZ, from the start; None if it cannot be used."""
    good = _seen(clip)
    return (
        None
        if good is None
        else _at_rate(clip, good, measure_mouth(align(clip.points[good]).to_face(clip.points[good])))
    )


def mouth(clip: Clip) -> F32 | None:
    """Return `quantities` as departures from this person's closed mouth."""
    good = _seen(clip)
    if good is None:
        return None
    pose = align(clip.points[good])
    motion = mouth_calibration.Motion(
        measure_mouth(pose.to_face(clip.points[good])), pose, np.zeros(good.sum(), np.int32)
    )
    rest = mouth_calibration.closed(mouth_calibration.learn(motion), motion.angles_deg)
    return _at_rate(clip, good, motion.quantities - rest)


def _seen(clip: Clip) -> NDArray[np.bool_] | None:
    """Return (frames,) where there is a face, None if that is too little or nothing is heard."""
    good = np.isfinite(clip.points[:, 0, 0])
    enough = good.sum() >= LEAST_FRAMES and good.mean() >= LEAST_FACES and len(clip.voice) >= mel.VOICE_RATE_HZ
    return good if enough else None


def _at_rate(clip: Clip, good: NDArray[np.bool_], rows: F32) -> F32:
    times = ((np.arange(len(good)) + 0.5) / clip.fps)[good]
    at = (np.arange(int(times[-1] * viseme_net.RATE_HZ)) + 0.5) / viseme_net.RATE_HZ
    return np.stack([np.interp(at, times, column) for column in rows.T], 1).astype(np.float32)


def lessons(clip: Clip, net: nn.Module, variants: int, noise: np.random.Generator) -> list[Example]:
    """Return what a clip teaches: as recorded and in `variants` - 1 disguises; nothing if it cannot be used.

    `net`: a first model, by which a sound that is out of step is found (many are, by up to 0.2 s).
    """
    moved = mouth(clip)
    if moved is None:
        return []
    largest = float(np.percentile(moved[:, OPEN], 95))
    moved = moved * float(np.clip(USUAL_OPENING / max(largest, 1e-3), 0.5, 2))
    sounds = [
        clip.voice,
        *(synthetic_corpus.rough(clip.voice, noise, np.zeros(1, np.float32)) for _ in range(variants - 1)),
    ]
    count = min(len(moved), len(clip.voice) // STEP)
    lag = late(viseme_net.speak(clip.voice, net)[:count], moved[:count])
    first, last = max(0, lag), count + min(0, lag)
    known = moved[first - lag : last - lag]
    return [Example(sound[first * STEP : last * STEP], known) for sound in sounds]


def late(said: F32, real: F32) -> int:
    """Return by how many frames of lips.RATE_HZ predicted lips are late against real ones; 0 unless that is sure."""
    curve = correlations(said[:, OPEN], real[:, OPEN])
    middle = len(curve) // 2
    best = int(np.argmax(curve))
    return best - middle if curve[best] > max(SURE_R, curve[middle] + SURE_GAIN) else 0
