"""Gives the head of a photograph a little life: the eyes blink, and the head sways slowly by less than 1 % of its size.

Both are the same in every render of the same file. The sway fades out smoothly around the head and towards the
picture's edges, so that nothing tears. Where a blink could look wrong (see `can_blink`) the eyes stay open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..easing import smoothstep
from ..face.mesh_indices import CHIN, FOREHEAD_TOP, LEFT_EYE, RIGHT_EYE, EyePoints
from ..scene import F32, Image, Patch
from . import compositing
from .decode import Frame, Picture, planes

CLOSED = (0.45, 0.95, 1.0, 0.8, 0.5, 0.25, 0.08)
"""How far the lids are closed in the frames of one blink, at 25 fps."""
BLINK_EVERY_S, FIRST_BLINK_S = (3.0, 6.0), (1.5, 3.5)
MAX_YAW_DEG = 20.0
OPENING = (0.25, 0.5)
"""Height over width of an eye that is plainly open and plausibly measured."""
MIN_EYE_PIXELS = 12
LID, LASHES = 0.9, 0.14
"""Height of the skin that becomes the lid, and of the lashes on either side of its edge, in heights of the eye."""
EYE_MARGIN = 1.2
TURN_RAD, SHIFT = 0.0055, (0.0045, 0.003)
"""Largest turn about the neck, and shift right and down in heights of the face."""
PERIODS_S = (9.1, 5.7)
RAMP_S = 2.0
HEAD, FADE = 1.25, 1.15
"""Half axes of the head in those of the face, and the width of the band in which the sway fades, in the same unit."""
EDGE = 0.08
"""The sway fades within this share of the picture's shorter side towards its edges."""


class _Blink(NamedTuple):
    """One eye: its box, what it shows in the still frame, and what it shows by how far it is closed."""

    box: compositing.Box
    open: Image
    closed: dict[float, Patch]


