"""The network's face input, and its output as a patch: the lower face, feathered, in the video's own colours."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...face.gaussian import gaussian_smooth
from ...scene import F32, Crop, Image, Patch, Track, spans
from .network import LOWER_TOP, SIDE

WINDOW_FRAMES = 512
SMOOTH_S = 0.08
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
"""The face's edge from ear to ear by way of the chin, points of Face Mesh."""
NOSE_BASE = 2
CHEEK_SHARE = 0.35
"""The mask's upper corners lie this share of the way from the base of the nose to the ears."""
CHIN_ROOM = 1.06
"""The jaw of the mask is this much wider than the face's, seen from the nose: the network's chin may be lower."""
FEATHER_PIXELS = 3.5
EDGE_PIXELS = 8
COLOUR_PIXELS = 9.0
"""All three in pixels of the network's image."""

Box = NDArray[np.float64]
"""(4,) x0 y0 x1 y1 in full-size pixels, with fractions."""


def face_bounds(track: Track) -> F32:
    """Return (T, 4) float32 x0 y0 x1 y1 of the face's points in full-size pixels, zeros without a face.

    The track is read in windows.
    """
    out = np.zeros((len(track), 4), np.float32)
    for start in range(0, len(track), WINDOW_FRAMES):
        points = track.points(start, start + WINDOW_FRAMES)[..., :2]
        both = np.concatenate([points.min(1), points.max(1)], 1)
        out[start : start + len(both)] = np.nan_to_num(both)
    return out


def face_runs(track: Track) -> list[tuple[int, int]]:
    """Return the [start, stop) runs of frames with a face, each within one shot."""
    shots = np.flatnonzero(track.cuts).tolist()
    pieces: list[tuple[int, int]] = []
    for start, stop in spans(track.boxes[:, 2] > 0):
        edges = [start, *(cut for cut in shots if start < cut < stop), stop]
        pieces += itertools.pairwise(edges)
    return pieces


def smoothed_boxes(
    bounds: F32, runs: list[tuple[int, int]], pads: tuple[float, float, float, float], fps: float
) -> F32:
    """Return (T, 4) float32 boxes, padded by shares (top, bottom, left, right) of the face and smoothed in each run.

    bounds  of `face_bounds` · runs  of `face_runs`
    """
    top, bottom, left, right = pads
    w, h = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    out = bounds + np.stack([-left * w, -top * h, right * w, bottom * h], 1)
    for start, stop in runs:
        out[start:stop] = gaussian_smooth(out[start:stop], SMOOTH_S * fps)
    return np.asarray(out, np.float32)


class CropTransform(NamedTuple):
    """Where the network's image lies in a crop: crop = scale * network + shift, for x and y, pixel centres."""

    scale: tuple[float, float]
    shift: tuple[float, float]

    def matrix(self) -> NDArray[np.float64]:
        """Return the (2, 3) map from the network's pixels to the crop's."""
        return np.array([[self.scale[0], 0, self.shift[0]], [0, self.scale[1], self.shift[1]]])


def crop_transform(crop: Crop, box: Box) -> CropTransform:
    """Return the transform that lays the network's image over the box."""
    x, y = (max(float(box[k + 2] - box[k]), 2.0) / SIDE for k in (0, 1))
    return CropTransform((x, y), (float(box[0]) - crop.box[0] + (x - 1) / 2, float(box[1]) - crop.box[1] + (y - 1) / 2))


def sample_face(crop: Crop, transform: CropTransform) -> Image:
    """Return the (SIDE, SIDE, 3) uint8 face, sampled like the training images."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (SIDE, SIDE)
    small = cv2.warpAffine(crop.image, transform.matrix(), size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(small, np.uint8)


def lower_face_mask(points: F32, crop: Crop, transform: CropTransform) -> F32:
    """Return (SIDE - LOWER_TOP, SIDE) float32 0..1: the lower face, feathered, 0 at the box's edge.

    points  (468, 2) of the face in full-size pixels
    """
    spots = (points - crop.box[:2] - transform.shift) / transform.scale - (0, LOWER_TOP)
    nose, jaw = spots[NOSE_BASE], spots[list(JAW)]
    jaw = jaw[jaw[:, 1] > nose[1]]
    ends = [nose + CHEEK_SHARE * (spots[JAW[side]] - nose) for side in (-1, 0)]
    outline = np.stack([*(nose + CHIN_ROOM * (jaw - nose)), ends[0], nose, ends[1]])
    canvas = np.zeros((SIDE - LOWER_TOP, SIDE), np.float32)
    cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(canvas, (0, 0), FEATHER_PIXELS, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(soft * _EDGE, np.float32)


def _edge() -> F32:
    """Return (SIDE - LOWER_TOP, SIDE) float32 that falls to 0 at the left, right, top and bottom."""

    def ramp(length: int) -> F32:
        steps = np.minimum(np.arange(length), np.arange(length)[::-1])
        return np.clip(steps / EDGE_PIXELS, 0, 1).astype(np.float32)

    return np.outer(ramp(SIDE - LOWER_TOP), ramp(SIDE)).astype(np.float32)


_EDGE = _edge()


def match_colour(generated: F32, face: Image, soft: F32) -> F32:
    """Return the generated lower face (h, SIDE, 3) float32 in the colour of the real one along the mask's edge.

    A wide blur carries the difference there inwards, so that the seam vanishes and the lips keep their contrast.
    """
    rim = (4 * soft * (1 - soft))[..., None]
    apart = np.concatenate([(face[LOWER_TOP:].astype(np.float32) - generated) * rim, rim], 2)
    spread = cv2.GaussianBlur(apart, (0, 0), COLOUR_PIXELS, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(generated + spread[..., :3] / np.maximum(spread[..., 3:], 1e-3), np.float32)


def paste(crop: Crop, transform: CropTransform, generated: F32, soft: F32, face: Image, delta: bool) -> Patch:
    """Return the patch with a generated lower face (h, SIDE, 3) 0..255 blended over the crop's own.

    soft   the mask · face  the network's input
    delta  add only what the network changed, so that the skin keeps its texture
    """
    image = crop.image.copy()
    matrix = transform.matrix() @ np.array([[1, 0, 0], [0, 1, LOWER_TOP], [0, 0, 1]])
    size = (image.shape[1], image.shape[0])
    large_mask = np.asarray(cv2.warpAffine(soft, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    rows, columns = np.flatnonzero(large_mask.any(1)), np.flatnonzero(large_mask.any(0))
    if not len(rows):
        return Patch(crop.output, image, large_mask)
    y, x = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    matrix[:, 2] -= (x.start, y.start)
    source = generated - face[LOWER_TOP:] if delta else generated
    size = (x.stop - x.start, y.stop - y.start)
    large = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    pasted = large + image[y, x] if delta else large
    image[y, x] = np.clip(np.rint(pasted), 0, 255).astype(np.uint8)
    return Patch(crop.output, image, large_mask)
