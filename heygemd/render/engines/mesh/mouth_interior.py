"""The inside of a mouth in three dimensions, for presenters who never open theirs in the video: teeth, gums, tongue.

The mesh is ICT-FaceKit's (Li et al. 2020) in the mean face's frame: upper teeth stand still with the skull, lower ones
and the tongue move with the jaw. It is lit through the gap between the lips and rasterized with the head's pose.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ....weights.bundled import tensors
from ...easing import smoothstep
from ...face.mesh_indices import INNER_LIPS, INNER_LOWER_LIP_MIDDLE, INNER_UPPER_LIP_MIDDLE
from ...face.pose import Pose, eye_distance
from ...scene import F32

SOCKET, GUMS, TEETH, TONGUE = range(4)
Colour = tuple[float, float, float]
"""BGR, where skin has brightness 1."""
USUAL_TEETH: Colour = (0.63, 0.74, 1.0)
ALBEDO_BGR = np.array([[0.14, 0.16, 0.38], [0.40, 0.43, 0.74], USUAL_TEETH, [0.42, 0.45, 0.82]], np.float32)
"""Of the socket, gums, teeth and tongue, where skin has brightness 1."""
SEEN_GAP, SEEN_WHITENESS = 0.04, 0.63
"""Gap between the lips, eye distances, from which they may show teeth; share of blue in their red, which lips lack."""
CHEEKS = np.array([205, 425])
"""Mesh points beside the mouth, which every texture shows."""
SKIN_BGR, HUES = np.array([0.62, 0.74, 1.0], np.float32), (0.5, 1.5)
"""Skin of brightness 1 in the light for which the colours are meant, and how far other skin may depart from it."""
TEETH_EDGE = 0.785
"""The lower edge of the mesh's upper teeth, eye distances below the eye line."""
TEETH_SHOWN = 0.035
"""How far it reaches below the closed mouth's line."""
FULL_JAW, LOWER_EDGE = 0.38, 0.022
"""How far the mesh's lower teeth go down when the jaw is open all the way, and how far their edge lies below the closed
mouth's line with the jaw closed, eye distances."""
SHOWN_FROM, SHOWN_SHARE, MOST_SHOWN = 0.04, 0.4, 0.05
"""A lower lip that is lowered by more than the first, eye distances, uncovers lower teeth by this share of the rest, at
most by the third: as people do who talk."""
LOWER_TEETH_Z, JAW_BACK = -0.19, 0.65
"""Their depth, and how far the opening jaw takes them back, as a share of how far down: to a camera above or below they
move against the lips."""
TONGUE_SHARE = 0.8
"""The tongue of one who speaks stays higher than the jaw carries it, by this share of its way."""
TIP_FORWARD, TIP_WIDENED = 0.07, 1.8
"""How much further forward, eye distances, and how many times as wide the tip of the tongue is than the shipped mesh's.
That one lies back in the mouth, and behind it the inner sides of the molars are seen when the head turns."""
TONGUE_ROOT_Z, TONGUE_HALF_WIDTH = 0.35, 0.2
"""From this depth on the tongue is the mesh's; it is made no wider than the arch of the teeth."""
TIP_RAISED = np.array([0, 0.78, -0.165], np.float32)
"""The tip of the tongue in t, d, n, l and th, whatever the jaw does: behind the edge of the upper incisors."""
TIP_LENGTH, TIP_REACH = 0.08, 0.25
"""How far behind and below its tip the tongue rises as far as it, and from where on it stays, eye distances."""
LIPS_Z, TEETH_Z, HALF_WIDTH = -0.29, -0.2, 0.2
"""Depth of the lips and of the front teeth, and half the width of the gap between the lips, eye distances."""
SCATTER = 0.025
"""Half the height by which lips, which are translucent, let in more light than their gap."""
BOUNCE, BOUNCE_DEPTH_BGR = 1.1, np.array([0.22, 0.22, 0.3], np.float32)
"""Light from all sides, and the depth behind the front teeth at which it has fallen to 1/e. It turns red: the
deeper, the more often it was reflected by the mouth."""
DARKEST_BGR = np.array([0.06, 0.07, 0.18], np.float32)
"""What no light reaches is not black: cheeks and lips, through which it shines, are red."""
WET, SHININESS = 0.1, 30
HUE_KEPT = 0.4
"""Bright teeth whiten as their red is clipped; with all of it clipped they would be blue beside the skin, with none
yellow."""
STEP = 0.003
"""The inside is lit in steps of this many eye distances, less than a pixel for most faces."""
SOFTNESS = 0.005
"""Sigma of the blur that takes away the edges that no camera sees so sharp, eye distances."""
RASTER_PIXELS, MAX_SUPERSAMPLING = 16000, 2.0
"""A larger picture is drawn in so many pixels and enlarged: it is soft, and more pixels take much longer."""
CAMERA = 20
"""Distance of the camera over the picture's longer side: far, as the tracker's meshes have no perspective."""


