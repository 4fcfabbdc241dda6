"""Five quantities that say what a mouth looks like, all in outer-eye distances of the mean face's frame.

    open    gap between the inner lips
    width   distance of the mouth's corners
    jaw     how far the chin is below the eye line
    upper   how far the upper lip's edge to the skin is below the eye line
    lower   the same for the lower lip

They are linear in the points, so the shape modes that belong to them (see training.shape) can set each exactly.
"""

from __future__ import annotations

import numpy as np

from .pose import F32

MODES = ("open", "width", "jaw", "upper", "lower")
OPEN, WIDTH, JAW, UPPER, LOWER = range(5)

UPPER_INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308])
LOWER_INNER = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308])
"""Inner edge of the lips from corner to corner, seen left to right; corners shared, so column k pairs the two."""
OUTER = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146])
INNER = np.concatenate([UPPER_INNER, LOWER_INNER[-2:0:-1]])
CORNERS = (61, 291)
CHIN = 152


def measure(shapes: F32) -> F32:
    """Return (T, 5) float32 quantities of (T, 468, 3) meshes in the mean face's frame."""
    y = shapes[..., 1]
    upper, lower = y[:, [37, 0, 267]].mean(1), y[:, [84, 17, 314]].mean(1)
    width = shapes[:, CORNERS[1], 0] - shapes[:, CORNERS[0], 0]
    return np.stack([y[:, 14] - y[:, 13], width, y[:, CHIN], upper, lower], 1).astype(np.float32)
