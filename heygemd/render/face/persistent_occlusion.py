"""Whether the mouth is hidden all the time: by a surgical mask, or a microphone held before it.

`cover` tells what comes and goes by the face's own usual looks; where the mouth is never seen there are none. Here the
face is held against itself: cloth and foam have one colour where the mesh says lips and chin, and not that of the
brow, or they are smooth where lips meet. Beards, lipstick and shadow leave lips unlike the chin, and a dark line.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..scene import Image
from .pose import F32, eye_distance

LOWER_LIP = np.array([(17, 14), (84, 87), (314, 317), (181, 178), (405, 402)])
"""Pairs of vertices half way between which the lower lip's red lies."""
BELOW_LIP = np.array([18, 200, 83, 313, 182, 406, 199])
BROW = np.array([6, 197, 9, 151, 108, 337, 8])
ACROSS = np.array([(0, 17), (37, 84), (267, 314), (39, 181), (269, 405), (40, 91), (270, 321)])
"""Upper and lower outline of the lips: between them the line where lips meet is crossed."""
STEPS = 21
SPOT, FINE = 16, 40
"""Colours are means over an eye distance divided by the first, the lips' line is looked for with the second."""
EVERY_FRAMES, FEWEST = 4, 3
FOREIGN, PLAIN = 14.0, 0.15
"""Chin against brow in colour (CIELAB a, b), and lip against chin as a share of it. Over 180 real clips chins with
lips that plain reach 11; masks and microphones drawn on them begin at 15."""
SMOOTH, APART = 0.12, 12.0
"""Depth of the lips' line as a share of the light (real lips: 0.23 and more), and chin against brow with lightness."""
MOST_OF_THE_TIME = 0.8


def measure(image: Image, points: F32) -> F32:
    """Return (4,) float32 of a mesh of (468, 2 or 3) points: what FOREIGN, PLAIN, SMOOTH and APART speak of.

    Chin against brow in colour, lip against chin in colour, depth of the lips' line, chin against brow in all.
    """
    eye, flat = float(eye_distance(points)), points[:, :2]
    part, shift = _part(image, flat)
    flat = flat - shift
    groups = [flat[LOWER_LIP].mean(1), flat[BELOW_LIP], flat[BROW]]
    soft = cv2.blur(part, (int(eye) // SPOT + 1,) * 2)
    lip, chin, brow = (np.median(_lab(_at(soft, spots)), 0) for spots in groups)
    share = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
    rows = flat[ACROSS[:, :1]] * (1 - share) + flat[ACROSS[:, 1:]] * share
    fine = cv2.blur(part, (int(eye) // FINE + 1,) * 2)
    light = _at(fine, rows.reshape(-1, 2)).astype(np.float32) @ np.array([0.114, 0.587, 0.299], np.float32)
    light = light.reshape(len(ACROSS), STEPS)
    above, below = light[:, : STEPS // 2].max(1), light[:, STEPS // 2 + 1 :].max(1)
    inner = light[:, 4:-4].min(1)
    line = np.median((np.minimum(above, below) - inner) / np.maximum(np.median(light, 1), 20))
    foreign, red = np.linalg.norm((chin - brow)[1:]), np.linalg.norm((lip - chin)[1:])
    return np.array([foreign, red, line, np.linalg.norm(chin - brow)], np.float32)


def hides(measures: F32) -> NDArray[np.bool_]:
    """Return (T,) whether the mouth is hidden in each of (T, 4) measures."""
    foreign, red, line, apart = measures.T
    other_colour = (foreign > FOREIGN) & (red < PLAIN * foreign)
    return np.asarray(other_colour | ((line < SMOOTH) & (apart > APART)), bool)


def always(measures: F32) -> bool:
    """Return whether the mouth is hidden throughout a shot of which (T, 4) measures are known."""
    return len(measures) >= FEWEST and float(hides(measures).mean()) >= MOST_OF_THE_TIME


def _part(image: Image, flat: F32) -> tuple[Image, F32]:
    """Return the image round the points in question, and its corner."""
    used = flat[np.concatenate([BELOW_LIP, BROW, ACROSS.ravel()])]
    limits = np.array(image.shape[1::-1]) - 1
    low = np.clip(np.floor(used.min(0)) - 8, 0, limits).astype(int)
    high = np.clip(np.ceil(used.max(0)) + 8, low, limits).astype(int) + 1
    return image[low[1] : high[1], low[0] : high[0]], low.astype(np.float32)


def _at(image: cv2.typing.MatLike, spots: NDArray[np.floating]) -> NDArray[np.uint8]:
    at = np.clip(np.rint(spots).astype(int), 0, np.array(image.shape[1::-1]) - 1)
    return np.asarray(image[at[:, 1], at[:, 0]], np.uint8)


def _lab(colours: NDArray[np.uint8]) -> F32:
    return np.asarray(cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0], np.float32)
