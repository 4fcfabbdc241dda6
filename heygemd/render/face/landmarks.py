"""The two face networks: BlazeFace finds faces, Face Mesh fits 468 points to one of them.

Both are MediaPipe's TFLite files run by OpenCV. BlazeFace: Bazarevsky et al. 2019, arXiv:1907.05047.
Face Mesh: Kartynnik et al. 2019, arXiv:1907.06724.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...weights.bundled import asset
from ..scene import MESH_POINTS, Image
from .pose import LEFT_EYE, RIGHT_EYE

DETECTOR_PIXELS = 128
MESH_PIXELS = 192
MIN_FACE_SCORE = 0.5
SAME_FACE_OVERLAP = 0.3
CROP_MARGIN = 1.5
"""Side of Face Mesh's square over the side of the face in it, as in MediaPipe's own pipeline."""

ANCHOR_LAYERS = ((16, 2), (8, 6))
"""(cells a side, anchors a cell) of BlazeFace's two output grids."""


class Square(NamedTuple):
    """An upright-rolled square region of a frame: centre and side in pixels, roll in radians."""

    x: float
    y: float
    side: float
    roll: float = 0.0


class Face(NamedTuple):
    """A fitted face: (468, 3) float32 points x, y, z in the frame's pixels, and the network's score 0..1."""

    points: NDArray[np.float32]
    score: float


def anchors() -> NDArray[np.float32]:
    """Return (896, 2) float32 x, y of the places that BlazeFace speaks of, in shares of the picture."""
    rows = []
    for cells, each in ANCHOR_LAYERS:
        centres = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        rows.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), each, axis=0))
    return np.concatenate(rows).astype(np.float32)


def _read(name: str) -> cv2.dnn.Net:
    # The classic engine names every output; OpenCV 5's new one shows a single output of these two files.
    return cv2.dnn.readNetFromTFLite(str(asset(name)), engine=cv2.dnn.ENGINE_CLASSIC)


def overlap(a: Square, b: Square) -> float:
    """Return intersection over union of two squares, roll ignored."""
    w = min(a.x + a.side / 2, b.x + b.side / 2) - max(a.x - a.side / 2, b.x - b.side / 2)
    h = min(a.y + a.side / 2, b.y + b.side / 2) - max(a.y - a.side / 2, b.y - b.side / 2)
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / (a.side**2 + b.side**2 - shared + 1e-9)


class Detector:
    """BlazeFace short range; for faces small in the frame it also looks at overlapping tiles."""

    def __init__(self) -> None:
        self._net = _read("face_detection_short_range.tflite")
        self._anchors = anchors()

    def find(self, image: Image, levels: int = 3) -> list[Square]:
        """Return the faces of the whole frame and its squares, or of ever smaller tiles till there are any."""
        width, height = image.shape[1], image.shape[0]
        found: list[Square] = []
        for level in range(levels):
            for tile in tiles(width, height, level):
                found += [face for face in self._in_tile(image, tile) if not cut_off(face, tile, (width, height))]
            if found and level > 0:
                break
        return distinct(found)

    def _in_tile(self, image: Image, tile: tuple[int, int, int]) -> list[Square]:
        x0, y0, side = tile
        cut = image[y0 : y0 + side, x0 : x0 + side]
        h, w = cut.shape[:2]
        part = cv2.copyMakeBorder(cut, 0, side - h, 0, side - w, cv2.BORDER_CONSTANT)
        blob = cv2.dnn.blobFromImage(part, 1 / 127.5, (DETECTOR_PIXELS,) * 2, (127.5,) * 3, swapRB=True)
        self._net.setInput(blob)
        boxes, logits = (o.reshape(len(self._anchors), -1) for o in self._net.forward(["regressors", "classificators"]))
        keep = np.flatnonzero(logits[:, 0] > 0)
        keep = keep[np.argsort(-logits[keep, 0])]
        return [self._square(boxes[i], self._anchors[i], tile) for i in keep]

    @staticmethod
    def _square(row: NDArray[np.float32], anchor: NDArray[np.float32], tile: tuple[int, int, int]) -> Square:
        x0, y0, side = tile
        scale = side / DETECTOR_PIXELS
        centre = row[:2] * scale + anchor * side + (x0, y0)
        eye_x, eye_y = row[6:8] - row[4:6]
        return Square(float(centre[0]), float(centre[1]), float(max(row[2:4]) * scale), math.atan2(eye_y, eye_x))


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
    """Return one square for each face, largest first; overlapping squares count as one face, the first named wins."""
    kept: list[Square] = []
    for square in found:
        if all(overlap(square, other) < SAME_FACE_OVERLAP for other in kept):
            kept.append(square)
    return sorted(kept, key=lambda s: -s.side)


def around(points: NDArray[np.float32]) -> Square:
    """Return the tight rolled square around (468, 3) points."""
    eye_x, eye_y = (points[LEFT_EYE] - points[RIGHT_EYE])[:2]
    roll = math.atan2(eye_y, eye_x)
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright = points[:, :2] @ turn
    low, high = upright.min(0), upright.max(0)
    x, y = turn @ ((low + high) / 2)
    return Square(float(x), float(y), float((high - low).max()), roll)


class Mesh:
    """Face Mesh: 468 points with relative depth in a rolled square crop."""

    def __init__(self) -> None:
        self._net = _read("face_landmark.tflite")

    def fit(self, image: Image, face: Square) -> Face:
        """Fit the face that lies in `face` (its tight square; the margin is added here)."""
        side = max(face.side * CROP_MARGIN, 1.0)
        a, b = math.cos(face.roll) * side / MESH_PIXELS, math.sin(face.roll) * side / MESH_PIXELS
        half = MESH_PIXELS / 2
        to_frame = np.array([[a, -b, face.x - (a - b) * half], [b, a, face.y - (a + b) * half]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(image, to_frame, (MESH_PIXELS, MESH_PIXELS), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        self._net.setInput(cv2.dnn.blobFromImage(crop, 1 / 255, swapRB=True))
        raw, score = self._net.forward(["conv2d_21", "conv2d_31"])
        points = raw.reshape(MESH_POINTS, 3).astype(np.float64)
        points[:, :2] = points[:, :2] @ to_frame[:, :2].T + to_frame[:, 2]
        points[:, 2] *= side / MESH_PIXELS
        return Face(points.astype(np.float32), 1 / (1 + math.exp(-float(score.reshape(-1)[0]))))
