"""Masks and colour matching, in the pixels of one region."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...face.mesh_indices import INNER_LIPS, INNER_UPPER_LIP, OUTER_LIPS
from ...scene import F32
from .warp import Field

LIP_MARGIN = 0.05
"""How far the lips' mask reaches over the lips' edge, eye distances."""
RING_WIDTH = 0.12
MATCH_PIXELS = 48
GAIN_LIMIT = 1.5
SHADOW = 0.035
"""How far the lips' shadow reaches into the mouth, eye distances."""
RIM_LIGHT = 0.68
STILL_PIXELS = 0.05
EDGE = 0.06
"""Share of a crop over which masks fade to its edges."""
SHIFT_BITS = 4


def polygon(points: F32, field: Field) -> F32:
    """Return (height, width) float32 0/1 inside a polygon of (n, 2) picture points, edges anti-aliased."""
    mask = np.zeros((field.height, field.width), np.uint8)
    cells = np.round((points - (field.x0, field.y0)) * (1 << SHIFT_BITS)).astype(np.int32)
    cv2.fillPoly(mask, [cells], 255, cv2.LINE_AA, SHIFT_BITS)
    return np.asarray(mask * np.float32(1 / 255), np.float32)


def grown(points: F32, by: float) -> F32:
    """Return a closed outline of (n, 2) points moved `by` pixels away from its middle line, roughly evenly."""
    around = np.concatenate([points[-1:], points, points[:1]])
    along = around[2:] - around[:-2]
    normal = np.stack([along[:, 1], -along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-6)[:, None]
    outward = np.sign(((points - points.mean(0)) * normal).sum())
    return np.asarray(points + normal * outward * by, np.float32)


def blurred(mask: F32, sigma: float) -> F32:
    """Return a Gaussian blur, cheap for wide ones."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.4)), np.float32)


def mixed(base: F32, layer: F32, share: F32) -> F32:
    """Return (h, w, 3) float32: `layer` by its share (h, w) 0..1, `base` by the rest."""
    return np.asarray(cv2.blendLinear(layer, base, share, 1 - share), np.float32)


def moved(field: Field, eye: float, furthest: float) -> F32:
    """Return (height, width) float32 mask of the pixels that the base warp may change, feathered inwards.

    furthest  pixels that the most moved vertex moves; under STILL_PIXELS the frame stays as it is
    """
    edged = cv2.copyMakeBorder(field.inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    reach = cv2.distanceTransform(edged, cv2.DIST_L2, 3)[1:-1, 1:-1] * field.scale
    soft = np.clip(reach / max(0.08 * eye, 1.0), 0, 1)
    soft *= float(np.clip(furthest / STILL_PIXELS - 1, 0, 1))
    return field.enlarged(np.asarray(soft * soft * (3 - 2 * soft), np.float32))


def fade(field: Field, size: tuple[int, int]) -> F32:
    """Return (height, width) float32 that falls to 0 where the region nears the edges of a crop of `size` (w, h)."""
    x, y = (_profile(n) for n in size)
    return np.minimum.outer(y[field.y0 : field.y0 + field.height], x[field.x0 : field.x0 + field.width])


@lru_cache(maxsize=64)
def _profile(length: int) -> F32:
    at = np.arange(length)
    return np.clip(np.minimum(at - 1, length - 2 - at) / max(EDGE * length, 1), 0, 1).astype(np.float32)


def near(target: F32, field: Field, eye: float) -> Field:
    """Return the part of a field in which lips are painted: the ring round them and what their shadow takes."""
    reach = (LIP_MARGIN + RING_WIDTH) * eye + 2
    return field.cut(target[OUTER_LIPS].min(0) - reach, target[OUTER_LIPS].max(0) + reach)


def lips(target: F32, field: Field, eye: float) -> tuple[F32, F32]:
    """Return the feathered mask of the lips and the ring of skin round it, (height, width) float32 each."""
    outline = target[OUTER_LIPS]
    core = polygon(grown(outline, LIP_MARGIN * eye), field)
    soft = blurred(core, 0.4 * LIP_MARGIN * eye)
    ring = polygon(grown(outline, (LIP_MARGIN + RING_WIDTH) * eye), field) - polygon(grown(outline, 0.02 * eye), field)
    return soft, np.clip(ring, 0, 1)


def inside(target: F32, field: Field, eye: float) -> tuple[F32, F32]:
    """Return the softened mask of the open mouth and how much light reaches into it, (height, width) float32 each.

    The lips' shadow darkens the rim, most of all under the upper lip, from where the light comes.
    """
    sharp = polygon(target[INNER_LIPS], field)
    reach = cv2.distanceTransform((sharp > 0.5).astype(np.uint8), cv2.DIST_L2, 3) / (SHADOW * eye)
    fall = np.array([[1, 0, 0], [0, 1, 0.5 * SHADOW * eye]], np.float32)
    under = cv2.warpAffine(blurred(sharp, 0.3 * SHADOW * eye), fall, sharp.shape[::-1])
    light = RIM_LIGHT + (1 - RIM_LIGHT) * np.clip(reach, 0, 1)
    return blurred(sharp, 0.01 * eye), np.asarray(light * (0.5 + 0.5 * under), np.float32)


def sealed(mouth: F32, target: F32, field: Field, shut: float) -> F32:
    """Return `mouth` without the line of teeth that the map, smooth from lip to lip, leaves where they meet.

    What is bright and thinner than a cell's reach goes (a morphological opening), by the share `shut`.
    """
    cells = np.round((target[INNER_UPPER_LIP] - (field.x0, field.y0)) * (1 << SHIFT_BITS)).astype(np.int32)
    line = np.zeros(mouth.shape[:2], np.uint8)
    cv2.polylines(line, [cells], False, 255, 2 * field.scale + 1, cv2.LINE_AA, SHIFT_BITS)
    soft = blurred(line * np.float32(shut / 255), 0.5 * field.scale)
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * field.scale + 3,) * 2)
    return mixed(mouth, np.asarray(cv2.morphologyEx(mouth, cv2.MORPH_OPEN, around), np.float32), soft)


def matched(layer: F32, base: F32, ring: F32) -> F32:
    """Return `layer` with its light brought to that of `base`, a smooth gain taken from the ring they share."""
    scale = MATCH_PIXELS / max(ring.shape)
    size = (max(2, round(ring.shape[1] * scale)), max(2, round(ring.shape[0] * scale)))

    def small(image: F32) -> F32:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)

    weight = small(ring)[..., None]
    sigma = MATCH_PIXELS / 6
    above = blurred(small(base) * weight, sigma)
    below = blurred(small(layer) * weight, sigma)
    floor = 1e-3 * max(float(weight.max()), 1e-6)
    gain = np.clip((above + floor) / (below + floor), 1 / GAIN_LIMIT, GAIN_LIMIT)
    return layer * cv2.resize(gain, ring.shape[::-1], interpolation=cv2.INTER_LINEAR)


def brightness(image: NDArray[np.uint8]) -> float:
    """Return the usual brightness of skin in a crop, 0..1."""
    return float(np.median(image.max(2))) / 255