class InteriorMesh(NamedTuple):
    """The mesh, in the mean face's frame.

    points     (n, 3) float32, the mouth closed · jaw  (n, 3) float32, displacements with the jaw open all the way
    triangles  (m, 3) int32 · kind  (n,) uint8, SOCKET, GUMS, TEETH or TONGUE
    """

    points: F32
    jaw: F32
    triangles: NDArray[np.int32]
    kind: NDArray[np.uint8]


@cache
def mesh() -> InteriorMesh:
    """Return the shipped mesh with the tongue of one who talks: it fills the arch of the lower teeth."""
    shipped = shipped_mesh()
    points, tongue = shipped.points.copy(), shipped.kind == TONGUE
    x, _, z = points[tongue].T
    share = np.clip((TONGUE_ROOT_Z - z) / (TONGUE_ROOT_Z - z.min()), 0, 1)
    wide = np.minimum(np.abs(x) * (1 + (TIP_WIDENED - 1) * share), TONGUE_HALF_WIDTH)
    points[tongue, 0] = np.copysign(np.maximum(np.abs(x), wide), x)
    points[tongue, 2] -= TIP_FORWARD * share
    return shipped._replace(points=points)


def shipped_mesh() -> InteriorMesh:
    """Read the shipped mesh."""
    found = tensors("mouth_interior.safetensors")
    points, jaw = (found[name].astype(np.float32) for name in ("points", "jaw"))
    return InteriorMesh(points, jaw, found["triangles"].astype(np.int32), found["kind"])


def light_colour(skin_bgr: NDArray[np.floating]) -> F32:
    """Return (3,) float32 BGR by which to multiply `draw`'s image; half of the skin's hue is taken for the light's.

    skin_bgr  (3,) 0..255, colour of skin in the frame
    """
    brightest = max(float(skin_bgr.max()), 1.0)
    return np.asarray(brightest * np.sqrt(np.clip(skin_bgr / brightest / SKIN_BGR, *HUES)), np.float32)


def seen_teeth(textures: NDArray[np.uint8], points: F32) -> Colour:
    """Return the colour of the teeth that textures show between the lips, the usual one where they show none.

    textures  (K, side, side, 3) uint8 BGR · points  (K, 468, 2) float32 mesh points in them, pixels
    """
    found = []
    for picture, corners in zip(textures, points, strict=True):
        gap = corners[INNER_LOWER_LIP_MIDDLE, 1] - corners[INNER_UPPER_LIP_MIDDLE, 1]
        if gap > SEEN_GAP * float(eye_distance(corners)):
            mask = np.zeros(picture.shape[:2], np.uint8)
            cv2.fillPoly(mask, [np.round(corners[INNER_LIPS]).astype(np.int32)], 1)
            columns, rows = np.clip(corners[CHEEKS].astype(int), 0, len(picture) - 1).T
            light = light_colour(np.median(picture[rows, columns], 0))
            found.append(np.percentile(picture[mask > 0], 90, axis=0) / light)
    if not found:
        return USUAL_TEETH
    blue, green, red = (float(value) for value in np.clip(np.median(found, 0), 0, 1))
    return (blue, green, red) if blue > SEEN_WHITENESS * red else USUAL_TEETH


@lru_cache(maxsize=64)
def _lit(steps: int, teeth: Colour) -> tuple[F32, F32]:
    """Return (n, 3) positions in the mean face's frame and (n, 3) BGR colours 0..1 of a mouth.

    steps  by which the lower lip is lowered, each of STEP · teeth  their colour
    """
    lowered, kind = steps * STEP, mesh().kind
    jaw = jaw_share(lowered)
    carried = np.where(kind == TONGUE, TONGUE_SHARE * jaw, jaw).astype(np.float32)
    points = np.asarray(mesh().points + carried[:, None] * mesh().jaw, np.float32)
    albedo = ALBEDO_BGR[kind]
    albedo[kind == TEETH] = teeth
    normals = _normals(points, mesh().triangles)
    normals[kind == SOCKET] *= -1
    # The lower lip goes back with the jaw, but less.
    back = np.asarray((mesh().points[:, 2] + points[:, 2]) / 2, np.float32)
    return points, _shade(points, normals, back, albedo, kind >= TEETH, lowered)


