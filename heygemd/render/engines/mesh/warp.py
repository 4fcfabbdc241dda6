"""Piecewise-affine warps of the lower face on one fixed triangle mesh.

The vertices are Face Mesh's 468 points, nine "tooth" points inside the mouth (see `teeth`) and a ring of anchors round
the chin and cheeks that never move, so that the neck and background take up the chin's motion smoothly.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from ...geometry import F32, face_shape
from ...mouth import INNER, LOWER_INNER, UPPER_INNER
from ...scene import MESH_POINTS

OVAL = np.array([127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152])
OVAL = np.concatenate([OVAL, [377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356]])
"""The face's outline from temple over the chin to temple."""
NOSE_TIP = 1
RING_REACH = 0.5
TOOTH_DEPTH = 0.55
"""How far down the target's gap the tooth points sit."""
MAX_TOOTH_DEPTH = 0.62
COLUMNS = slice(1, 10)
MOVES = 1e-3
COARSE_PIXELS = 224
SPILL = 0.05
SHIFT_BITS = 4
FLAT_PIXELS = 0.02
"""Triangles of less area (a closed mouth's inside) are left out; their neighbours cover them."""
HOLE_CELLS = 2


class Field(NamedTuple):
    """Triangles drawn over a region of the target picture.

    x0, y0  the region's corner in the picture · width, height of the region, pixels
    scale   picture pixels of one coarse cell
    inside  (h, w) bool coarse cells that a triangle covers
    corner  (h, w, 3) int32 the vertices of each cell's triangle · share (h, w, 3) float32 what each contributes
    """

    x0: int
    y0: int
    width: int
    height: int
    scale: float
    inside: NDArray[np.bool_]
    corner: NDArray[np.int32]
    share: F32


@cache
def triangles() -> NDArray[np.int32]:
    """Return (n, 3) vertices of the triangles that can move: the mouth's inside, then skin and lips, drawn over it."""
    shape = face_shape()
    opened = shape["mean"] + 0.25 * shape["modes"][0] + 0.15 * (shape["modes"][2] + shape["modes"][4])
    flat = vertices(opened[:, :2], np.zeros(len(UPPER_INNER), np.float32))
    skin = Delaunay(np.delete(flat, np.s_[MESH_POINTS : MESH_POINTS + 9], 0)).simplices
    skin = np.where(skin >= MESH_POINTS, skin + 9, skin)
    centres = flat[skin].mean(1)
    polygon = flat[INNER].astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(polygon, (float(x), float(y)), False) > 0 for x, y in centres])
    moving = np.zeros(len(flat), bool)
    moving[:MESH_POINTS] = np.abs(shape["modes"]).max((0, 2)) > MOVES
    return np.concatenate([_inside(), skin[~inside & moving[skin].any(1)]]).astype(np.int32)


def _inside() -> NDArray[np.int64]:
    teeth = np.concatenate([[UPPER_INNER[0]], MESH_POINTS + np.arange(9), [UPPER_INNER[-1]]])
    rows = []
    for a, b in ((UPPER_INNER, teeth), (teeth, LOWER_INNER)):
        for k in range(10):
            rows += [(a[k], a[k + 1], b[k]), (a[k + 1], b[k + 1], b[k])]
    return np.array([row for row in rows if len(set(row)) == 3])


def gaps(points: F32) -> F32:
    """Return (11,) gap of each column of the inner lips, pixels."""
    return np.asarray(np.linalg.norm(points[LOWER_INNER] - points[UPPER_INNER], axis=1), np.float32)


