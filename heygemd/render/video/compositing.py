"""Cuts the face's box out of a yuv420p frame as BGR, and blends an engine's patch back in.

Only the *difference* between patch and crop is converted and added to the frame's own samples. A sample without a
difference therefore stays the same bit for bit, whatever the conversions round or clip.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..scene import Image, Patch
from .color import matrix_name, to_bgr, to_yuv
from .decode import Frame, Picture, planes

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in full-size pixels, even."""


def crop(frame: Frame, picture: Picture, box: Box) -> Image:
    """Return a box of a frame as BGR."""
    x0, y0, x1, y1 = box
    y, u, v = planes(frame, picture.width, picture.height)
    half = (slice(y0 // 2, y1 // 2), slice(x0 // 2, x1 // 2))
    size = (x1 - x0, y1 - y0)
    chroma = [cv2.resize(plane[half], size, interpolation=cv2.INTER_LINEAR) for plane in (u, v)]
    yuv = cv2.merge([np.ascontiguousarray(y[y0:y1, x0:x1]), *chroma])
    image: Image = cv2.transform(yuv, to_bgr(matrix_name(picture), picture.full_range)).astype(np.uint8, copy=False)
    return image


def shrunk(frame: Frame, picture: Picture, size: tuple[int, int]) -> Image:
    """Return a frame as BGR of a smaller `size` (width, height)."""
    small = [_shrunk_plane(plane, size) for plane in planes(frame, picture.width, picture.height)]
    bgr = cv2.transform(cv2.merge(small), to_bgr(matrix_name(picture), picture.full_range))
    return bgr.astype(np.uint8, copy=False)


def _shrunk_plane(plane: Image, size: tuple[int, int]) -> Image:
    """Return a plane of `size`: halved as often as possible, which is a tenth of the work of any other factor."""
    while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
        plane = cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def blend(frame: Frame, picture: Picture, box: Box, before: Image, patch: Patch, weight: float) -> Frame:
    """Return the frame with the patch blended into its box: the same one, but a copy where it is read-only.

    before  the box as returned by `crop`
    weight  factor of the patch's mask; above 1 it counts as 1
    """
    covered = _covered(patch.mask)
    if weight <= 0 or covered is None:
        return frame
    rows, columns = covered
    linear = to_yuv(matrix_name(picture), picture.full_range)[:, :3]
    difference = np.subtract(patch.image[rows, columns], before[rows, columns], dtype=np.int16).astype(np.float32)
    mask = patch.mask[rows, columns] * np.float32(min(weight, 1.0))
    change = [cv2.multiply(cv2.transform(difference, row[None]), mask) for row in linear]
    result: Frame = frame if frame.flags.writeable else frame.copy()
    top, left = box[1] + rows.start, box[0] + columns.start
    height, width = mask.shape
    for plane, channel, step in zip(planes(result, picture.width, picture.height), change, (1, 2, 2), strict=True):
        part = plane[top // step : (top + height) // step, left // step : (left + width) // step]
        if step > 1:
            channel = cv2.resize(channel, part.shape[::-1], interpolation=cv2.INTER_AREA)
        # cv2.add rounds: where the change rounds to 0 the sample stays.
        cv2.add(part, channel, dst=part, dtype=cv2.CV_8U)
    return result


def _covered(mask: NDArray[np.float32]) -> tuple[slice, slice] | None:
    """Return the smallest even rectangle outside which the mask is zero, or None; the mask's size is even."""
    x, y, width, height = cv2.boundingRect((mask != 0).view(np.uint8))
    if not width:
        return None
    bounds = ((y, y + height), (x, x + width))
    rows, columns = (slice(start // 2 * 2, -(-stop // 2) * 2) for start, stop in bounds)
    return rows, columns
