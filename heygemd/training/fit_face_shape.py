"""Makes face_shape.safetensors: the mean face and the modes by which its lower half follows the mouth parameters.

Mean: generalised Procrustes over the clips' meshes. Modes: least squares of every point's displacement (each clip's own
mean removed) on the five mouth parameters, so that a mode changes its own parameter by one and no other.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from ..render.easing import smoothstep
from ..render.face.mesh_indices import CHIN, FOREHEAD_TOP, INNER_LIPS, LEFT_EYE_OUTER, OUTER_LIPS, RIGHT_EYE_OUTER
from ..render.face.mouth_params import MOUTH_PARAMS, measure_mouth
from ..render.face.pose import align
from ..render.scene import F32

MAX_YAW_DEG = 20.0
MAX_FRAMES_A_CLIP = 150
ROUNDS = 4
FREE_BELOW, FREE_ABOVE = 0.62, 0.36
"""Distances below the eye line, in eye distances: points below the first move freely, above the second not at all."""


def frontal(points: F32, mean: F32) -> F32:
    """Return (n, 468, 3) meshes in the mean face's frame, near-frontal frames only, at most MAX_FRAMES_A_CLIP."""
    points = points[np.isfinite(points[:, 0, 0])]
    points = points[:: max(1, len(points) // MAX_FRAMES_A_CLIP)]
    if not len(points):
        return points
    pose = align(points, mean)
    return pose.to_face(points)[np.abs(pose.angles_deg()[:, 0]) < MAX_YAW_DEG]


def mean_face(clips: Iterable[F32]) -> F32:
    """Return (468, 3) mean face: eye corners 1 apart and level, origin between them, left and right alike."""
    clips = [c[np.isfinite(c[:, 0, 0])] for c in clips]
    mean = _normal(np.median(clips[0], 0))
    for _ in range(ROUNDS):
        mean = _normal(np.mean([np.median(frontal(c, mean), 0) for c in clips if len(frontal(c, mean))], 0))
    return mean


def mirror(mean: F32) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return (468,) the index of each point's left-right twin."""
    twins: np.ndarray[tuple[int], np.dtype[np.int64]] = cKDTree(mean * [-1, 1, 1]).query(mean)[1]
    return twins


def _normal(mean: F32) -> F32:
    mean = mean - (mean[RIGHT_EYE_OUTER] + mean[LEFT_EYE_OUTER]) / 2
    x = mean[LEFT_EYE_OUTER] - mean[RIGHT_EYE_OUTER]
    size = np.linalg.norm(x)
    x = x / size
    y = mean[CHIN] - mean[FOREHEAD_TOP]
    y = y - x * (x @ y)
    y /= np.linalg.norm(y)
    mean = mean @ np.stack([x, y, np.cross(x, y)], 1) / size
    return np.asarray((mean + mean[mirror(mean)] * [-1, 1, 1]) / 2, np.float32)


def modes(clips: Iterable[F32], mean: F32) -> F32:
    """Return (len(MOUTH_PARAMS), 468, 3) displacement of every point for one unit of each mouth parameter."""
    rows, params = [], []
    for clip in clips:
        shapes = frontal(clip, mean)
        if len(shapes) > 10:
            rows.append((shapes - shapes.mean(0)).reshape(len(shapes), -1))
            q = measure_mouth(shapes)
            params.append(q - q.mean(0))
    x, y = np.concatenate(params).astype(np.float64), np.concatenate(rows).astype(np.float64)
    fit = np.linalg.lstsq(x, y, rcond=None)[0].reshape(len(MOUTH_PARAMS), -1, 3)
    fit = (fit + fit[:, mirror(mean)] * [-1, 1, 1]) / 2
    free = smoothstep((mean[:, 1] - FREE_ABOVE) / (FREE_BELOW - FREE_ABOVE))
    return np.asarray(fit * free[None, :, None], np.float32)


def explained(clips: Iterable[F32], mean: F32, modes: F32) -> float:
    """Return the share of the lips' variance within a clip that the mouth parameters explain, the median over clips.

    All lips shifted sideways or in depth are an error of the head's pose and do not count.
    """
    lips, shares = np.concatenate([OUTER_LIPS, INNER_LIPS]), []
    for clip in clips:
        shapes = frontal(clip, mean)
        if len(shapes) > 10:
            params = measure_mouth(shapes)
            moves = shapes[:, lips] - shapes[:, lips].mean(0)
            left = moves - np.tensordot(params - params.mean(0), modes[:, lips], 1)
            energy = [((part - part.mean(1, keepdims=True) * [1, 0, 1]) ** 2).sum() for part in (left, moves)]
            shares.append(1 - energy[0] / energy[1])
    return float(np.median(shares))