def vertices(points: F32, depth: F32) -> F32:
    """Return (n, 2) all vertices of (468, 2) points.

    depth  (11,) how far below the upper lip's inner edge the tooth points lie. Teeth hang from the skull and the upper
           lip hardly moves against it, so equal depths in source and target keep teeth from stretching.
    """
    upper, lower = points[UPPER_INNER], points[LOWER_INNER]
    gap = np.linalg.norm(lower - upper, axis=1, keepdims=True)
    share = np.clip(depth[:, None] / np.maximum(gap, 1e-6), 0, MAX_TOOTH_DEPTH)
    tooth = upper + (lower - upper) * share
    oval = points[OVAL]
    ring = oval + RING_REACH * (oval - points[NOSE_TIP])
    return np.concatenate([points, tooth[COLUMNS], ring]).astype(np.float32)


def draw(target: F32, limits: tuple[int, int]) -> Field:
    """Return the Field of target vertices inside a picture of `limits` (width, height)."""
    faces = triangles()
    corners = target[faces]
    low = np.maximum(np.floor(target[faces].min((0, 1))), 0).astype(int)
    high = np.minimum(np.ceil(target[faces].max((0, 1))) + 1, limits).astype(int)
    width, height = (int(v) for v in np.maximum(high - low, 1))
    scale = max(1.0, width / COARSE_PIXELS)
    index = np.full((round(height / scale) + 1, round(width / scale) + 1), -1, np.int32)
    square = np.concatenate([corners - low, np.ones((len(faces), 3, 1))], 2).transpose(0, 2, 1)
    flat = np.abs(np.linalg.det(square)) < FLAT_PIXELS
    square[flat] = np.eye(3)
    cells = np.round((corners - low) / scale * (1 << SHIFT_BITS)).astype(np.int32)
    for k in np.flatnonzero(~flat):
        cv2.fillConvexPoly(index, cells[k], int(k), cv2.LINE_8, SHIFT_BITS)
    # Where a closed mouth's triangles are too flat to draw, their neighbours take over.
    spread = cv2.dilate(index.astype(np.float32), np.ones((3, 3), np.uint8), iterations=HOLE_CELLS)
    index = np.where(index < 0, spread.astype(np.int32), index)
    inverse = np.linalg.inv(square).astype(np.float32)[index]
    y, x = np.mgrid[: index.shape[0], : index.shape[1]].astype(np.float32)[..., None] * scale
    # Drawn edges reach a little over the triangle: without the limit a sliver would fling such a cell far away.
    share = np.clip(inverse[..., 0] * x + inverse[..., 1] * y + inverse[..., 2], -SPILL, 1 + SPILL)
    share /= share.sum(-1, keepdims=True)
    return Field(int(low[0]), int(low[1]), width, height, scale, index >= 0, faces[index], share)


def maps(field: Field, target: F32, source: F32) -> F32:
    """Return (height, width, 2) float32: where in the source picture each pixel of the field's region comes from.

    target, source  (n, 2) vertices in either picture. Outside the triangles: the pixel's own place.

    What is interpolated is the departure from the best affine map, so that the cells at a sliver's rim, which its
    triangle does not quite hold, go hardly astray.
    """
    ones = np.ones((len(target), 1), np.float32)
    affine = np.linalg.lstsq(np.concatenate([target, ones], 1), source, rcond=None)[0].astype(np.float32)
    departure = source - target @ affine[:2] - affine[2]
    rows, columns = field.inside.shape
    own = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1) * field.scale + (field.x0, field.y0)
    own = own.astype(np.float32)
    coarse = own @ affine[:2] + affine[2] + (departure[field.corner] * field.share[..., None]).sum(2)
    coarse = np.where(field.inside[..., None], coarse, own)
    if field.scale == 1.0:
        return np.ascontiguousarray(coarse[: field.height, : field.width])
    grow = np.array([[field.scale, 0, 0], [0, field.scale, 0]])
    size = (field.width, field.height)
    return np.asarray(cv2.warpAffine(coarse, grow, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def sample(picture: NDArray[np.uint8], places: F32) -> F32:
    """Return (h, w, 3) float32 of a picture at (h, w, 2) places; cubic, so that skin keeps its grain."""
    taken = cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return taken.astype(np.float32)
