"""Gaussian smoothing of values that belong to successive frames."""

from __future__ import annotations

import math

import numpy as np

from ..scene import F32

TRUNCATE_SIGMAS = 3


def gaussian_smooth(rows: F32, sigma: float, min_sigma: float = 0.2) -> F32:
    """Return (T, k) float32 rows smoothed along the first axis; before and after them the end values are repeated.

    sigma      standard deviation in rows
    min_sigma  used instead of a smaller `sigma`
    """
    radius = max(1, math.ceil(TRUNCATE_SIGMAS * sigma))
    weights = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / max(sigma, min_sigma)))
    padded = np.pad(rows.astype(np.float64), ((radius, radius), (0, 0)), "edge")
    smooth = [np.convolve(column, weights / weights.sum(), "valid") for column in padded.T]
    return np.stack(smooth, 1).astype(np.float32)