def _shade(points: F32, normals: F32, back: F32, albedo: F32, wet: NDArray[np.bool_] | np.bool_, lowered: float) -> F32:
    """Return (k, 3) float32 BGR colours 0..1 of (k, 3) points; `wet` ones shine.

    back  (k,) their depth as seen from the lips, eye distances

    Light comes through the gap between the lips, as through a disc (its form factor, to the nearest point of it).
    """
    gap = np.array([HALF_WIDTH, max(lowered / 2, 0.004)])
    centre = np.array([0, TEETH_EDGE - TEETH_SHOWN + lowered / 2, LIPS_Z])
    aside = (points - centre)[:, :2] / (0.8 * gap)
    aside *= 0.8 * gap / np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1)
    way = np.tile(centre, (len(points), 1))
    way[:, :2] += aside
    way -= points
    distance = np.linalg.norm(way, axis=1)
    way /= distance[:, None]
    area = np.pi * HALF_WIDTH * (lowered / 2 + SCATTER)
    facing = np.clip(0.4 + 0.6 * (normals * way).sum(1), 0, 1) * np.clip(-way[:, 2], 0, 1)
    direct = area * facing / (0.8 * np.pi * distance**2 + area)
    depth = np.maximum(back - TEETH_Z, 0)
    bounced = BOUNCE * (0.55 + 0.45 * min(1.0, lowered / 0.12)) * np.clip(0.65 - 0.35 * normals[:, 2], 0.2, 1)
    light = 0.5 * direct[:, None] + bounced[:, None] * np.exp(-depth[:, None] / BOUNCE_DEPTH_BGR)
    colours = DARKEST_BGR + (1 - DARKEST_BGR) * albedo * light
    mirrored = np.clip(normals @ np.array([0, -0.35, -0.937]), 0, 1) ** SHININESS
    colours += (WET * direct * mirrored * wet)[:, None]
    clipped = np.clip(colours, 0, 1)
    hue = colours / np.maximum(colours.max(1, keepdims=True), 1)
    return np.asarray(clipped + HUE_KEPT * (hue - clipped), np.float32)


class TonguePart(NamedTuple):
    """The part of the mesh that rises with the tip of the tongue.

    vertices   (l,) int64 of the mesh, the tip first; the last ones lie around the part and stay
    share      (k, 1) float32, how far each of the others rises with the tip, 1..0
    triangles  (j, 3) int32 of `vertices`
    """

    vertices: NDArray[np.int64]
    share: F32
    triangles: NDArray[np.int32]


@cache
def _tongue() -> TonguePart:
    tongue = np.flatnonzero(mesh().kind == TONGUE)
    shape = mesh().points[tongue]
    below, behind = (shape - shape[shape[:, 2].argmin()])[:, 1:].T
    away = np.hypot(behind, np.maximum(below, 0))
    order = np.argsort(away)[: int((away < TIP_REACH).sum())]
    near = smoothstep((TIP_REACH - away[order, None]) / (TIP_REACH - TIP_LENGTH))
    triangles = mesh().triangles[np.isin(mesh().triangles, tongue[order]).any(1)]
    vertices = np.concatenate([tongue[order], np.setdiff1d(triangles, tongue[order])])
    local = np.zeros(len(mesh().points), np.int32)
    local[vertices] = np.arange(len(vertices))
    return TonguePart(vertices, near.astype(np.float32), local[triangles])


def raise_tongue(points: F32, colours: F32, share: float, lowered: float) -> tuple[F32, F32]:
    """Return `_lit`'s (n, 3) positions and colours with the tip of the tongue raised by `share`, 0..1."""
    part = _tongue()
    raised, around = part.vertices[: len(part.share)], points[part.vertices]
    around[: len(raised)] += share * part.share * (TIP_RAISED - around[0])
    normals = _normals(around, part.triangles)[: len(raised)]
    points, colours = points.copy(), colours.copy()
    points[raised] = around[: len(raised)]
    colours[raised] = _shade(points[raised], normals, points[raised, 2], ALBEDO_BGR[TONGUE], np.True_, lowered)
    return points, colours


