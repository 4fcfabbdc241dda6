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
from scipy.sparse import csr_matrix
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
CELLS = 224
"""The most cells that a region is wide: finer than that no map needs to be."""
SPILL = 0.05
SHIFT_BITS = 4
FLAT_PIXELS = 0.02
"""Triangles of less area (a closed mouth's inside) are left out; their neighbours cover them."""
HOLE_CELLS = 2


class Field(NamedTuple):
    """Triangles drawn over a region of the target picture, in square cells of whole pixels.

    x0, y0  the region's corner in the picture · width, height of the region, pixels
    scale   side of a cell, pixels
    inside  (h, w) bool cells that a triangle covers
    corner  (h, w, 3) int32 the vertices of each cell's triangle · share (h, w, 3) float32 what each contributes,
            nothing outside
    """

    x0: int
    y0: int
    width: int
    height: int
    scale: int
    inside: NDArray[np.bool_]
    corner: NDArray[np.int32]
    share: F32

    def cut(self, low: F32, high: F32) -> Field:
        """Return the part that holds the picture's pixels from `low` to `high` (x, y), as far as there are any."""
        limits = np.array([self.width, self.height])
        first = np.clip(np.floor((low - (self.x0, self.y0)) / self.scale), 0, (limits - 1) // self.scale).astype(int)
        last = np.ceil((high - (self.x0, self.y0)) / self.scale).astype(int)
        last = np.clip(last, first + 1, -(-limits // self.scale))
        width, height = (int(v) for v in np.minimum(last * self.scale, limits) - first * self.scale)
        x0, y0 = (int(v) for v in first * self.scale + (self.x0, self.y0))
        part = np.s_[first[1] : last[1], first[0] : last[0]]
        return Field(x0, y0, width, height, self.scale, self.inside[part], self.corner[part], self.share[part])

    def within(self, outer: Field) -> tuple[slice, slice]:
        """Return where this part lies in the region it was cut from."""
        top, left = self.y0 - outer.y0, self.x0 - outer.x0
        return np.s_[top : top + self.height, left : left + self.width]

    def enlarged(self, cells: F32) -> F32:
        """Return (height, width, ...) float32 of values that belong to the cells' centres."""
        rows, columns = self.inside.shape
        if self.scale > 1:
            size = (columns * self.scale, rows * self.scale)
            cells = np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return cells[: self.height, : self.width]


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
    low = np.maximum(np.floor(target[faces].min((0, 1))), 0).astype(int)
    high = np.minimum(np.ceil(target[faces].max((0, 1))) + 1, limits).astype(int)
    width, height = (int(v) for v in np.maximum(high - low, 1))
    scale = -(-width // CELLS)
    corners = (target[faces] - low + 0.5) / scale - 0.5
    square = np.concatenate([corners, np.ones((len(faces), 3, 1))], 2).transpose(0, 2, 1)
    flat = np.abs(np.linalg.det(square)) * scale * scale < FLAT_PIXELS
    square[flat] = np.eye(3)
    index = _index(corners, ~flat, (-(-height // scale), -(-width // scale)))
    inside = index >= 0
    held = _shares(square, index[inside], inside)
    share = np.zeros((*index.shape, 3), np.float32)
    share[inside] = held
    return Field(int(low[0]), int(low[1]), width, height, scale, inside, faces[index], share)


def _shares(square: NDArray[np.float64], mine: NDArray[np.int32], inside: NDArray[np.bool_]) -> F32:
    """Return (n, 3) barycentric shares of the n cells in `inside`, whose triangles are `mine`."""
    inverse = np.linalg.inv(square).transpose(0, 2, 1).reshape(-1, 9).astype(np.float32)
    y, x = (v.astype(np.float32)[:, None] for v in np.nonzero(inside))
    terms = inverse[mine]
    held = terms[:, :3] * x
    held += terms[:, 3:6] * y
    held += terms[:, 6:]
    # Drawn edges reach a little over the triangle: without the limit a sliver would fling such a cell far away.
    np.clip(held, -SPILL, 1 + SPILL, out=held)
    held /= (held[:, 0] + held[:, 1] + held[:, 2])[:, None]
    return np.asarray(held, np.float32)


def _index(corners: NDArray[np.float64], drawn: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.int32]:
    """Return `size` (rows, columns) int32 the triangle that covers each cell, -1 where none."""
    index = np.full(size, -1, np.int32)
    cells = np.round(corners * (1 << SHIFT_BITS)).astype(np.int32)
    for k in np.flatnonzero(drawn).tolist():
        cv2.fillConvexPoly(index, cells[k], k, cv2.LINE_8, SHIFT_BITS)
    # Where a closed mouth's triangles are too flat to draw, their neighbours take over.
    spread = cv2.dilate(index.astype(np.float32), np.ones((3, 3), np.uint8), iterations=HOLE_CELLS)
    return np.where(index < 0, spread.astype(np.int32), index)


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
    ends = np.arange(0, 3 * rows * columns + 1, 3, dtype=np.int32)
    each = csr_matrix((field.share.ravel(), field.corner.ravel(), ends), (rows * columns, len(target)))
    shift = (each @ departure).reshape(rows, columns, 2)
    turn = affine[:2] - np.eye(2, dtype=np.float32)
    half = (field.scale - 1) / 2
    x = np.arange(columns, dtype=np.float32) * field.scale + np.float32(field.x0 + half)
    y = np.arange(rows, dtype=np.float32) * field.scale + np.float32(field.y0 + half)
    shift += x[None, :, None] * turn[0] + (y[:, None, None] * turn[1] + affine[2])
    shift *= field.inside[..., None]
    places = field.enlarged(shift)
    places[..., 0] += np.arange(field.x0, field.x0 + field.width, dtype=np.float32)
    places[..., 1] += np.arange(field.y0, field.y0 + field.height, dtype=np.float32)[:, None]
    return places


def sample(picture: NDArray[np.uint8], places: F32) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 of a picture at (h, w, 2) places; cubic, so that skin keeps its grain."""
    taken = cv2.remap(picture, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(taken, np.uint8)
