"""How the presenter's mouth moves in the video, and what it looks like when closed.

All arrays are small (a few numbers a frame); the points are read in windows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...face.mouth_params import MOUTH_PARAMS, OPEN, measure_mouth
from ...face.pose import Pose, align
from ...scene import F32, Track

WINDOW_FRAMES = 1024
CLOSED_PERCENTILE = 8
MAX_CLOSED = 0.012
"""A mouth never seen closer than this (a constant smile) is still taken to close this far, in eye distances."""
CHANGE_PER_OPENING = np.array([1.0, -0.1, 0.65, -0.1, 0.9], np.float32)
"""How the parameters usually change with the opening, from the clips the face's shape was made from."""
PRIOR = 30.0


class MouthMotion(NamedTuple):
    """params (T, 5) float32 (see face.mouth_params) and pose of T frames, NaN where no face; shot (T,) int32."""

    params: F32
    pose: Pose
    shot: np.ndarray[tuple[int], np.dtype[np.int32]]

    @property
    def angles_deg(self) -> F32:
        """(T, 3) float32 yaw, pitch, roll."""
        return self.pose.angles_deg()

    def part(self, rows: NDArray[np.bool_]) -> MouthMotion:
        """Return that of the frames for which (T,) `rows` is true."""
        return MouthMotion(self.params[rows], Pose(*(each[rows] for each in self.pose)), self.shot[rows])


def measure_motion(track: Track) -> MouthMotion:
    """Measure every frame of a track."""
    params = np.full((len(track), len(MOUTH_PARAMS)), np.nan, np.float32)
    poses = Pose(*(np.full((len(track), *shape), np.nan, np.float32) for shape in ((), (3, 3), (3,))))
    for start in range(0, len(track), WINDOW_FRAMES):
        points = track.points(start, min(start + WINDOW_FRAMES, len(track)))
        seen = np.flatnonzero(np.isfinite(points[:, 0, 0]))
        if len(seen):
            pose = align(points[seen])
            params[start + seen] = measure_mouth(pose.to_face(points[seen]))
            for rows, found in zip(poses, pose, strict=True):
                rows[start + seen] = found
    return MouthMotion(params, poses, np.cumsum(track.cuts).astype(np.int32))


def fit_closed_mouth(motion: MouthMotion) -> F32:
    """Return (5, 6) float32: each parameter of the closed mouth as a function of head pose (see `closed_mouth`).

    A ridge regression on pose and opening over the video, evaluated at the opening of the closed mouth. It removes what
    a turned head adds to the measurements, and finds the closed mouth of people who smile or talk all the time.
    """
    seen = np.isfinite(motion.params[:, 0])
    q, angles = motion.params[seen].astype(np.float64), motion.angles_deg[seen]
    shut = min(float(np.percentile(q[:, OPEN], CLOSED_PERCENTILE)), MAX_CLOSED)
    centre = np.median(_pose_terms(angles), 0)
    x = np.concatenate([_pose_terms(angles) - centre, q[:, OPEN : OPEN + 1] - shut], 1)
    x = np.concatenate([np.ones((len(x), 1)), x], 1)
    prior = np.zeros((6, len(MOUTH_PARAMS)))
    prior[5] = CHANGE_PER_OPENING
    # Pose terms are of order one, openings hundredths of an eye distance: hence the different weights.
    weight = np.diag([1e-6, 0.3, 0.3, 0.3, 0.3, 0.01]) * PRIOR
    fit = np.linalg.solve(x.T @ x + weight, x.T @ (q - x @ prior)) + prior
    fit[0] -= centre @ fit[1:5]
    return np.concatenate([fit[:5].T, np.full((len(MOUTH_PARAMS), 1), shut)], 1).astype(np.float32)


def closed_mouth(coefficients: F32, angles_deg: F32) -> F32:
    """Return (T, 5) float32 parameters of the closed mouth at each head pose.

    coefficients  (5, 6) of `fit_closed_mouth` · angles_deg  (T, 3) yaw, pitch, roll
    """
    terms = np.concatenate([np.ones((len(angles_deg), 1)), _pose_terms(angles_deg)], 1)
    closed = np.asarray(terms @ coefficients[:, :5].T, np.float32)
    closed[:, OPEN] = coefficients[OPEN, 5]
    return closed


def _pose_terms(angles_deg: F32) -> F32:
    yaw, pitch = angles_deg[:, 0] / 30, angles_deg[:, 1] / 30
    return np.stack([yaw, yaw * yaw, pitch, pitch * pitch], 1).astype(np.float32)