def jaw_share(lowered: float) -> float:
    """Return how far the mesh's jaw is open, 1 all the way; `lowered` as for `draw`."""
    return float(np.clip((lowered - _lowered_with_jaw_shut(lowered)) / FULL_JAW, 0, 1.2))


def _lowered_with_jaw_shut(lowered: float) -> float:
    """Return by how much a lower lip would be lowered that shows as much of the lower teeth, but with the jaw shut."""
    return LOWER_EDGE + float(np.clip(SHOWN_SHARE * (lowered - SHOWN_FROM), 0, MOST_SHOWN))


def _normals(points: F32, triangles: NDArray[np.int32]) -> F32:
    """Return (n, 3) unit normals of (m, 3) triangles at their (n, 3) points, outwards of what is solid."""
    columns = triangles.T
    first, second, third = points[columns]
    across = np.cross(second - first, third - first)
    summed = np.zeros_like(points)
    for column in columns:
        np.add.at(summed, column, across)
    return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9), np.float32)


def lowered_by(lip: F32, pose: Pose, line: float) -> float:
    """Return how far a lower lip lies below the closed mouth's line, eye distances, as seen against the lower teeth.

    lip  (2,) pixels, the middle of its inner edge · pose, line  as for `draw`
    """
    axes = np.array([[[0, line, LOWER_TEETH_Z], [0, 1, 0], [0, 0, 1]]], np.float32)
    start, down, back = pose.vectors_to_picture(axes)[0, :, :2]
    lowered = float((lip - start - pose.translation[0, :2]) @ down / (down @ down))
    by_jaw = lowered - (shut := _lowered_with_jaw_shut(lowered))
    return max(0.0, shut + by_jaw / (1 + JAW_BACK * float(back @ down / (down @ down))))


def draw(
    lowered: float, pose: Pose, line: float, corner: tuple[int, int], size: tuple[int, int],
    teeth: Colour = USUAL_TEETH, tongue: float = 0.0,
) -> F32:  # fmt: skip
    """Return (h, w, 3) float32 BGR 0..1, the inside of a mouth where the head is and where skin has brightness 1.

    lowered  of `lowered_by`
    pose     of one frame
    line     height of the closed mouth in the mean face's frame, eye distances
    corner   (x, y) of the region in pixels · size  its (width, height)
    teeth    their colour, of `seen_teeth`
    tongue   how far its tip is raised, 0..1
    """
    steps = round(lowered / STEP)
    points, colours = _lit(steps, teeth)
    if tongue > 0.01:
        points, colours = raise_tongue(points, colours, tongue, steps * STEP)
    points = points + np.array([0, line + TEETH_SHOWN - TEETH_EDGE, 0], np.float32)
    over = min(MAX_SUPERSAMPLING, (RASTER_PIXELS / (size[0] * size[1])) ** 0.5)
    width, height = (max(2, round(n * over)) for n in size)
    seen = pose.vectors_to_picture(points[None])[0] + pose.translation[0] - np.array([*corner, 0], np.float32)
    seen *= np.array([width / size[0], height / size[1], over], np.float32)
    drawn = rasterize(seen, mesh().triangles, colours, width, height, behind=DARKEST_BGR)
    soft = cv2.GaussianBlur(drawn, (0, 0), max(SOFTNESS * over * float(pose.scale[0]), 0.3))
    smooth = cv2.INTER_AREA if over > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(soft, size, interpolation=smooth), np.float32)


def rasterize(
    points: F32, triangles: NDArray[np.int32], colours: F32, width: int, height: int,
    shading: int = cv2.RASTERIZE_SHADING_SHADED, behind: float | F32 = 0.0,
) -> F32:  # fmt: skip
    """Return (height, width, 3) float32, `behind` where no triangle is.

    points   (n, 3) in pixels, z away from the viewer · triangles  (m, 3) int32 · colours  (n, 3) float32 0..1
    shading  whether OpenCV interpolates between a triangle's corners or gives it its first one's colour
    """
    away = float(CAMERA * max(width, height))
    near, far = 0.9 * away, 1.5 * away
    x, y, z = points.T
    vertices = np.stack([x - width / 2, height / 2 - y, z.min() - z - away], 1).astype(np.float32)
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(shading)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    picture, _ = cv2.triangleRasterize(
        vertices, triangles, colours, np.full((height, width, 3), behind, np.float32),
        np.full((height, width), far, np.float32), np.eye(4, dtype=np.float32),
        float(2 * np.arctan(height / 2 / away)), near, far, settings,
    )  # fmt: skip
    return np.asarray(picture, np.float32)
