"""Five parameters that describe the shape of a mouth, in outer-eye distances of the mean face's frame.

    open    gap between the inner lips
    width   distance between the corners of the mouth
    jaw     height of the chin below the eye line
    upper   height of the upper lip's outer edge below the eye line
    lower   the same for the lower lip

They are linear in the mesh points, so the shape modes that belong to them (training.fit_face_shape) set each exactly.
"""

from __future__ import annotations

import numpy as np

from ..scene import F32
from .mesh_indices import (
    CHIN,
    INNER_LOWER_LIP_MIDDLE,
    INNER_UPPER_LIP_MIDDLE,
    MOUTH_CORNERS,
    OUTER_LOWER_LIP_MIDDLE,
    OUTER_UPPER_LIP_MIDDLE,
)
from .pose import align

MOUTH_PARAMS = ("open", "width", "jaw", "upper", "lower")
OPEN, WIDTH, JAW, UPPER, LOWER = range(len(MOUTH_PARAMS))
"""Columns of the (T, 5) arrays of mouth parameters."""


def measure_mouth(shapes: F32) -> F32:
    """Return (T, 5) float32 mouth parameters of (T, 468, 3) meshes in the mean face's frame."""
    right, left = MOUTH_CORNERS
    y = shapes[..., 1]
    opening = y[:, INNER_LOWER_LIP_MIDDLE] - y[:, INNER_UPPER_LIP_MIDDLE]
    width = shapes[:, left, 0] - shapes[:, right, 0]
    upper, lower = y[:, OUTER_UPPER_LIP_MIDDLE].mean(1), y[:, OUTER_LOWER_LIP_MIDDLE].mean(1)
    return np.stack([opening, width, y[:, CHIN], upper, lower], 1).astype(np.float32)


def measure_meshes(points: F32) -> F32:
    """Return (T, 5) float32 mouth parameters of (T, 468, 3) meshes in the picture; NaN where the mesh is."""
    params = np.full((len(points), len(MOUTH_PARAMS)), np.nan, np.float32)
    seen = np.flatnonzero(np.isfinite(points[:, 0, 0]))
    if len(seen):
        params[seen] = measure_mouth(align(points[seen]).to_face(points[seen]))
    return params
