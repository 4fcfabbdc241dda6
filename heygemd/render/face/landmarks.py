"""Face landmarks: MediaPipe's Face Mesh fits 468 points to a detected face.

Face Mesh: Kartynnik et al. 2019, arXiv:1907.06724.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from ..scene import F32, MESH_POINTS, Image
from .detector import Square
from .mesh_indices import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from .tflite import Network

INPUT_PIXELS = 192
MIN_FACE_SCORE = 0.5
CROP_MARGIN = 1.5
"""Side of Face Mesh's square over the side of the face in it, as in MediaPipe's own pipeline."""


class Face(NamedTuple):
    """A fitted face: (468, 3) float32 points x, y, z in the frame's pixels, and the network's score 0..1."""

    points: F32
    score: float


class FaceMesh:
    """Face Mesh: 468 points with relative depth in a rolled square crop."""

    def __init__(self) -> None:
        self._net = Network("face_landmark.tflite")

    def fit(self, image: Image, face: Square) -> Face:
        """Fit the face that lies in `face` (its tight square; the margin is added here)."""
        side = max(face.side * CROP_MARGIN, 1.0)
        a, b = math.cos(face.roll) * side / INPUT_PIXELS, math.sin(face.roll) * side / INPUT_PIXELS
        half, size = INPUT_PIXELS / 2, (INPUT_PIXELS, INPUT_PIXELS)
        to_frame = np.array([[a, -b, face.x - (a - b) * half], [b, a, face.y - (a + b) * half]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(image, to_frame, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        rgb = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
        raw, score = self._net.run(rgb * np.float32(1 / 255), "conv2d_21", "conv2d_31")
        points = raw.reshape(MESH_POINTS, 3).astype(np.float64)
        points[:, :2] = points[:, :2] @ to_frame[:, :2].T + to_frame[:, 2]
        points[:, 2] *= side / INPUT_PIXELS
        return Face(points.astype(np.float32), 1 / (1 + math.exp(-float(score.reshape(-1)[0]))))


def square_around(points: F32) -> Square:
    """Return the tight rolled square around (468, 3) points."""
    eye_x, eye_y = (points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER])[:2]
    roll = math.atan2(eye_y, eye_x)
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright = points[:, :2] @ turn
    low, high = upright.min(0), upright.max(0)
    x, y = turn @ ((low + high) / 2)
    return Square(float(x), float(y), float((high - low).max()), roll)
