"""Training examples from videos of people talking: their tracked mouths without what is the person's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..render.audio import mel
from ..render.engines.mesh import mouth_calibration, viseme_net
from ..render.engines.mesh.speech_encoder import STEP
from ..render.face.mouth_params import OPEN, measure_mouth
from ..render.face.pose import align
from ..render.layers import Network
from ..render.scene import F32
from . import synthetic_corpus
from .real_clips import RealClip
from .synthetic_corpus import Example
from .train_lips import correlations

MIN_FRAMES, MIN_FACE_SHARE = 40, 0.8
USUAL_OPENING = 0.10
"""The 95th percentile of a person's opening is scaled to this, in eye distances, by no more than twice or half."""
MIN_CORRELATION, MIN_CORRELATION_GAIN = 0.45, 0.05
"""A clip's sound is shifted if a first model's lips correlate this well at another lag, and better by this much."""


def mouth_params(clip: RealClip) -> F32 | None:
    """Return (T, 5) float32 mouth parameters at viseme_net.RATE_HZ; None if the clip cannot be used."""
    good = _frames_with_face(clip)
    return (
        None
        if good is None
        else _at_rate(clip, good, measure_mouth(align(clip.points[good]).to_face(clip.points[good])))
    )


def mouth_departures(clip: RealClip) -> F32 | None:
    """Return `mouth_params` as departures from this person's closed mouth."""
    good = _frames_with_face(clip)
    if good is None:
        return None
    pose = align(clip.points[good])
    motion = mouth_calibration.MouthMotion(
        measure_mouth(pose.to_face(clip.points[good])), pose, np.zeros(good.sum(), np.int32)
    )
    rest = mouth_calibration.closed_mouth(mouth_calibration.fit_closed_mouth(motion), motion.angles_deg)
    return _at_rate(clip, good, motion.params - rest)


def _frames_with_face(clip: RealClip) -> NDArray[np.bool_] | None:
    """Return (frames,) bool where there is a face; None if faces or sound are too short."""
    good = np.isfinite(clip.points[:, 0, 0])
    enough = good.sum() >= MIN_FRAMES and good.mean() >= MIN_FACE_SHARE and len(clip.voice) >= mel.VOICE_RATE_HZ
    return good if enough else None


def _at_rate(clip: RealClip, good: NDArray[np.bool_], rows: F32) -> F32:
    """Return the rows of the `good` frames interpolated to viseme_net.RATE_HZ, from the start of the clip."""
    times = ((np.arange(len(good)) + 0.5) / clip.fps)[good]
    at = (np.arange(int(times[-1] * viseme_net.RATE_HZ)) + 0.5) / viseme_net.RATE_HZ
    return np.stack([np.interp(at, times, column) for column in rows.T], 1).astype(np.float32)


def examples(clip: RealClip, net: Network, variants: int, rng: np.random.Generator) -> list[Example]:
    """Return a clip as recorded and `variants` - 1 times with augmented sound; nothing if it cannot be used.

    net  a first model, with which the sound is aligned (many clips are out of sync, by up to 0.2 s)
    """
    moved = mouth_departures(clip)
    if moved is None:
        return []
    largest = float(np.percentile(moved[:, OPEN], 95))
    moved = moved * float(np.clip(USUAL_OPENING / max(largest, 1e-3), 0.5, 2))
    sounds = [
        clip.voice,
        *(synthetic_corpus.augment(clip.voice, rng, np.zeros(1, np.float32)) for _ in range(variants - 1)),
    ]
    count = min(len(moved), len(clip.voice) // STEP)
    lag = lag_frames(viseme_net.predict_visemes(clip.voice, net)[:count], moved[:count])
    first, last = max(0, lag), count + min(0, lag)
    known = moved[first - lag : last - lag]
    return [Example(sound[first * STEP : last * STEP], known) for sound in sounds]


def lag_frames(predicted: F32, real: F32) -> int:
    """Return by how many frames of viseme_net.RATE_HZ predicted lips are behind real ones; 0 unless that is clear."""
    curve = correlations(predicted[:, OPEN], real[:, OPEN])
    middle = len(curve) // 2
    best = int(np.argmax(curve))
    return best - middle if curve[best] > max(MIN_CORRELATION, curve[middle] + MIN_CORRELATION_GAIN) else 0
