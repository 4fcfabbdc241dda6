"""What the mouth of this person does in this video: pose and quantities of every frame, and the closed mouth.

All arrays are small (a few numbers a frame); the points are read in windows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...face.mouth_params import MOUTH_PARAMS, OPEN, UPPER, WIDTH, measure_mouth
from ...face.pose import Pose, align
from ...face.temporal_smoothing import gaussian_smooth
from ...scene import F32, Track

WINDOW_FRAMES = 1024
CLOSED_PERCENTILE = 8
MAX_CLOSED = 0.012
"""A mouth never seen closer than this (a steady smile) is still taken to close this far, in eye distances."""
OPENING_FOLLOW = np.array([1.0, -0.1, 0.65, -0.1, 0.9], np.float32)
"""How the quantities usually change with the opening, from the clips the face's shape was made from."""
PRIOR = 30.0
SLOW_S = 1.0
TALKS_FROM = 0.05
"""Someone whose opening varies by less, in eye distances, does not talk in the video; by twice as much, surely does."""
USUAL_SPREAD = 0.13
USUAL_WIDEST = 0.24
SILENT_SIZE = 1.25
"""The network's openings are two thirds of what people's are; of one who talks in the video the rest is learnt."""
WIDER = 1.3
LEAST_WIDEST = 0.17
"""How much wider than in the video a mouth may open, and how wide at least: beyond it no texture fits."""


class Motion(NamedTuple):
    """quantities (T, 5) float32 and pose of T frames, NaN where no face; shot (T,) int32."""

    quantities: F32
    pose: Pose
    shot: np.ndarray[tuple[int], np.dtype[np.int32]]

    @property
    def angles_deg(self) -> F32:
        """(T, 3) float32 yaw, pitch, roll."""
        return self.pose.angles_deg()


def observe(track: Track) -> Motion:
    """Measure every frame of a track."""
    quantities = np.full((len(track), len(MOUTH_PARAMS)), np.nan, np.float32)
    poses = Pose(*(np.full((len(track), *shape), np.nan, np.float32) for shape in ((), (3, 3), (3,))))
    for start in range(0, len(track), WINDOW_FRAMES):
        points = track.points(start, min(start + WINDOW_FRAMES, len(track)))
        good = np.flatnonzero(np.isfinite(points[:, 0, 0]))
        if len(good):
            pose = align(points[good])
            quantities[start + good] = measure_mouth(pose.to_face(points[good]))
            for rows, found in zip(poses, pose, strict=True):
                rows[start + good] = found
    return Motion(quantities, poses, np.cumsum(track.cuts).astype(np.int32))


def learn(motion: Motion) -> F32:
    """Return (5, 6): each quantity of the closed mouth as a function of head pose (see `closed`).

    A ridge regression on pose and opening over the video, held at the opening of the closed mouth. It takes out what a
    turned head adds to the measures, and finds the closed mouth of people who smile or talk all the time.
    """
    good = np.isfinite(motion.quantities[:, 0])
    q, angles = motion.quantities[good].astype(np.float64), motion.angles_deg[good]
    shut = min(float(np.percentile(q[:, OPEN], CLOSED_PERCENTILE)), MAX_CLOSED)
    centre = np.median(_terms(angles), 0)
    x = np.concatenate([_terms(angles) - centre, q[:, OPEN : OPEN + 1] - shut], 1)
    x = np.concatenate([np.ones((len(x), 1)), x], 1)
    prior = np.zeros((6, len(MOUTH_PARAMS)))
    prior[5] = OPENING_FOLLOW
    # Pose terms are of order one, openings hundredths of an eye distance: hence the unlike weights.
    weight = np.diag([1e-6, 0.3, 0.3, 0.3, 0.3, 0.01]) * PRIOR
    fit = np.linalg.solve(x.T @ x + weight, x.T @ (q - x @ prior)) + prior
    fit[0] -= centre @ fit[1:5]
    return np.concatenate([fit[:5].T, np.full((len(MOUTH_PARAMS), 1), shut)], 1).astype(np.float32)


def closed(coefficients: F32, angles_deg: F32) -> F32:
    """Return (T, 5) quantities of the closed mouth at each pose."""
    terms = np.concatenate([np.ones((len(angles_deg), 1)), _terms(angles_deg)], 1)
    rest = np.asarray(terms @ coefficients[:, :5].T, np.float32)
    rest[:, OPEN] = coefficients[OPEN, 5]
    return rest


def manner(coefficients: F32, motion: Motion) -> tuple[float, float]:
    """Return how large this person speaks against the usual (1), and the widest opening to show, eye distances.

    People who hardly open their mouths go on so, within limits; of a silent person nothing is known.
    """
    opened = motion.quantities[:, OPEN]
    spread = float(np.nanpercentile(opened, 95)) - float(coefficients[OPEN, 5])
    talks = float(np.clip(spread / TALKS_FROM - 1, 0, 1))
    size = float(np.clip((spread / USUAL_SPREAD) ** 0.5, 0.8, 1.2)) if talks else SILENT_SIZE
    widest = max(WIDER * float(np.nanpercentile(opened, 99)), LEAST_WIDEST)
    return SILENT_SIZE + talks * (size - SILENT_SIZE), USUAL_WIDEST + talks * (widest - USUAL_WIDEST)


def mood(motion: Motion, rest: F32, fps: float) -> F32:
    """Return (T, 5) slow departures of the face from `rest` to keep: a smile's width and raised lip, not speech."""
    extra = np.nan_to_num(motion.quantities - rest)
    extra[:, [k for k in range(len(MOUTH_PARAMS)) if k not in (WIDTH, UPPER)]] = 0
    return gaussian_smooth(extra, SLOW_S * fps)


def _terms(angles_deg: F32) -> F32:
    yaw, pitch = angles_deg[:, 0] / 30, angles_deg[:, 1] / 30
    return np.stack([yaw, yaw * yaw, pitch, pitch * pitch], 1).astype(np.float32)
