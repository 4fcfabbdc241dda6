"""The face's box out of a yuv420p frame as BGR, and an engine's patch back into it.

Only the *difference* that the patch makes is converted and added to the frame's own samples, so that a sample without
a difference keeps its bits, whatever the conversions round or clip.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from ..scene import Image, Patch
from .decode import Frame, Picture, planes

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
"""Untagged video of this height and more is taken for BT.709, smaller for BT.601, as players do."""

Box = tuple[int, int, int, int]
Matrix = NDArray[np.float64]


def matrix_name(picture: Picture) -> str:
    """Return the matrix by which the picture's samples are to be read."""
    return picture.matrix or ("bt709" if picture.height >= HD_HEIGHT else "smpte170m")


@functools.lru_cache(maxsize=16)
def to_yuv(matrix: str, full_range: bool) -> Matrix:
    """Return the (3, 4) matrix from B, G, R to Y, U, V in 8-bit samples (H.273, 8.3)."""
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
    """Return the (3, 4) matrix from Y, U, V to B, G, R."""
    there = to_yuv(matrix, full_range)
    back = np.linalg.inv(there[:, :3])
    return np.hstack([back, -back @ there[:, 3:]])


def crop(frame: Frame, picture: Picture, box: Box) -> Image:
    """Return the box (even corners) of a frame as BGR."""
    x0, y0, x1, y1 = box
    y, u, v = planes(frame, picture.width, picture.height)
    half = (slice(y0 // 2, y1 // 2), slice(x0 // 2, x1 // 2))
    size = (x1 - x0, y1 - y0)
    chroma = [cv2.resize(plane[half], size, interpolation=cv2.INTER_LINEAR) for plane in (u, v)]
    yuv = cv2.merge([np.ascontiguousarray(y[y0:y1, x0:x1]), *chroma])
    image: Image = cv2.transform(yuv, to_bgr(matrix_name(picture), picture.full_range)).astype(np.uint8, copy=False)
    return image


def blend(frame: Frame, picture: Picture, box: Box, before: Image, patch: Patch, weight: float) -> Frame:
    """Return the frame with the patch in its box; `before` is what `crop` gave. The given frame is not changed."""
    where = _touched(patch.mask)
    if weight <= 0 or where is None:
        return frame
    rows, columns = where
    linear = to_yuv(matrix_name(picture), picture.full_range)[:, :3]
    apart = cv2.subtract(patch.image[rows, columns], before[rows, columns], dtype=cv2.CV_32F)
    mask = patch.mask[rows, columns] * np.float32(min(weight, 1.0))
    change = [cv2.multiply(channel, mask) for channel in cv2.split(cv2.transform(apart, linear))]
    result: Frame = frame.copy()
    top, left = box[1] + rows.start, box[0] + columns.start
    height, width = mask.shape
    for plane, channel, step in zip(planes(result, picture.width, picture.height), change, (1, 2, 2), strict=True):
        part = plane[top // step : (top + height) // step, left // step : (left + width) // step]
        if step > 1:
            channel = cv2.resize(channel, part.shape[::-1], interpolation=cv2.INTER_AREA)
        # Rounded; where the change rounds to 0 the sample stays.
        cv2.add(part, channel, dst=part, dtype=cv2.CV_8U)
    return result


def _touched(mask: NDArray[np.float32]) -> tuple[slice, slice] | None:
    """Return the even rectangle in which the mask is not zero; the mask's size is even."""
    x, y, width, height = cv2.boundingRect((mask != 0).view(np.uint8))
    if not width:
        return None
    bounds = ((y, y + height), (x, x + width))
    rows, columns = (slice(start // 2 * 2, -(-stop // 2) * 2) for start, stop in bounds)
    return rows, columns
