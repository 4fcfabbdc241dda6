"""Y'CbCr to RGB and back: which matrix a video's samples are read by, and its coefficients (ITU-T H.273)."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from .decode import Picture

LUMA_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}
"""Weights of red and blue in luma (ITU-T H.273, table 4)."""
HD_HEIGHT = 720
"""Untagged video of this height or more is read as BT.709, smaller video as BT.601, as players do."""

Matrix = NDArray[np.float64]


def matrix_name(picture: Picture) -> str:
    """Return the name of the matrix that the video's samples are read by, a key of LUMA_WEIGHTS."""
    return picture.matrix or ("bt709" if picture.height >= HD_HEIGHT else "smpte170m")


@functools.lru_cache(maxsize=16)
def to_yuv(matrix: str, full_range: bool) -> Matrix:
    """Return the (3, 4) float64 affine map from 8-bit B, G, R to Y, U, V (H.273, 8.3)."""
    red, blue = LUMA_WEIGHTS[matrix]
    luma = np.array([blue, 1 - red - blue, red])
    blue_difference = (np.array([1.0, 0, 0]) - luma) / (2 * (1 - blue))
    red_difference = (np.array([0, 0, 1.0]) - luma) / (2 * (1 - red))
    scale, offset = (1.0, 0.0) if full_range else (219 / 255, 16.0)
    chroma = 1.0 if full_range else 224 / 255
    rows = np.stack([luma * scale, blue_difference * chroma, red_difference * chroma])
    return np.hstack([rows, [[offset], [128], [128]]])


@functools.lru_cache(maxsize=16)
def to_bgr(matrix: str, full_range: bool) -> Matrix:
    """Return the (3, 4) float64 affine map from 8-bit Y, U, V to B, G, R."""
    forward = to_yuv(matrix, full_range)
    inverse = np.linalg.inv(forward[:, :3])
    return np.hstack([inverse, -inverse @ forward[:, 3:]])
