"""Detects a mouth that is hidden throughout a shot: by a surgical mask, or a microphone held before it.

Such a shot never shows the bare mouth to compare with, so each face is compared with itself. Cloth and foam have one
colour where the mesh has lips and chin, and it is not the brow's; or they are smooth where the lips should meet.
Beards, lipstick and shadow leave lips that differ from the chin, and a dark line between them.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..scene import F32, Image
from .mesh_indices import BELOW_LOWER_LIP, BROW_AND_BRIDGE, LOWER_LIP_PAIRS, OUTER_LIP_PAIRS
from .pose import eye_distance

LINE_SAMPLES = 21
SAMPLES_AN_EYE_DISTANCE, LINE_SAMPLES_AN_EYE_DISTANCE = 16, 40
"""Colours are means over an eye distance divided by the first; the line between the lips is sampled with the second."""
EVERY_FRAMES, MIN_FRAMES = 4, 3
MIN_CHIN_TINT, MAX_LIP_TINT_SHARE = 14.0, 0.15
"""The chin has another colour than the brow from the first on (CIELAB a, b), and the lip has the chin's colour below
this share of that difference. Chins of 180 real clips with lips as plain as that reach 11; masks and microphones drawn
on them begin at 15."""
MAX_LIP_LINE, MIN_CHIN_DISTANCE = 0.12, 12.0
"""The line between the lips is missing below the first (a share of the light; real lips have 0.23 and more) if the
chin differs from the brow by the second (CIELAB)."""
MIN_HIDDEN_SHARE = 0.8
RGB_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
"""Linear sRGB to CIE XYZ (IEC 61966-2-1)."""


class MouthVisibility(NamedTuple):
    """What tells a hidden mouth from a bare one; columns of the (T, 4) float32 arrays below.

    chin_tint      distance of the chin's colour from the brow's, CIELAB a and b
    lip_tint       distance of the lower lip's colour from the chin's, CIELAB a and b
    lip_line       depth of the dark line between the lips, as a share of the light
    chin_distance  distance of the chin's colour from the brow's, CIELAB L, a and b
    """

    chin_tint: float
    lip_tint: float
    lip_line: float
    chin_distance: float


def measure_visibility(image: Image, points: F32) -> MouthVisibility:
    """Measure a mesh of (468, 2 or 3) points in the image."""
    eye, flat = float(eye_distance(points)), points[:, :2]
    part, shift = _part(image, flat)
    flat = flat - shift
    groups = [flat[LOWER_LIP_PAIRS].mean(1), flat[BELOW_LOWER_LIP], flat[BROW_AND_BRIDGE]]
    soft = cv2.blur(part, (int(eye) // SAMPLES_AN_EYE_DISTANCE + 1,) * 2)
    lip, chin, brow = (np.median(lab(_at(soft, spots)), 0) for spots in groups)
    return MouthVisibility(
        float(np.linalg.norm((chin - brow)[1:])),
        float(np.linalg.norm((lip - chin)[1:])),
        _lip_line(part, flat, eye),
        float(np.linalg.norm(chin - brow)),
    )


def _lip_line(part: Image, flat: F32, eye: float) -> float:
    """Return the depth of the dark line between the lips, as a share of the light around it."""
    share = np.linspace(0, 1, LINE_SAMPLES, dtype=np.float32)[:, None]
    rows = flat[OUTER_LIP_PAIRS[:, :1]] * (1 - share) + flat[OUTER_LIP_PAIRS[:, 1:]] * share
    fine = cv2.blur(part, (int(eye) // LINE_SAMPLES_AN_EYE_DISTANCE + 1,) * 2)
    light = _at(fine, rows.reshape(-1, 2)).astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32)
    light = light.reshape(len(OUTER_LIP_PAIRS), LINE_SAMPLES)
    above, below = light[:, : LINE_SAMPLES // 2].max(1), light[:, LINE_SAMPLES // 2 + 1 :].max(1)
    inner = light[:, 4:-4].min(1)
    return float(np.median((np.minimum(above, below) - inner) / np.maximum(np.median(light, 1), 20)))


def hidden(visibility: F32) -> NDArray[np.bool_]:
    """Return (T,) bool, whether the mouth is hidden in each of (T, 4) MouthVisibility rows."""
    chin_tint, lip_tint, lip_line, chin_distance = visibility.T
    one_colour = (chin_tint > MIN_CHIN_TINT) & (lip_tint < MAX_LIP_TINT_SHARE * chin_tint)
    return np.asarray(one_colour | ((lip_line < MAX_LIP_LINE) & (chin_distance > MIN_CHIN_DISTANCE)), bool)


def hidden_throughout(visibility: F32) -> bool:
    """Return whether the mouth is hidden all through a shot of which (T, 4) MouthVisibility rows are known."""
    return len(visibility) >= MIN_FRAMES and float(hidden(visibility).mean()) >= MIN_HIDDEN_SHARE


def _part(image: Image, flat: F32) -> tuple[Image, F32]:
    """Return the part of the image around the points that are sampled, and its top left corner (x, y)."""
    used = flat[np.concatenate([BELOW_LOWER_LIP, BROW_AND_BRIDGE, OUTER_LIP_PAIRS.ravel()])]
    limits = np.array(image.shape[1::-1]) - 1
    low = np.clip(np.floor(used.min(0)) - 8, 0, limits).astype(int)
    high = np.clip(np.ceil(used.max(0)) + 8, low, limits).astype(int) + 1
    return image[low[1] : high[1], low[0] : high[0]], low.astype(np.float32)


def _at(image: cv2.typing.MatLike, spots: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return (n, 3) uint8 pixels nearest to (n, 2) spots."""
    at = np.clip(np.rint(spots).astype(int), 0, np.array(image.shape[1::-1]) - 1)
    return np.asarray(image[at[:, 1], at[:, 0]], np.uint8)


def lab(colours: NDArray[np.uint8]) -> F32:
    """Return (n, 3) float32 CIELAB (D65) of (n, 3) uint8 sRGB in BGR order.

    cv2.cvtColor would first make tables that take a tenth of a second.
    """
    srgb = colours[:, ::-1] / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ RGB_TO_XYZ.T / RGB_TO_XYZ.sum(1)  # over white, of which all three are 1
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1).astype(np.float32)
