"""The triangles on which the mesh engine warps a face, see render.engines.mesh.warp."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from ..render.engines.mesh.warp import TOOTH_DEPTH, gaps, vertices
from ..render.face.mesh_indices import INNER_LIPS, INNER_LOWER_LIP, INNER_UPPER_LIP
from ..render.face.pose import face_shape
from ..render.scene import MESH_POINTS

MOVES = 1e-3
"""A vertex that no shape mode moves by more, in eye distances, stands still."""


def warp_triangles() -> NDArray[np.int32]:
    """Return what `warp.triangles` reads: the Delaunay triangulation of the mean face with its mouth open."""
    shape = face_shape()
    opened = (shape["mean"] + 0.25 * shape["modes"][0] + 0.15 * (shape["modes"][2] + shape["modes"][4]))[:, :2]
    flat = vertices(opened, TOOTH_DEPTH * gaps(opened))
    skin = Delaunay(np.delete(flat, np.s_[MESH_POINTS : MESH_POINTS + 9], 0)).simplices
    skin = np.where(skin >= MESH_POINTS, skin + 9, skin)
    centres = flat[skin].mean(1)
    polygon = flat[INNER_LIPS].astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), False) > 0 for x, y in centres])
    moving = np.zeros(len(flat), bool)
    moving[:MESH_POINTS] = np.abs(shape["modes"]).max((0, 2)) > MOVES
    found = np.concatenate([_mouth_triangles(), skin[~inside & moving[skin].any(1)]]).astype(np.int32)
    first, second, third = flat[found].transpose(1, 2, 0)
    one, two = second - first, third - first
    back = one[0] * two[1] - one[1] * two[0] < 0
    found[back] = found[back][:, ::-1]
    return found


def _mouth_triangles() -> NDArray[np.int64]:
    teeth = np.concatenate([[INNER_UPPER_LIP[0]], MESH_POINTS + np.arange(9), [INNER_UPPER_LIP[-1]]])
    rows = []
    for a, b in ((INNER_UPPER_LIP, teeth), (teeth, INNER_LOWER_LIP)):
        for k in range(10):
            rows += [(a[k], a[k + 1], b[k]), (a[k + 1], b[k + 1], b[k])]
    return np.array([row for row in rows if len(set(row)) == 3])
