"""Gaussian smoothing of values that belong to successive frames."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..scene import F32

TRUNCATE_SIGMAS = 3


def gaussian_smooth(rows: F32, sigma: float, min_sigma: float = 0.2) -> F32:
    """Return (T, k) float32 rows smoothed along the first axis; before and after them the end values are repeated.

    sigma      standard deviation in rows
    min_sigma  used instead of a smaller `sigma`
    """
    radius = max(1, math.ceil(TRUNCATE_SIGMAS * sigma))
    return np.asarray(gaussian_filter1d(rows, max(sigma, min_sigma), axis=0, mode="nearest", radius=radius), np.float32)
