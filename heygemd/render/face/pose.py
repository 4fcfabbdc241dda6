"""Head pose: the similarity that aligns the mean face with a mesh, from points that speech does not move."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from ...weights.bundled import tensors
from ..scene import F32
from .mesh_indices import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, RIGID


class Pose(NamedTuple):
    """Similarity from the mean face's frame to picture coordinates, one for each frame.

    In the mean face's frame the outer eye corners are 1 apart, x points right and y down.

    scale        (T,) float32, pixels of one eye distance
    rotation     (T, 3, 3) float32
    translation  (T, 3) float32, pixels
    """

    scale: F32
    rotation: F32
    translation: F32

    def angles_deg(self) -> F32:
        """Return (T, 3) float32 yaw, pitch, roll in degrees."""
        r = self.rotation
        yaw = np.arctan2(r[:, 0, 2], r[:, 2, 2])
        pitch = np.arcsin(np.clip(-r[:, 1, 2], -1, 1))
        roll = np.arctan2(r[:, 1, 0], r[:, 1, 1])
        return np.asarray(np.degrees(np.stack([yaw, pitch, roll], 1)), np.float32)

    def to_face(self, points: F32) -> F32:
        """Return (T, n, 3) picture points in the mean face's frame."""
        moved = (points - self.translation[:, None]) / self.scale[:, None, None]
        return np.asarray(moved @ self.rotation, np.float32)

    def vectors_to_picture(self, vectors: F32) -> F32:
        """Return (T, n, 3) displacements in the mean face's frame as displacements in pixels."""
        return np.asarray(vectors @ self.rotation.transpose(0, 2, 1) * self.scale[:, None, None], np.float32)


@cache
def face_shape() -> dict[str, F32]:
    """Return the shipped mean face and its deformation modes, in eye distances.

    mean   (468, 3) float32
    modes  (5, 468, 3) float32, displacement of every point for one unit of each mouth parameter (see mouth_params)
    """
    return tensors("face_shape.safetensors")


def align(points: F32, mean: F32 | None = None) -> Pose:
    """Return the Pose that lays the mean face over each of (T, 468, 3) meshes (least squares, Umeyama 1991)."""
    base = (face_shape()["mean"] if mean is None else mean)[RIGID].astype(np.float64)
    seen = points[:, RIGID].astype(np.float64)
    base_centre, seen_centre = base.mean(0), seen.mean(1, keepdims=True)
    base_spread = base - base_centre
    u, s, vt = np.linalg.svd((seen - seen_centre).transpose(0, 2, 1) @ base_spread)
    flip = np.ones_like(s)
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip[:, None]) @ vt
    scale = (s * flip).sum(1) / (base_spread**2).sum()
    translation = seen_centre[:, 0] - scale[:, None] * (rotation @ base_centre)
    return Pose(scale.astype(np.float32), rotation.astype(np.float32), translation.astype(np.float32))


def eye_distance(points: F32) -> F32:
    """Return (...) distances in pixels between the outer eye corners of (..., 468, 2 or 3) meshes."""
    corners = points[..., LEFT_EYE_OUTER, :2] - points[..., RIGHT_EYE_OUTER, :2]
    return np.asarray(np.linalg.norm(corners, axis=-1), np.float32)
