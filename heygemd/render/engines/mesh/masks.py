"""Masks and brightness matching, in the pixels of one warped region (see warp.WarpField)."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...easing import smoothstep
from ...face.mesh_indices import INNER_LIPS, INNER_UPPER_LIP, OUTER_LIPS
from ...scene import F32
from .warp import WarpField

LIP_MARGIN = 0.05
"""How far the lips' mask reaches beyond the lips' edge, eye distances."""
RING_WIDTH = 0.12
"""Width of the ring of skin around the lips in which brightness is matched, eye distances."""
MATCH_PIXELS = 48
"""Longer side of the image on which the gain of a match is computed."""
GAIN_LIMIT = 1.5
SHADOW = 0.035
"""How far the lips' shadow reaches into the mouth, eye distances."""
RIM = 0.02
"""Width of the rim of the lips that is smoothed around a drawn inside, eye distances to either side of the edge."""
SEALED = 0.0098
"""Half the width of the line of teeth that is removed between closed lips, eye distances."""
RIM_LIGHT = 0.85
"""Share of the light that reaches the rim of the open mouth."""
STILL_PIXELS = 0.05
"""A frame whose vertices all move by less is left unchanged."""
EDGE = 0.06
"""Share of a crop over which masks fade to its edges."""
SHIFT_BITS = 4
"""Fractional bits of the coordinates that OpenCV draws."""


def polygon_mask(points: F32, field: WarpField) -> F32:
    """Return (height, width) float32 0/1 inside a polygon of (n, 2) picture points, edges anti-aliased."""
    mask = np.zeros((field.height, field.width), np.uint8)
    cv2.fillPoly(mask, [_fixed_point(points, field)], 255, cv2.LINE_AA, SHIFT_BITS)
    return np.asarray(mask * np.float32(1 / 255), np.float32)


def line_mask(points: F32, field: WarpField, width: int, closed: bool) -> F32:
    """Return (height, width) float32 0/1 on a line through (n, 2) picture points, `width` pixels wide, anti-aliased."""
    mask = np.zeros((field.height, field.width), np.uint8)
    cv2.polylines(mask, [_fixed_point(points, field)], closed, 255, width, cv2.LINE_AA, SHIFT_BITS)
    return np.asarray(mask * np.float32(1 / 255), np.float32)


def _fixed_point(points: F32, field: WarpField) -> NDArray[np.int32]:
    """Return (n, 2) int32 points in the region, in the unit that OpenCV draws in."""
    return np.round((points - (field.x0, field.y0)) * (1 << SHIFT_BITS)).astype(np.int32)


def outward_normals(points: F32) -> F32:
    """Return (n, 2) unit normals of a closed outline of (n, 2) points."""
    wrapped = np.concatenate([points[-1:], points, points[:1]])
    tangent = wrapped[2:] - wrapped[:-2]
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], 1) / np.maximum(np.hypot(*tangent.T), 1e-6)[:, None]
    outward = np.sign(((points - points.mean(0)) * normal).sum())
    return np.asarray(normal * outward, np.float32)


def gaussian_blur(mask: F32, sigma: float) -> F32:
    """Return (h, w, ...) float32 blurred by `sigma` pixels (0.4 at least)."""
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.4)), np.float32)


def blend(base: F32, layer: F32, alpha: F32) -> F32:
    """Return (h, w, 3) float32: `layer` over `base` by `alpha` (h, w) 0..1."""
    return np.asarray(cv2.blendLinear(layer, base, alpha, 1 - alpha), np.float32)


