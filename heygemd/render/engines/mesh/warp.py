"""Piecewise-affine warps of the lower face on one fixed triangle mesh.

The vertices are Face Mesh's 468 points, nine "tooth" points inside the mouth (see `vertices`) and a ring of anchors
around the chin and cheeks that never move, so that the neck and background take up the chin's motion smoothly.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ....weights.bundled import tensors
from ...face.mesh_indices import INNER_LOWER_LIP, INNER_UPPER_LIP, LOWER_FACE_OUTLINE
from ...scene import F32

NOSE_TIP = 1
RING_REACH = 0.5
"""How far beyond the outline the ring of anchors lies, as a share of its distance from the nose."""
TOOTH_DEPTH = 0.55
"""How far down the target's gap the tooth points sit."""
MAX_TOOTH_DEPTH = 0.62
"""As a share of the gap."""
COLUMNS = slice(1, 10)
"""Columns of the inner lips that have a tooth point: all but the corners."""
CELLS = 224
"""A region is at most this many cells wide; a finer map shows no difference."""
SKIN_CELLS = 112
"""The same for skin, which moves smoothly."""
SHIFT_BITS = 4
"""Fractional bits of the coordinates that OpenCV draws."""
FLAT_PIXELS = 0.02
"""Triangles of less area (a closed mouth's inside) are left out; their neighbours cover them."""
HOLE_CELLS = 2
"""How far neighbours spread into them."""
CUBIC_REACH = 3
"""Pixels of margin that cubic interpolation needs."""
SHARPEN = 0.3
"""Unsharp masking of a sample halfway between pixels, which restores the grain that interpolation removes."""


class WarpField(NamedTuple):
    """Triangles rasterized over a region of the target image, in square cells of whole pixels.

    x0, y0  the region's corner in the image · width, height  of the region, pixels
    scale   side of a cell, pixels
    triangle  (h, w) int32 which of `triangles` covers a cell, -1 where none
    slopes    (2, 3, n) float64: barycentric weights of each triangle's second and third vertex at (x, y, 1)
    """

    x0: int
    y0: int
    width: int
    height: int
    scale: int
    triangle: NDArray[np.int32]
    slopes: NDArray[np.float64]

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(h, w) cells that a triangle covers."""
        return self.triangle >= 0

    def cut(self, low: F32, high: F32) -> WarpField:
        """Return the part that holds the pixels from `low` to `high` (x, y) of the image, clipped to this region."""
        x0, width, columns = self._cut(self.x0, self.width, float(low[0]), float(high[0]))
        y0, height, rows = self._cut(self.y0, self.height, float(low[1]), float(high[1]))
        return WarpField(x0, y0, width, height, self.scale, self.triangle[rows, columns], self.slopes)

    def _cut(self, start: int, length: int, low: float, high: float) -> tuple[int, int, slice]:
        """Return the start, the length (pixels) and the cells of a part, along one axis. NumPy would be slower."""
        first = min(max(math.floor((low - start) / self.scale), 0), (length - 1) // self.scale)
        last = min(max(math.ceil((high - start) / self.scale), first + 1), -(-length // self.scale))
        pixels = min(last * self.scale, length) - first * self.scale
        return start + first * self.scale, pixels, slice(first, last)

    def coarser(self) -> WarpField:
        """Return the same region in SKIN_CELLS cells."""
        times = -(-self.triangle.shape[1] // SKIN_CELLS)
        return self._replace(scale=self.scale * times, triangle=self.triangle[::times, ::times])

    def filled(self) -> WarpField:
        """Return the same region with every cell covered by the nearest triangle."""
        if self.inside.all() or not self.inside.any():
            return self
        gaps = (~self.inside).astype(np.uint8)
        _, nearest = cv2.distanceTransformWithLabels(gaps, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        by_label = np.zeros(nearest.max() + 1, np.int32)
        by_label[nearest[self.inside]] = self.triangle[self.inside]
        return self._replace(triangle=by_label[nearest])

    def within(self, outer: WarpField) -> tuple[slice, slice]:
        """Return where this part lies in the region it was cut from."""
        top, left = self.y0 - outer.y0, self.x0 - outer.x0
        return np.s_[top : top + self.height, left : left + self.width]

    def enlarged(self, cells: F32) -> F32:
        """Return (height, width, ...) float32: values at the cells' centres, interpolated to pixels."""
        rows, columns = self.triangle.shape
        if self.scale > 1:
            size = (columns * self.scale, rows * self.scale)
            cells = np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_LINEAR), np.float32)
        return cells[: self.height, : self.width]


