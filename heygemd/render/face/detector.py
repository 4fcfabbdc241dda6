"""Face detection: the squares that trackers work with, and MediaPipe's BlazeFace.

BlazeFace: Bazarevsky et al. 2019, arXiv:1907.05047.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from ..scene import F32, Image
from .tflite import Network

INPUT_PIXELS = 128
SAME_FACE_OVERLAP = 0.3
"""Squares whose intersection over union is at least this show the same face."""
ANCHOR_LAYERS = ((16, 2), (8, 6))
"""(cells a side, anchors a cell) of BlazeFace's two output grids."""


class Square(NamedTuple):
    """A rolled square region of a frame: centre and side in pixels, roll in radians."""

    x: float
    y: float
    side: float
    roll: float = 0.0


class FaceDetector(Protocol):
    """Finds the faces in a small frame."""

    def detect(self, image: Image, levels: int = 3) -> list[Square]:
        """Return tight squares of distinct faces, largest first; more `levels` find smaller faces."""


class BlazeFace:
    """BlazeFace short range. Faces that are small in the frame are searched in overlapping tiles."""

    def __init__(self) -> None:
        self._net = Network("face_detection_short_range.tflite")
        self._anchors = anchors()

    def detect(self, image: Image, levels: int = 3) -> list[Square]:
        """Return the faces of the whole frame and of its largest tiles; without any, of ever smaller tiles."""
        width, height = image.shape[1], image.shape[0]
        found: list[Square] = []
        for level in range(levels):
            for tile in tiles(width, height, level):
                found += [face for face in self._in_tile(image, tile) if not cut_off(face, tile, (width, height))]
            if found and level > 0:
                break
        return distinct(found)

    def _in_tile(self, image: Image, tile: tuple[int, int, int]) -> list[Square]:
        """Return the faces in one tile, most confident first."""
        x0, y0, side = tile
        cut = image[y0 : y0 + side, x0 : x0 + side]
        h, w = cut.shape[:2]
        part = cv2.copyMakeBorder(cut, 0, side - h, 0, side - w, cv2.BORDER_CONSTANT)
        rgb = cv2.cvtColor(cv2.resize(part, (INPUT_PIXELS,) * 2), cv2.COLOR_BGR2RGB)
        boxes, logits = (o[0] for o in self._net.run(rgb / np.float32(127.5) - 1, "regressors", "classificators"))
        keep = np.flatnonzero(logits[:, 0] > 0)
        keep = keep[np.argsort(-logits[keep, 0])]
        return [self._square(boxes[i], self._anchors[i], tile) for i in keep]

    @staticmethod
    def _square(row: F32, anchor: F32, tile: tuple[int, int, int]) -> Square:
        x0, y0, side = tile
        scale = side / INPUT_PIXELS
        centre = row[:2] * scale + anchor * side + (x0, y0)
        eye_x, eye_y = row[6:8] - row[4:6]
        return Square(float(centre[0]), float(centre[1]), float(max(row[2:4]) * scale), math.atan2(eye_y, eye_x))


def anchors() -> F32:
    """Return (896, 2) float32 x, y of BlazeFace's anchors, as shares of the image."""
    rows = []
    for cells, each in ANCHOR_LAYERS:
        centres = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        rows.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), each, axis=0))
    return np.concatenate(rows).astype(np.float32)


def tiles(width: int, height: int, level: int) -> list[tuple[int, int, int]]:
    """Return (x0, y0, side) squares: level 0 the whole frame, then half-overlapping squares."""
    if level == 0:
        return [(0, 0, max(width, height))]
    side = min(width, height) // 2 ** (level - 1)

    def starts(length: int) -> list[int]:
        count = 1 if length <= side else math.ceil((length - side) / (side / 2)) + 1
        return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]

    return [(x, y, side) for y in starts(height) for x in starts(width)]


def cut_off(face: Square, tile: tuple[int, int, int], size: tuple[int, int]) -> bool:
    """Return whether an edge of the tile, not of the frame of `size` (width, height), cuts through the face."""
    x0, y0, side = tile
    half = face.side / 2
    left, top = x0 > face.x - half and x0 > 0, y0 > face.y - half and y0 > 0
    right = x0 + side < face.x + half and x0 + side < size[0]
    return left or top or right or (y0 + side < face.y + half and y0 + side < size[1])


def distinct(found: list[Square]) -> list[Square]:
    """Return one square for each face, largest first; of overlapping squares the first in `found` is kept."""
    kept: list[Square] = []
    for square in found:
        if all(overlap(square, other) < SAME_FACE_OVERLAP for other in kept):
            kept.append(square)
    return sorted(kept, key=lambda s: -s.side)


def overlap(a: Square, b: Square) -> float:
    """Return intersection over union of two squares, roll ignored."""
    w = min(a.x + a.side / 2, b.x + b.side / 2) - max(a.x - a.side / 2, b.x - b.side / 2)
    h = min(a.y + a.side / 2, b.y + b.side / 2) - max(a.y - a.side / 2, b.y - b.side / 2)
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / (a.side**2 + b.side**2 - shared + 1e-9)