class PhotoMotion:
    """Moves the frames of one photograph in the order of the output."""

    def __init__(self, picture: Picture, points: F32, yaw_deg: float, digest: str, frames: int) -> None:
        """`points`: (MESH_POINTS, 3) of the still face; `digest`: of the file, decides when it blinks and sways."""
        self._picture, self._points = picture, points[:, :2].astype(np.float64)
        self._yaw_deg, self._fps = yaw_deg, float(picture.fps)
        self._random = np.random.default_rng(list(digest.encode()))
        self._phases = self._random.uniform(0, 2 * math.pi, (3, len(PERIODS_S)))
        self._blinks_at = self._blinks(frames)
        self._eyes: list[_Blink] | None = None

    def apply(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield the frames with the face in motion; see Frame for which of them may be changed."""
        for number, frame in enumerate(frames):
            if self._eyes is None:
                self._eyes = self._prepare_eyes(frame)
            for eye in self._eyes if number in self._blinks_at else ():
                patch = eye.closed[self._blinks_at[number]]
                frame = compositing.blend(frame, self._picture, eye.box, eye.open, patch, 1.0)
            yield self._sway(frame, number)

    def _blinks(self, frames: int) -> dict[int, float]:
        """Return how far the eyes are closed, by output frame."""
        found: dict[int, float] = {}
        at_s = self._random.uniform(*FIRST_BLINK_S)
        while (start := round(at_s * self._fps)) + len(CLOSED) < frames:
            found |= {start + k: closed for k, closed in enumerate(CLOSED)}
            at_s += self._random.uniform(*BLINK_EVERY_S)
        return found

    def _prepare_eyes(self, frame: Frame) -> list[_Blink]:
        boxes = [_eye_box(self._points, eye, self._picture) for eye in (RIGHT_EYE, LEFT_EYE)]
        if not self._blinks_at or not can_blink(self._points, self._yaw_deg):
            return []
        eyes = []
        for eye, box in zip((RIGHT_EYE, LEFT_EYE), boxes, strict=True):
            image = compositing.crop(frame, self._picture, box)
            points = (self._points - np.array(box[:2])).astype(np.float32)
            whole = np.ones(image.shape[:2], np.float32)
            closed = {c: Patch(0, close_eye(image, points, eye, c), whole) for c in sorted(set(CLOSED))}
            eyes.append(_Blink(box, image, closed))
        return eyes

    # --- the head ------------------------------------------------------------------------------------------------

    @cached_property
    def _weight(self) -> F32:
        """(height, width) how much of the sway each pixel takes part in, 0 to 1."""
        width, height = self._picture.width, self._picture.height
        top, chin = self._points[FOREHEAD_TOP], self._points[CHIN]
        up = (top - chin) / max(float(np.linalg.norm(top - chin)), 1.0)
        side = np.array([-up[1], up[0]])
        tall = float(np.linalg.norm(top - chin)) / 2
        wide = float(np.ptp(self._points @ side)) / 2
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        x, y = x - np.float32((top + chin)[0] / 2), y - np.float32((top + chin)[1] / 2)
        away = np.hypot((x * side[0] + y * side[1]) / wide, (x * up[0] + y * up[1]) / tall)
        edge = np.minimum(np.minimum.outer(_from_edge(height), _from_edge(width)) / (EDGE * min(width, height)), 1)
        return np.asarray(smoothstep(1 - (away - HEAD) / FADE) * smoothstep(edge), np.float32)

    @cached_property
    def _field(self) -> tuple[slice, slice, F32, F32, F32]:
        """Rows and columns that move, and there the weight, alone and times x and y from the neck; see `_sway`."""
        x0, y0, wide, tall = cv2.boundingRect((self._weight > 0).view(np.uint8))
        rows, columns = slice(y0 // 2 * 2, -(-(y0 + tall) // 2) * 2), slice(x0 // 2 * 2, -(-(x0 + wide) // 2) * 2)
        weight = self._weight[rows, columns]
        neck = self._points[CHIN] + (self._points[CHIN] - self._points[FOREHEAD_TOP]) / 2
        x = np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(neck[0])
        y = np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(neck[1])
        return rows, columns, weight, weight * x, weight * y[:, None]

    def _pose(self, number: int) -> tuple[float, float, float]:
        """Return the head's turn (rad) and shift (pixels) in an output frame."""
        time_s = number / self._fps
        face = float(np.linalg.norm(self._points[FOREHEAD_TOP] - self._points[CHIN]))
        waves = [
            sum(
                math.sin(2 * math.pi * time_s / period + phase) for period, phase in zip(PERIODS_S, phases, strict=True)
            )
            for phases in self._phases
        ]
        turn, right, down = (min(1.0, time_s / RAMP_S) * wave / len(PERIODS_S) for wave in waves)
        return turn * TURN_RAD, right * SHIFT[0] * face, down * SHIFT[1] * face

    def _sway(self, frame: Frame, number: int) -> Frame:
        turn, right, down = self._pose(number)
        rows, columns, weight, wx, wy = self._field
        if not weight.size or not (turn or right or down):
            return frame
        moved_x, moved_y = (
            weight * np.float32(right) - wy * np.float32(turn),
            weight * np.float32(down) + wx * np.float32(turn),
        )
        result: Frame = frame.copy()
        source, target = (planes(f, self._picture.width, self._picture.height) for f in (frame, result))
        for before, after, step in zip(source, target, (1, 2, 2), strict=True):
            part = (slice(rows.start // step, rows.stop // step), slice(columns.start // step, columns.stop // step))
            _move(before[part], after[part], moved_x[::step, ::step] / step, moved_y[::step, ::step] / step)
        return result


def _move(before: NDArray[np.uint8], after: NDArray[np.uint8], moved_x: F32, moved_y: F32) -> None:
    height, width = before.shape
    x = np.arange(width, dtype=np.float32) - moved_x
    y = np.arange(height, dtype=np.float32)[:, None] - moved_y
    after[:] = cv2.remap(np.ascontiguousarray(before), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _from_edge(length: int) -> F32:
    index = np.arange(length, dtype=np.float32)
    return np.minimum(index, length - 1 - index)


# --- the eyes ------------------------------------------------------------------------------------------------------


def can_blink(points: NDArray[np.floating], yaw_deg: float) -> bool:
    """Return whether a blink of this face looks right: large enough, from the front, with both eyes plainly open.

    points  (MESH_POINTS, 2) of the face, pixels
    """
    if not abs(yaw_deg) <= MAX_YAW_DEG:
        return False
    for eye in (RIGHT_EYE, LEFT_EYE):
        width = float(np.linalg.norm(points[eye.inner] - points[eye.outer]))
        height = float(np.linalg.norm(points[eye.upper[3]] - points[eye.lower[3]]))
        if width < MIN_EYE_PIXELS or not OPENING[0] <= height / width <= OPENING[1]:
            return False
    return True


def _eye_box(points: NDArray[np.floating], eye: EyePoints, picture: Picture) -> compositing.Box:
    ring = points[[eye.outer, eye.inner, *eye.upper, *eye.lower]]
    margin = EYE_MARGIN * float(np.ptp(ring[:, 1]))
    return _box(ring.min(0) - margin, ring.max(0) + margin, picture)


def _box(low: NDArray[np.floating], high: NDArray[np.floating], picture: Picture) -> compositing.Box:
    """Return an even box of at least two pixels a side within the frame."""
    (x0, y0), (x1, y1) = (
        [
            int(np.clip(v, 0, limit - 2)) // 2 * 2
            for v, limit in zip(corner, (picture.width, picture.height), strict=True)
        ]
        for corner in (low, high)
    )
    return x0, y0, x1 + 2, y1 + 2


def close_eye(image: Image, points: F32, eye: EyePoints, closed: float) -> Image:
    """Return an eye's image with its upper lid drawn down.

    points  (MESH_POINTS, 2) in the image, pixels
    closed  0 as it is, 1 closed
    """
    outer, inner = points[eye.outer], points[eye.inner]
    along = (inner - outer) / max(float(np.linalg.norm(inner - outer)), 1e-3)
    if along[0] < 0:  # measured from the other corner, so that down is down
        outer, along = inner, -along
    down = np.array([-along[1], along[0]])
    upper, lower = (_lid(points, indices, eye, outer, along, down) for indices in (eye.upper, eye.lower))
    x, y = np.meshgrid(np.arange(image.shape[1], dtype=np.float32), np.arange(image.shape[0], dtype=np.float32))
    u = (x - outer[0]) * along[0] + (y - outer[1]) * along[1]
    v = (x - outer[0]) * down[0] + (y - outer[1]) * down[1]
    edge, bottom = (np.interp(u, *curve).astype(np.float32) for curve in (upper, lower))
    tall = float((lower[1] - upper[1]).max())
    fall = closed * (bottom - edge)
    lash = LASHES * tall * np.clip((bottom - edge) / (0.5 * tall), 0, 1)
    top = edge - LID * tall
    stretched = top + (v - top) * (edge - lash - top) / np.maximum(edge + fall - lash - top, 1e-3)
    source_v = np.where(v < top, v, np.where(v < edge + fall - lash, stretched, v - fall))
    shift = (source_v - v).astype(np.float32)
    map_x, map_y = x + shift * np.float32(down[0]), y + shift * np.float32(down[1])
    lid = cv2.remap(image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    over = np.clip((edge + fall + lash - v) / max(0.12 * tall, 1.0) + 0.5, 0, 1)[..., None]
    return np.asarray(np.rint(lid * over + image * (1 - over)), np.uint8)


def _lid(
    points: F32, indices: tuple[int, ...], eye: EyePoints, origin: F32, along: F32, down: F32
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return a lid's edge as a curve: distances along the eye, ascending, and below the line of its corners."""
    ring = points[[eye.outer, *indices, eye.inner]] - origin
    across, below = ring @ along, ring @ down
    order = np.argsort(across)
    across, below = across[order], below[order]
    fine = np.linspace(across[0], across[-1], 33)
    return fine, np.polyval(np.polyfit(across, below, 4), fine)
