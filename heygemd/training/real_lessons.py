"""Training examples from videos of people talking: their tracked mouths without what is the person's own."""

from __future__ import annotations

import math
from collections.abc import Sequence

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

MIN_FRAMES, MIN_WORD_FRAMES, MIN_FACE_SHARE = 40, 20, 0.8
USUAL_OPENING = 0.10
"""The 95th percentile of a person's opening is scaled to this, in eye distances, by no more than twice or half."""
MIN_CORRELATION, MIN_CORRELATION_GAIN = 0.45, 0.05
"""A clip's sound is shifted if a first model's lips correlate this well at another lag, and better by this much."""


def mouth_params(clip: RealClip, least: int = MIN_FRAMES) -> F32 | None:
    """Return (T, 5) float32 mouth parameters at viseme_net.RATE_HZ; None if the clip cannot be used.

    least  in how many frames there must be a face
    """
    good = _frames_with_face(clip, least)
    if good is None:
        return None
    return _at_rate(clip, good, measure_mouth(align(clip.points[good]).to_face(clip.points[good])))


def mouth_departures(clip: RealClip) -> F32 | None:
    """Return `mouth_params` as departures from this person's closed mouth."""
    good = _frames_with_face(clip, MIN_FRAMES)
    if good is None:
        return None
    pose = align(clip.points[good])
    motion = mouth_calibration.MouthMotion(
        measure_mouth(pose.to_face(clip.points[good])), pose, np.zeros(good.sum(), np.int32)
    )
    rest = mouth_calibration.closed_mouth(mouth_calibration.fit_closed_mouth(motion), motion.angles_deg)
    return _at_rate(clip, good, motion.params - rest)


def _frames_with_face(clip: RealClip, least: int) -> NDArray[np.bool_] | None:
    """Return (frames,) bool where there is a face; None if faces, in `least` frames, or sound are too short."""
    good = np.isfinite(clip.points[:, 0, 0])
    enough = good.sum() >= least and good.mean() >= MIN_FACE_SHARE and len(clip.voice) >= mel.VOICE_RATE_HZ
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
    said = viseme_net.predict_visemes(clip.voice, net)
    count = min(len(moved), len(said))
    return _shifted(clip.voice, moved, lag_frames(said[:count], moved[:count]), variants, rng)


def word_examples(clips: Sequence[RealClip], net: Network, variants: int, rng: np.random.Generator) -> list[Example]:
    """Return such examples of clips of a second or two, which were recorded and cut alike.

    One word tells neither how far it is out of sync, nor how its speaker's mouth is shut or how far it opens. So all
    share one lag and one size, and the mean of each is what the first model says of it.
    """
    words = [(clip, real) for clip in clips if (real := mouth_params(clip, MIN_WORD_FRAMES)) is not None]
    if not words:
        return []
    heard = [viseme_net.predict_visemes(clip.voice, net)[: len(real)] for clip, real in words]
    seen = [real[: len(said)] for (_, real), said in zip(words, heard, strict=True)]
    curves = [correlations(said[:, OPEN], real[:, OPEN]) for said, real in zip(heard, seen, strict=True)]
    lag = int(np.mean(curves, 0).argmax()) - len(curves[0]) // 2
    size = math.sqrt(sum(said[:, OPEN].var() for said in heard) / sum(real[:, OPEN].var() for real in seen))
    made = []
    for (clip, _), said, real in zip(words, heard, seen, strict=True):
        made += _shifted(clip.voice, (real - real.mean(0)) * size + said.mean(0), lag, variants, rng)
    return made


def _shifted(voice: F32, lips: F32, lag: int, variants: int, rng: np.random.Generator) -> list[Example]:
    """Return a voice as recorded and with augmented sound, with lips that are brought forward by `lag` frames."""
    nothing = np.zeros(1, np.float32)
    sounds = [voice, *(synthetic_corpus.augment(voice, rng, nothing) for _ in range(variants - 1))]
    count = min(len(lips), len(voice) // STEP)
    first, last = max(0, lag), count + min(0, lag)
    known = np.asarray(lips[first - lag : last - lag], np.float32)
    return [Example(sound[first * STEP : last * STEP], known) for sound in sounds]


def lag_frames(predicted: F32, real: F32) -> int:
    """Return by how many frames of viseme_net.RATE_HZ predicted lips are behind real ones; 0 unless that is clear."""
    curve = correlations(predicted[:, OPEN], real[:, OPEN])
    middle = len(curve) // 2
    best = int(np.argmax(curve))
    return best - middle if curve[best] > max(MIN_CORRELATION, curve[middle] + MIN_CORRELATION_GAIN) else 0
