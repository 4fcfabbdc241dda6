"""Whether something lies before the lower face: a hand, a cup, a microphone that comes and goes.

The colours of cheeks and chin are taken at the mesh's own vertices, so that speech and pose hardly change them. Bare
skin looks like itself again and again in a video; what covers it looks like nothing else there. What lies before the
mouth all the time cannot be told by this.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..scene import Image, spans
from .mouth_params import OUTER
from .pose import F32, eye_distance, face_shape

Looks = NDArray[np.uint8]
"""(T, n, 3) uint8 BGR of the `skin` vertices."""

OVAL = np.array([234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454])
BELOW, AWAY_FROM_LIPS = 0.42, 0.03
"""Skin that counts: eye distances below the eye line, and from the lips."""
SPOT = 12
"""A vertex's colour is the mean over an eye distance divided by this."""
REFERENCES, NEAREST, FEWEST = 96, 4, 48
ODD_TIMES_USUAL, ODD_AT_LEAST = 1.6, 0.06
"""A look is odd when it is farther from its like than this, as a share of its brightness (90th percentile)."""
STRANGE_TIMES_USUAL, LEAST_STRANGE = 4.0, 0.12
"""From here on a look is of something else than skin: rather a hand drawn over than a yawn taken for one."""
DOUBTFUL = 0.6
"""From this share of it on a look is of a hand if what it comes from or goes to is: at first a hand covers little."""
MOST_COVERED = 0.5
"""A shot of which more seems covered is one that this measure does not understand."""


@cache
def skin() -> NDArray[np.int64]:
    """Return the n vertices of cheeks and chin, away from lips and outline."""
    place = face_shape()["mean"][:, :2]
    lips = place[OUTER].astype(np.float32)
    away = np.array([cv2.pointPolygonTest(lips, (float(x), float(y)), True) < -AWAY_FROM_LIPS for x, y in place])
    away[OVAL] = False
    return np.flatnonzero(away & (place[:, 1] > BELOW))


def look(image: Image, points: F32) -> NDArray[np.uint8]:
    """Return (n, 3) uint8 colours at the skin's vertices of a mesh of (468, 2 or 3) points in the image."""
    height, width = image.shape[:2]
    spots = points[skin(), :2]
    size = int(eye_distance(points)) // SPOT + 1
    limits = (width - 1, height - 1)
    low = np.clip(np.floor(spots.min(0)) - size, 0, limits).astype(int)
    high = np.clip(np.ceil(spots.max(0)) + size, 0, limits).astype(int) + 1
    soft = cv2.blur(image[low[1] : high[1], low[0] : high[0]], (size, size))
    at = np.clip(np.rint(spots).astype(int), low, high - 1) - low
    return np.asarray(soft[at[:, 1], at[:, 0]], np.uint8)


def bare(looks: Looks) -> NDArray[np.bool_]:
    """Return (T,) which of a few dozen looks are like others: all the same if there are hardly any."""
    if len(looks) < 4:
        return np.ones(len(looks), bool)
    apart = _apart(levelled(looks))
    nearest = max(3, len(looks) // 4)
    odd = np.sort(apart, 1)[:, 1 : nearest + 1].mean(1)
    # What covers a face never looks the same twice, so this holds even when half of the looks are covered.
    return np.asarray(odd <= max(ODD_TIMES_USUAL * float(np.percentile(odd, 25)), ODD_AT_LEAST), bool)


def covered(looks: Looks, least: int) -> NDArray[np.bool_]:
    """Return (T,) whether something lies before the face for `least` frames or more, for the looks of one shot.

    Its coming and going belong to it (hysteresis thresholding, Canny 1986).
    """
    if len(looks) < FEWEST:
        return np.zeros(len(looks), bool)
    some = np.unique(np.linspace(0, len(looks) - 1, REFERENCES).astype(int))
    sample, like = levelled(looks[some]), bare(looks[some])
    apart = _apart(sample)
    usual = float(np.median(np.sort(apart[like][:, like], 1)[:, 1 : NEAREST + 1].mean(1)))
    limit = max(STRANGE_TIMES_USUAL * usual, LEAST_STRANGE)
    kept = sample[_linked(apart, like, DOUBTFUL * limit)]
    odd = np.array([_nearest(levelled(look), kept) for look in looks])
    flags = np.zeros(len(looks), bool)
    if (odd > limit).mean() <= MOST_COVERED:
        for start, stop in spans(odd > DOUBTFUL * limit):
            flags[start:stop] = any(b - a >= least for a, b in spans(odd[start:stop] > limit))
    return flags


def _linked(apart: F32, like: NDArray[np.bool_], step: float) -> NDArray[np.bool_]:
    """Return `like` and all to which steps this small lead from there (single linkage).

    A turning head and the light change so; a hand comes in larger steps.
    """
    while True:
        near = np.asarray(like | (np.sort(apart[:, like], 1)[:, :2].mean(1) <= step), bool)
        if (near == like).all():
            return near
        like = near


def levelled(looks: Looks) -> F32:
    """Return (..., n, 3) looks as shares of their usual colour: neither exposure nor the light's colour counts."""
    seen = looks.astype(np.float32)
    return np.asarray(seen / np.maximum(np.median(seen, -2, keepdims=True), 1.0), np.float32)


def _nearest(row: F32, stack: F32) -> float:
    return float(np.partition(_distances(row, stack), min(NEAREST, len(stack) - 1))[:NEAREST].mean())


def _apart(stack: F32) -> F32:
    return np.stack([_distances(row, stack) for row in stack])


def _distances(row: F32, stack: F32) -> F32:
    """Return (K,) the 90th percentile over the skin of the difference in colour to each of (K, n, 3)."""
    apart = np.abs(stack - row).mean(2)
    rank = apart.shape[1] * 9 // 10
    return np.asarray(np.partition(apart, rank, 1)[:, rank], np.float32)
