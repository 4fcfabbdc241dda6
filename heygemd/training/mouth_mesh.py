"""Makes mouth_interior.safetensors: what can be seen between the lips of a head's teeth, gums, tongue and mouth socket.

The source is a mesh in the mean face's frame (ICT-FaceKit's, see models/mouth.md). A triangle stays if it is seen
between the mean face's lips in one of many openings and poses of the head.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..render.engines.mesh.mouth_interior import GUMS, SOCKET, TEETH, TONGUE, jaw_share, rasterize
from ..render.face.mesh_indices import INNER_LIPS
from ..render.face.mouth_params import JAW, LOWER, OPEN
from ..render.face.pose import face_shape
from ..render.scene import F32

SOURCE_SOCKET, SOURCE_SOFT, SOURCE_TEETH = range(3)
"""Labels of the source's vertices: the socket, gums and tongue, teeth."""
OPENINGS = (0.03, 0.08, 0.15, 0.25, 0.36)
YAWS_DEG, PITCHES_DEG = (-36, -24, -12, 0, 12, 24, 36), (-24, -12, 0, 12, 24)
SCALE, WIDTH, HEIGHT = 500, 480, 400
LIPS_REACH = 12
"""Pixels beyond the lips' edge that count as seen between them: lips of other people are elsewhere."""
SEEN, TOOTH_SEEN = 4, 26
"""Pixels that must be seen of a triangle, over all views; of a tooth more, for its root shows through the gums."""
UPPER_GUM, LOWER_GUM = 0.70, 0.86
"""Where teeth end in the gums, eye distances below the eye line with the mouth closed."""
TONGUE_FROM_TEETH, TONGUE_JAW = 0.035, 0.15
"""The tongue is what is soft, further from all teeth than the first, and carried further by the jaw than the second."""


def mouth_mesh(points: F32, jaw: F32, triangles: NDArray[np.int32], label: NDArray[np.integer]) -> dict[str, F32]:
    """Return the arrays of mouth_interior.safetensors (`mouth_interior.InteriorMesh`; points and jaw are float16).

    points  (n, 3) with the mouth closed · jaw  (n, 3) displacements with the jaw open all the way · label  (n,)
    """
    carried = np.linalg.norm(jaw, axis=1)
    from_teeth, _ = cKDTree(points[label == SOURCE_TEETH]).query(points)
    tongue = (label == SOURCE_SOFT) & (from_teeth > TONGUE_FROM_TEETH) & (carried > TONGUE_JAW)
    kinds = np.array([SOCKET, GUMS, TEETH], np.uint8)[label]
    kinds[tongue] = TONGUE
    pixels = seen_pixels(points, jaw, triangles)
    tooth = kinds[triangles[:, 0]] == TEETH
    height, upper = points[triangles][..., 1], carried[triangles[:, 0]] < 0.05
    crown = np.where(upper, height.max(1) > UPPER_GUM, height.min(1) < LOWER_GUM)
    kept = triangles[np.where(tooth, (pixels >= TOOTH_SEEN) & crown, pixels >= SEEN)]
    used, renumbered = np.unique(kept, return_inverse=True)
    return {
        "points": points[used].astype(np.float16),
        "jaw": jaw[used].astype(np.float16),
        "triangles": renumbered.reshape(kept.shape).astype(np.uint16),
        "kind": kinds[used],
    }


def seen_pixels(points: F32, jaw: F32, triangles: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return (m,) in how many pixels of all views each triangle is seen between the mean face's lips."""
    corners = np.arange(triangles.size, dtype=np.int32).reshape(-1, 3)
    colours = np.repeat(_numbered(len(triangles)), 3, 0)
    pixels = np.zeros(len(triangles), np.int64)
    mean, modes = face_shape()["mean"], face_shape()["modes"]
    for opening, yaw, pitch in itertools.product(OPENINGS, np.radians(YAWS_DEG), np.radians(PITCHES_DEG)):
        lips = mean + opening * (modes[OPEN] + 0.5 * modes[JAW] + 0.55 * modes[LOWER])
        turn = cv2.Rodrigues(np.array([0, yaw, 0]))[0] @ cv2.Rodrigues(np.array([pitch, 0, 0]))[0]
        shift = np.array([WIDTH / 2, HEIGHT / 2, 0]) - SCALE * (turn @ np.array([0, 0.8, -0.25])) * (1, 1, 0)
        opened = SCALE * (points + jaw_share(opening) * jaw) @ turn.T + shift
        outline = np.round((SCALE * lips[INNER_LIPS] @ turn.T + shift)[:, :2]).astype(np.int32)
        flat = cv2.RASTERIZE_SHADING_FLAT
        ids = rasterize(opened[triangles.ravel()], corners, colours, WIDTH, HEIGHT, flat)
        between = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(between, [outline], 1)
        between = np.asarray(cv2.dilate(between, np.ones((2 * LIPS_REACH + 1,) * 2)), np.uint8)
        digits = np.round(ids[(between > 0) & ids.any(2)] * 64).astype(int) - 1
        pixels += np.bincount(digits @ np.array([4096, 64, 1]), minlength=len(triangles))[: len(triangles)]
    return pixels


def _numbered(count: int) -> F32:
    """Return (count, 3) float32 colours that tell numbers apart, three digits to the base 63 or less."""
    number = np.arange(count)
    digits = np.stack([number // 4096, number // 64 % 64, number % 64], 1)
    return np.asarray((digits + 1) / 64, np.float32)