def warp_mask(field: WarpField, eye: float, furthest: float) -> F32:
    """Return (height, width) float32 mask of the pixels that the base warp may change, feathered inwards.

    eye       eye distance in pixels
    furthest  the longest way that a vertex moves, pixels; under STILL_PIXELS the mask is zero
    """
    bordered = cv2.copyMakeBorder(field.inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    reach = cv2.distanceTransform(bordered, cv2.DIST_L2, 3)[1:-1, 1:-1] * field.scale
    soft = np.minimum(reach / max(0.08 * eye, 1.0), 1)
    soft *= min(max(furthest / STILL_PIXELS - 1, 0), 1)
    return field.enlarged(smoothstep(soft))


def edge_fade(field: WarpField, size: tuple[int, int]) -> F32:
    """Return (height, width) float32 that falls to 0 towards the edges of a crop of `size` (w, h)."""
    x, y = (_edge_profile(n) for n in size)
    return np.minimum.outer(y[field.y0 : field.y0 + field.height], x[field.x0 : field.x0 + field.width])


@lru_cache(maxsize=64)
def _edge_profile(length: int) -> F32:
    at = np.arange(length)
    return np.clip(np.minimum(at - 1, length - 2 - at) / max(EDGE * length, 1), 0, 1).astype(np.float32)


def lip_region(target: F32, field: WarpField, eye: float) -> WarpField:
    """Return the part of a field in which lips are painted: up to the outer edge of the ring of skin around them."""
    reach = (LIP_MARGIN + RING_WIDTH) * eye + 2
    return field.cut(target[OUTER_LIPS].min(0) - reach, target[OUTER_LIPS].max(0) + reach)


def lip_masks(target: F32, field: WarpField, eye: float) -> tuple[F32, F32]:
    """Return the feathered mask of the lips and the ring of skin around it, (height, width) float32 each."""
    outline = target[OUTER_LIPS]
    outwards = outward_normals(outline) * np.float32(eye)
    core, outer, inner = (
        polygon_mask(outline + outwards * share, field) for share in (LIP_MARGIN, LIP_MARGIN + RING_WIDTH, 0.02)
    )
    return gaussian_blur(core, 0.4 * LIP_MARGIN * eye), np.asarray(np.maximum(outer - inner, 0), np.float32)


def mouth_mask(target: F32, field: WarpField, eye: float) -> F32:
    """Return (height, width) float32, the softened mask of the open mouth."""
    return gaussian_blur(polygon_mask(target[INNER_LIPS], field), 0.01 * eye)


def one_inside(share: float, inside: F32) -> F32:
    """Return (h, w) float32 by which to blend two pictures of lips: `share`, but all of one in the mouth's `inside`.

    Two insides blended would show teeth through teeth.
    """
    return np.asarray(share + (round(share) - share) * inside, np.float32)


def mouth_shade(target: F32, field: WarpField, eye: float) -> F32:
    """Return (height, width) float32, the illumination 0..1 of the open mouth.

    The lips' shadow darkens the rim, most of all under the upper lip: light comes from above.
    """
    sharp = polygon_mask(target[INNER_LIPS], field)
    reach = cv2.distanceTransform((sharp > 0.5).astype(np.uint8), cv2.DIST_L2, 3) / (SHADOW * eye)
    fall = np.array([[1, 0, 0], [0, 1, 0.5 * SHADOW * eye]], np.float32)
    under = cv2.warpAffine(gaussian_blur(sharp, 0.3 * SHADOW * eye), fall, sharp.shape[::-1])
    light = RIM_LIGHT + (1 - RIM_LIGHT) * np.clip(reach, 0, 1)
    return np.asarray(light * (0.75 + 0.25 * under), np.float32)


def smooth_rim(mouth: F32, target: F32, field: WarpField, eye: float, share: float) -> F32:
    """Return `mouth` with the inner edge of its lips smoothed.

    Where closed lips are drawn open, the line between them is stretched into a ragged edge, mostly at the corners.

    mouth  (h, w, 3) float32 · target  (468, 2) mesh in the crop's pixels · share  0..1, how much of it to apply
    """
    edge, reach = target[INNER_LIPS], 3 * RIM * eye
    part = field.cut(edge.min(0) - reach, edge.max(0) + reach)
    rim = line_mask(edge, part, max(1, round(2 * RIM * eye)), closed=True)
    soft = gaussian_blur(share * rim, 0.5 * RIM * eye)
    view = part.within(field)
    out: F32 = mouth.copy()
    out[view] = blend(mouth[view], gaussian_blur(mouth[view], RIM * eye), soft)
    return out


def seal_lips(mouth: F32, target: F32, field: WarpField, eye: float, shut: float) -> F32:
    """Return `mouth` without the thin line of teeth that the warp leaves where closed lips meet.

    A morphological opening removes what is bright and thinner than SEALED to either side.

    mouth  (h, w, 3) float32 · target  (468, 2) mesh in the crop's pixels · shut  0..1, how much of it to apply
    """
    reach = math.ceil(SEALED * eye)
    line = line_mask(target[INNER_UPPER_LIP], field, 2 * reach + 1, closed=False)
    soft = gaussian_blur(shut * line, 0.5 * reach)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 3,) * 2)
    return blend(mouth, np.asarray(cv2.morphologyEx(mouth, cv2.MORPH_OPEN, kernel), np.float32), soft)


def match_brightness(layer: F32, base: F32, ring: F32) -> F32:
    """Return `layer` (h, w, 3) with a smooth gain that matches its brightness to `base` within `ring` (h, w)."""
    scale = MATCH_PIXELS / max(ring.shape)
    size = (max(2, round(ring.shape[1] * scale)), max(2, round(ring.shape[0] * scale)))

    def small(image: F32) -> F32:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)

    weight = small(ring)[..., None]
    sigma = MATCH_PIXELS / 6
    above = gaussian_blur(small(base) * weight, sigma)
    below = gaussian_blur(small(layer) * weight, sigma)
    floor = 1e-3 * max(float(weight.max()), 1e-6)
    gain = np.clip((above + floor) / (below + floor), 1 / GAIN_LIMIT, GAIN_LIMIT)
    return layer * cv2.resize(gain, ring.shape[::-1], interpolation=cv2.INTER_LINEAR)