@cache
def triangles() -> NDArray[np.int32]:
    """Return (n, 3) int32 vertices of the triangles that can move: the mouth's inside, then skin and lips over it.

    All have a positive area in a face seen from the front. From a bundled file, because importing scipy to find them
    would cost each render half a second of CPU. After a change here: `python -m heygemd.training triangles`.
    """
    return np.asarray(tensors("lower_face.safetensors")["triangles"], np.int32)


@cache
def _moving() -> NDArray[np.int32]:
    """Return (m,) int32, the vertices that the triangles have."""
    return np.unique(triangles()).astype(np.int32)


def _cross(one: NDArray[np.floating], two: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(one[0] * two[1] - one[1] * two[0])


def gaps(points: F32) -> F32:
    """Return (11,) gap of each column of the inner lips, pixels."""
    return np.asarray(np.linalg.norm(points[INNER_LOWER_LIP] - points[INNER_UPPER_LIP], axis=1), np.float32)


def vertices(points: F32, depth: F32, anchored: F32 | None = None) -> F32:
    """Return (n, 2) float32, all vertices of a mesh of (468, 2) points.

    depth     (11,) pixels from the upper lip's inner edge down to the tooth points. Teeth are fixed to the skull and
              the upper lip hardly moves against it, so equal depths in source and target do not stretch teeth.
    anchored  (468, 2) mesh whose outline the ring of anchors follows; by default `points`
    """
    upper, lower = points[INNER_UPPER_LIP], points[INNER_LOWER_LIP]
    gap = np.linalg.norm(lower - upper, axis=1, keepdims=True)
    share = np.clip(depth[:, None] / np.maximum(gap, 1e-6), 0, MAX_TOOTH_DEPTH)
    tooth = upper + (lower - upper) * share
    held = points if anchored is None else anchored
    ring = held[LOWER_FACE_OUTLINE] + RING_REACH * (held[LOWER_FACE_OUTLINE] - held[NOSE_TIP])
    return np.concatenate([points, tooth[COLUMNS], ring]).astype(np.float32)


def rasterize(target: F32, limits: tuple[int, int]) -> WarpField:
    """Return the WarpField of (n, 2) target vertices inside an image of `limits` (width, height)."""
    corners = target.take(triangles(), 0).astype(np.float64)
    first, second, third = corners.transpose(1, 2, 0)
    outline = np.ascontiguousarray(target.take(_moving(), 0).T, np.float64)
    low = np.maximum(np.floor(outline.min(1)), 0).astype(int)
    high = np.minimum(np.ceil(outline.max(1)) + 1, limits).astype(int)
    width, height = (int(v) for v in np.maximum(high - low, 1))
    scale = -(-width // CELLS)
    one, two = second - first, third - first
    area = _cross(one, two)
    drawn = np.abs(area) >= FLAT_PIXELS
    cells = list(np.round(((corners - low + 0.5) / scale - 0.5) * (1 << SHIFT_BITS)).astype(np.int32))
    index = np.full((-(-height // scale), -(-width // scale)), -1, np.int32)
    fill = cv2.fillConvexPoly  # five hundred times
    # The far side of a turned face lies below the near one.
    for k in [*np.flatnonzero(drawn & (area < 0)).tolist(), *np.flatnonzero(drawn & (area > 0)).tolist()]:
        fill(index, cells[k], k, cv2.LINE_8, SHIFT_BITS)
    # Where a closed mouth's triangles are too flat to draw, their neighbours take over.
    spread = cv2.dilate(index.astype(np.float32), np.ones((3, 3), np.uint8), iterations=HOLE_CELLS)
    index = np.where(index < 0, spread.astype(np.int32), index)
    across = np.array([[two[1], -two[0]], [-one[1], one[0]]]) / np.where(drawn, area, np.inf)
    slopes = np.concatenate([across, -(across * first).sum(1, keepdims=True)], 1)
    return WarpField(int(low[0]), int(low[1]), width, height, scale, index, slopes)


def affine_terms(field: WarpField, moves: F32) -> F32:
    """Return (2, 5, n + 1) float32 of the field's n triangles: slopes in x and y, constant, least and largest shift.

    moves  (m, 2) how far away another picture's vertices are from those that were drawn

    The last column is that of no triangle, which the index -1 takes: nothing departs.
    """
    first, second, third = moves.take(triangles(), 0).transpose(1, 2, 0)
    terms = np.zeros((2, 5, first.shape[1] + 1), np.float32)
    affine = (second - first)[:, None] * field.slopes[0] + (third - first)[:, None] * field.slopes[1]
    affine[:, 2] += first
    terms[:, :3, :-1] = affine
    terms[:, 3, :-1] = np.minimum(np.minimum(first, second), third)
    terms[:, 4, :-1] = np.maximum(np.maximum(first, second), third)
    return terms


def displacements(field: WarpField, terms: F32) -> F32:
    """Return (2, h, w) float32: how far away in x and y another picture shows what is at the centre of each cell.

    terms  of `affine_terms`
    """
    rows, columns = field.triangle.shape
    half = (field.scale - 1) / 2
    x = np.arange(columns, dtype=np.float32) * field.scale + np.float32(field.x0 + half)
    y = np.arange(rows, dtype=np.float32) * field.scale + np.float32(field.y0 + half)
    cells = terms.take(field.triangle, 2, mode="wrap")
    shift = cells[:, 0] * x + cells[:, 1] * y[:, None] + cells[:, 2]
    # Drawn edges reach a little over the triangle: without the limit a sliver would fling such a cell far away.
    np.maximum(shift, cells[:, 3], out=shift)
    return np.asarray(np.minimum(shift, cells[:, 4], out=shift), np.float32)


def sample(picture: NDArray[np.uint8], field: WarpField, moves: F32, fine: WarpField | None = None) -> F32:
    """Return (height, width, 3) float32 what `picture` shows in the field's region; `moves` as in `affine_terms`.

    Cubic and sharpened by where between pixels a sample lies, so that skin keeps its grain, steadily; values may
    overshoot 0..255 a little.

    fine  a part of the region whose own cells count there; one pass over the pixels costs less than another over these
    """
    terms = affine_terms(field, moves)
    shifts = [displacements(each, terms) for each in (field, fine) if each]
    seen = []
    for axis, (start, length) in enumerate(((field.x0, field.width), (field.y0, field.height))):
        low = min(float(shift[axis].min()) for shift in shifts) + start - CUBIC_REACH
        high = max(float(shift[axis].max()) for shift in shifts) + start + CUBIC_REACH + length
        first = min(max(math.floor(low), 0), picture.shape[1 - axis] - 1)
        seen.append(slice(first, max(min(math.ceil(high), picture.shape[1 - axis]), first + 1)))
    source = picture[seen[1], seen[0]].astype(np.float32)  # OpenCV is faster on these
    offset = field.x0 - seen[0].start, field.y0 - seen[1].start
    maps = _sampling_maps(field, shifts[0], offset)
    if fine:
        for whole, plane in zip(maps, _sampling_maps(fine, shifts[1], offset), strict=True):
            whole[fine.within(field)] = plane
    x, y, more = maps
    flags = cv2.INTER_CUBIC | cv2.WARP_RELATIVE_MAP
    soft = cv2.remap(source, x, y, flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.blendLinear(soft, cv2.GaussianBlur(soft, (3, 3), 0), 1 + more, -more), np.float32)


def _sampling_maps(field: WarpField, shift: F32, offset: tuple[int, int]) -> list[F32]:
    """Return three (height, width) float32: how far away in x and y each pixel is sampled, how much it is sharpened.

    shift  (2, h, w) of `displacements` · offset  (x, y) added to it, pixels
    """
    between = shift - np.floor(shift)
    more = SHARPEN / 2 * ((4 * between * (1 - between)) ** 2).sum(0)
    return [field.enlarged(plane) for plane in (shift[0] + offset[0], shift[1] + offset[1], more)]
