"""Detects what covers the lower face for a while: a hand, a cup, a microphone.

Skin colours are sampled at the mesh vertices of cheeks and chin, where speech and pose hardly change them. Bare skin
looks alike again and again in a video, while an occluder resembles none of the other frames. What covers the mouth all
the time cannot be found in this way; see persistent_occlusion. What follows for the picture: effect_weight.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..scene import F32, Image, spans, spans_with
from .mesh_indices import LOWER_FACE_OUTLINE, OUTER_LIPS
from .pose import eye_distance, face_shape

SkinSamples = NDArray[np.uint8]
"""(T, n, 3) uint8 BGR at the n vertices of `skin`."""

BELOW_EYES, AWAY_FROM_LIPS = 0.42, 0.03
"""Vertices are sampled this far below the eye line and from the lips, in eye distances."""
SAMPLES_AN_EYE_DISTANCE = 12
"""A vertex's colour is the mean over an eye distance divided by this."""
COMPARED = 4
"""Among fewer frames than these none can be told from the others."""
REFERENCE_FRAMES, NEIGHBOURS, MIN_FRAMES = 96, 4, 48
OUTLIER_TIMES_USUAL, MIN_OUTLIER = 1.6, 0.06
"""A frame is an outlier if its distance to its nearest neighbours is larger than both of these allow.

Distances are the 90th percentile over the skin of the difference in colour, as a share of the brightness.
"""
OCCLUDED_TIMES_USUAL, MIN_OCCLUDED = 4.0, 0.12
"""From this distance on it is not skin that is seen. A yawn taken for a hand costs less than a mouth drawn on one."""
WEAK_SHARE = 0.6
"""Frames next to occluded ones are occluded from this share of that distance on: at first a hand covers little."""
MAX_OCCLUDED_SHARE = 0.5
"""If more of a shot than this seems occluded, the measure does not suit the shot."""


@cache
def skin() -> NDArray[np.int64]:
    """Return the n vertices of cheeks and chin, away from lips and outline."""
    place = face_shape()["mean"][:, :2]
    lips = place[OUTER_LIPS].astype(np.float32)
    away = np.array([cv2.pointPolygonTest(lips, (float(x), float(y)), True) < -AWAY_FROM_LIPS for x, y in place])
    away[LOWER_FACE_OUTLINE[1:-1]] = False
    return np.flatnonzero(away & (place[:, 1] > BELOW_EYES))


def skin_samples(image: Image, points: F32) -> NDArray[np.uint8]:
    """Return (n, 3) uint8 BGR at the skin's vertices of a mesh of (468, 2 or 3) points in the image."""
    height, width = image.shape[:2]
    spots = points[skin(), :2]
    size = int(eye_distance(points)) // SAMPLES_AN_EYE_DISTANCE + 1
    limits = (width - 1, height - 1)
    low = np.clip(np.floor(spots.min(0)) - size, 0, limits).astype(int)
    high = np.clip(np.ceil(spots.max(0)) + size, 0, limits).astype(int) + 1
    soft = cv2.blur(image[low[1] : high[1], low[0] : high[0]], (size, size))
    at = np.clip(np.rint(spots).astype(int), low, high - 1) - low
    return np.asarray(soft[at[:, 1], at[:, 0]], np.uint8)


def typical(samples: SkinSamples) -> NDArray[np.bool_]:
    """Return (T,) bool, which of a few dozen frames resemble others; all of them if there are hardly any."""
    if len(samples) < COMPARED:
        return np.ones(len(samples), bool)
    distances = _pairwise_distances(normalised(samples))
    neighbours = max(3, len(samples) // 4)
    mean = np.sort(distances, 1)[:, 1 : neighbours + 1].mean(1)
    # An occluder never looks the same twice, so the quartile holds even if half of the frames are occluded.
    return np.asarray(mean <= max(OUTLIER_TIMES_USUAL * float(np.percentile(mean, 25)), MIN_OUTLIER), bool)


def differences(samples: SkinSamples) -> F32:
    """Return (T, T) float32 how much the skin of two frames differs, as a share of its brightness; tint counts."""
    seen = samples.astype(np.float32)
    brightness = np.maximum(np.median(seen, (1, 2), keepdims=True), 1)
    return _pairwise_distances(np.asarray(seen / brightness, np.float32))


def occluded(samples: SkinSamples, min_frames: int) -> NDArray[np.bool_]:
    """Return (T,) bool, where something covers the face for `min_frames` or more, for the frames of one shot.

    Coming and going belong to it (hysteresis thresholding, Canny 1986).
    """
    none = np.zeros(len(samples), bool)
    if len(samples) < MIN_FRAMES:
        return none
    chosen = np.unique(np.linspace(0, len(samples) - 1, REFERENCE_FRAMES).astype(int))
    references, bare = normalised(samples[chosen]), typical(samples[chosen])
    distances = _pairwise_distances(references)
    usual = float(np.median(np.sort(distances[bare][:, bare], 1)[:, 1 : NEIGHBOURS + 1].mean(1)))
    limit = max(OCCLUDED_TIMES_USUAL * usual, MIN_OCCLUDED)
    references = references[_linked(distances, bare, WEAK_SHARE * limit)]
    distance = np.array([_neighbour_distance(normalised(sample), references) for sample in samples])
    strong, weak = distance > limit, distance > WEAK_SHARE * limit
    if strong.mean() > MAX_OCCLUDED_SHARE:
        return none
    lasting = none.copy()
    for start, stop in spans(strong):
        lasting[start:stop] = stop - start >= min_frames
    return spans_with(lasting, weak)


def _linked(distances: F32, bare: NDArray[np.bool_], step: float) -> NDArray[np.bool_]:
    """Return `bare` and all frames that steps this small lead to from there (single linkage).

    A turning head and changing light move in small steps; an occluder comes in larger ones.
    """
    while True:
        near = np.asarray(bare | (np.sort(distances[:, bare], 1)[:, :2].mean(1) <= step), bool)
        if (near == bare).all():
            return near
        bare = near


def normalised(samples: SkinSamples) -> F32:
    """Return (..., n, 3) float32 samples over their median colour, so that neither exposure nor tint counts."""
    seen = samples.astype(np.float32)
    return np.asarray(seen / np.maximum(np.median(seen, -2, keepdims=True), 1.0), np.float32)


def _neighbour_distance(row: F32, stack: F32) -> float:
    return float(np.partition(_distances(row, stack), min(NEIGHBOURS, len(stack) - 1))[:NEIGHBOURS].mean())


def _pairwise_distances(stack: F32) -> F32:
    return np.stack([_distances(row, stack) for row in stack])


def _distances(row: F32, stack: F32) -> F32:
    """Return (K,) the 90th percentile over the skin of the difference in colour to each of (K, n, 3)."""
    blue, green, red = np.moveaxis(np.abs(stack - row), 2, 0)  # the mean over an axis of three is slow
    apart = (blue + green + red) / 3
    rank = apart.shape[1] * 9 // 10
    return np.asarray(np.partition(apart, rank, 1)[:, rank], np.float32)
