"""The mean face and how a mesh lies to it: rigid alignment on points that speech does not move."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from ...weights.bundled import asset

F32 = NDArray[np.float32]

RIGID = np.array([10, 151, 9, 8, 168, 6, 197, 195, 33, 133, 362, 263, 109, 338, 67, 297])
RIGID = np.concatenate([RIGID, [103, 332, 54, 284, 21, 251, 162, 389, 127, 356, 70, 300, 122, 351, 196, 419]])
"""Brow, forehead, temples, eye corners and bridge of the nose."""


RIGHT_EYE, LEFT_EYE = 33, 263
"""Outer corners, of the person's own right and left."""


class Pose(NamedTuple):
    """Similarity from the mean face's frame to the picture, one for each frame.

    scale  (T,) pixels of one eye distance · turn (T, 3, 3) rotation · shift (T, 3) pixels
    """

    scale: F32
    turn: F32
    shift: F32

    def angles_deg(self) -> F32:
        """Return (T, 3) float32 yaw, pitch, roll in degrees."""
        r = self.turn
        yaw = np.arctan2(r[:, 0, 2], r[:, 2, 2])
        pitch = np.arcsin(np.clip(-r[:, 1, 2], -1, 1))
        roll = np.arctan2(r[:, 1, 0], r[:, 1, 1])
        return np.asarray(np.degrees(np.stack([yaw, pitch, roll], 1)), np.float32)

    def to_face(self, points: F32) -> F32:
        """Return (T, n, 3) picture points in the mean face's frame (outer eye corners 1 apart, x right, y down)."""
        moved = (points - self.shift[:, None]) / self.scale[:, None, None]
        return np.asarray(moved @ self.turn, np.float32)

    def vectors_to_picture(self, vectors: F32) -> F32:
        """Return (T, n, 3) face-frame displacements in pixels."""
        return np.asarray(vectors @ self.turn.transpose(0, 2, 1) * self.scale[:, None, None], np.float32)


@cache
def face_shape() -> dict[str, F32]:
    """Return the shipped mean face: "mean" (468, 3), and "modes" (modes, 468, 3), in eye distances."""
    return dict(load_file(asset("face_shape.safetensors")))


def align(points: F32, mean: F32 | None = None) -> Pose:
    """Return the Pose that lays the mean face over each of (T, 468, 3) meshes (least squares, Umeyama 1991)."""
    base = (face_shape()["mean"] if mean is None else mean)[RIGID].astype(np.float64)
    seen = points[:, RIGID].astype(np.float64)
    base_centre, seen_centre = base.mean(0), seen.mean(1, keepdims=True)
    base_spread = base - base_centre
    u, s, vt = np.linalg.svd((seen - seen_centre).transpose(0, 2, 1) @ base_spread)
    flip = np.ones_like(s)
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    turn = (u * flip[:, None]) @ vt
    scale = (s * flip).sum(1) / (base_spread**2).sum()
    shift = seen_centre[:, 0] - scale[:, None] * (turn @ base_centre)
    return Pose(scale.astype(np.float32), turn.astype(np.float32), shift.astype(np.float32))


def eye_distance(points: F32) -> F32:
    """Return (...) distances of the eyes' outer corners in the picture, of (..., 468, 2 or 3) points."""
    return np.asarray(np.linalg.norm(points[..., LEFT_EYE, :2] - points[..., RIGHT_EYE, :2], axis=-1), np.float32)


def blur(rows: F32, sigma: float, least_sigma: float = 0.2) -> F32:
    """Return (n, k) rows smoothed along the first axis by a Gaussian of `sigma` rows, the ends held."""
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, least_sigma)) ** 2)
    padded = np.pad(rows, ((reach, reach), (0, 0)), "edge")
    columns = [np.convolve(column, kernel / kernel.sum(), "valid") for column in padded.T]
    return np.stack(columns, 1).astype(np.float32)
