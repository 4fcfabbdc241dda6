"""A painted inside of the mouth, for presenters who never open theirs in the video: dark cavity, upper teeth, tongue.

It is painted in the mean face's frame, where the upper teeth stand still with the skull and the tongue and lower lip
move with the jaw, and is then placed in the image by the head's pose.
"""

from __future__ import annotations

from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...face.pose import Pose, face_shape
from ...scene import F32

HALF_WIDTH, HEIGHT = 0.4, 0.6
"""Of the painted area, in eye distances; its top is TOP above the closed mouth's line."""
TOP = 0.15
CELLS = 240
"""Painted cells in one eye distance."""
DEPTH = 0.06
"""The teeth lie this far behind the lips, eye distances."""
TEETH_EDGES = np.array([0.0, 0.088, 0.163, 0.24, 0.31])
"""Where the upper teeth meet, eye distances from the middle."""
TEETH_SHOWN = 0.020
"""How far the upper teeth reach below the closed mouth's line."""
TEETH_EDGE = 0.012
"""Over how much their edge fades."""
LIT_FROM, LIT_FULL, DIM = 0.02, 0.12, 0.6
"""Openings between which light begins to reach the teeth, and the share that reaches them before: a narrow gap is dark,
and a bright bar between hardly parted lips gives a painted mouth away."""
STEP = 0.003
"""Openings are painted in steps of this many eye distances, less than a pixel for most faces."""
CAVITY_BGR = np.array([0.12, 0.115, 0.30], np.float32)
"""Red rather than black, like the darkest fifth of what twenty people show between their lips when they talk; a little
darker than theirs, so that an opening is easier to see."""
THROAT = 0.65
"""How much of the cavity's light reaches its middle, where it is deepest."""
TEETH_BGR = np.array([0.64, 0.73, 0.80], np.float32)
TONGUE_BGR = np.array([0.38, 0.37, 0.70], np.float32)
"""Colours for skin of brightness 1."""
SKIN_BGR, HUES = np.array([0.62, 0.74, 1.0], np.float32), (0.5, 1.5)
"""Skin of brightness 1 in the light for which the colours are meant, and how far other skin may depart from it."""
TONGUE_FROM, TONGUE_ARCH = 0.15, 0.6
"""The tongue begins this share of the opening below the closed mouth's line, and falls away to the sides."""


@cache
def _grid() -> tuple[F32, F32]:
    y, x = np.mgrid[: int(HEIGHT * CELLS), : int(2 * HALF_WIDTH * CELLS)].astype(np.float32)
    return x / CELLS - HALF_WIDTH, y / CELLS - TOP


@cache
def _teeth() -> tuple[F32, F32]:
    """Return the upper teeth's coverage 0..1 and their shading, (h, w) each."""
    x, y = _grid()
    arch = 0.45 * x * x
    tooth = np.searchsorted(TEETH_EDGES, np.abs(x).ravel()).reshape(x.shape)
    left = TEETH_EDGES[np.clip(tooth - 1, 0, 4)]
    right = np.append(TEETH_EDGES, 0.4)[np.clip(tooth, 0, 5)]
    across = np.clip((np.abs(x) - left) / np.maximum(right - left, 1e-3), 0, 1) * 2 - 1
    shorter = np.array([0.0, 0.0, 0.008, 0.003, 0.012, 0.02])[np.clip(tooth, 0, 5)]
    edge = TEETH_SHOWN - arch - shorter - 0.006 * across**4
    alpha = np.clip((edge - y) / TEETH_EDGE, 0, 1) * np.clip((0.24 - np.abs(x)) / 0.12, 0, 1)
    light = (1 - 0.25 * np.abs(across) ** 6) * np.exp(-14.0 * x * x) * np.clip(0.75 + 8 * (edge - y), 0.75, 1)
    return alpha.astype(np.float32), np.clip(light, 0.15, 1).astype(np.float32)


def light_colour(skin_bgr: NDArray[np.floating]) -> F32:
    """Return (3,) float32 BGR by which to multiply `paint`'s image; half of the skin's hue is taken for the light's.

    skin_bgr  (3,) 0..255, colour of skin in the frame
    """
    brightest = max(float(skin_bgr.max()), 1.0)
    return np.asarray(brightest * np.sqrt(np.clip(skin_bgr / brightest / SKIN_BGR, *HUES)), np.float32)


def paint(open_by: float) -> F32:
    """Return (h, w, 3) float32 BGR 0..1, the inside of a mouth, where skin has brightness 1.

    open_by  gap between the inner lips, eye distances
    """
    return _painted(round(open_by / STEP))


@lru_cache(maxsize=64)
def _painted(steps: int) -> F32:
    open_by = steps * STEP
    x, y = _grid()
    alpha, light = _teeth()
    picture = np.broadcast_to(CAVITY_BGR, (*x.shape, 3)).copy()
    deep = np.exp(-((x / 0.16) ** 2) - ((y - 0.3 * open_by) / max(0.4 * open_by, 0.02)) ** 2)
    picture *= ((1 - 2.5 * x * x).clip(0.3, 1) * (1 - (1 - THROAT) * deep))[..., None]
    top = TONGUE_FROM * open_by + 0.01 + TONGUE_ARCH * x * x
    tongue = np.clip((y - top) / 0.045, 0, 1) * np.clip((0.2 - np.abs(x)) / 0.08, 0, 1)
    shade = 0.4 + 0.6 * np.clip((y - top) / 0.09, 0, 1)
    shade *= 1 - 0.18 * np.exp(-((x / 0.012) ** 2))
    reach = 0.85 * min(1.0, open_by / 0.1)
    picture += (tongue * reach)[..., None] * (TONGUE_BGR * shade[..., None] - picture)
    lit = DIM + (1 - DIM) * min(max((open_by - LIT_FROM) / (LIT_FULL - LIT_FROM), 0.0), 1.0)
    picture += alpha[..., None] * (TEETH_BGR * (lit * light)[..., None] - picture)
    return np.asarray(picture, np.float32)


def place(painted: F32, pose: Pose, line: float, corner: tuple[int, int], size: tuple[int, int]) -> F32:
    """Return (h, w, 3) float32: `paint`'s image where the head is.

    pose    of one frame
    line    height of the closed mouth in the mean face's frame, eye distances
    corner  (x, y) of the region in pixels · size  its (width, height)
    """
    mean = face_shape()["mean"]
    z = float(mean[[13, 14], 2].mean()) + DEPTH
    places = np.array([[[-HALF_WIDTH, -TOP, z], [HALF_WIDTH, -TOP, z], [-HALF_WIDTH, HEIGHT - TOP, z]]], np.float32)
    places[..., 1] += line
    seen = (pose.vectors_to_picture(places) + pose.translation[:, None])[0, :, :2] - np.array(corner, np.float32)
    h, w = painted.shape[:2]
    move = cv2.getAffineTransform(np.array([[0, 0], [w, 0], [0, h]], np.float32), seen.astype(np.float32))
    laid = cv2.warpAffine(painted, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, np.float32)
