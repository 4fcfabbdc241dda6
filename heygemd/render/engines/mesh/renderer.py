"""Renders one frame: warps the face to the target mouth, lays the texture bank's lips over it, paints the inside."""

from __future__ import annotations

import cv2
import numpy as np

from ...face.mesh_indices import INNER_LOWER_LIP, INNER_UPPER_LIP
from ...face.mouth_params import OPEN, UPPER
from ...face.pose import Pose, eye_distance, face_shape
from ...scene import F32, Crop, Patch
from ..base import AnalysisData
from . import masks, mouth_interior, warp
from .mouth_plan import MouthPlan

GAP_PROFILE = np.array([0, 0.3, 0.6, 0.82, 0.95, 1, 0.95, 0.82, 0.6, 0.3, 0], np.float32)
"""Gap of each column of the inner lips over the middle one's."""
OWN_PROFILE = 0.25
"""How far the presenter's own profile may depart from it, as a share of the gap."""
REAL_FROM, REAL_FULL = 0.4, 0.7
"""A texture's own mouth must be open by this share of the target's for its inside to be used: not at all, fully."""
INSIDE_FROM, INSIDE_FULL = 0.025, 0.045
"""A mouth open by less than the first, in eye distances, has no inside worth stretching; from the second on it has."""
SHUT = 0.012
"""A mouth open by less, in eye distances, shows no inside."""
OPAQUE = 0.9
"""From this share on the texture bank's lips hide those below."""
LIP_HEIGHT = 0.095
"""From the upper lip's outer edge to the closed mouth's line, eye distances."""
SKIN = np.array([50, 280, 205, 425, 117, 346])
"""Mesh points on the cheeks where the colour of the light is measured."""


class FrameRenderer:
    """Renders the frames of one video with the textures of its analysis data."""

    def __init__(self, data: AnalysisData, plan: MouthPlan) -> None:
        """`data`: of MeshEngine.analyse_video; `plan`: of `plan_mouths`."""
        self._textures = data["textures"]
        self._texture_points = data["texture_points"]
        self._plan = plan

    def render(self, crop: Crop, points: F32) -> Patch:
        """Return the new pixels of one crop; `points` (468, 3) float32 is its mesh in full-size pixels."""
        plan = self._plan
        corner = np.array((*crop.box[:2], 0), np.float32)
        points = points - corner
        scale, rotation, translation = (rows[crop.source][None] for rows in plan.pose)
        pose = Pose(scale, rotation, translation - corner)
        eye = float(pose.scale[0])
        wanted = plan.target[crop.output]
        opening = float(wanted[OPEN])
        target = retarget(points, pose, wanted - plan.own[crop.source], max(opening, 0.0))
        depth = warp.TOOTH_DEPTH * warp.gaps(target)
        before = warp.vertices(points[:, :2], depth)
        after = warp.vertices(target, depth, anchored=points[:, :2])
        height, width = crop.image.shape[:2]
        field = warp.rasterize(after, (width, height))
        image = warp.sample(crop.image, field.coarser(), before - after)
        mask = masks.warp_mask(field, eye, float(np.abs(after - before).max()))
        part = masks.lip_region(target, field, eye)
        view = part.within(field)
        real = real_share(plan.own[crop.source, OPEN], wanted[OPEN])
        share = float(plan.texture_share[crop.output])
        # Lips move against each other: they need the fine cells, unless others are laid over them.
        mouth = image[view] if share > OPAQUE else warp.sample(crop.image, part, before - after)
        if share > 0.01:
            soft, ring = masks.lip_masks(target, part, eye)
            layer, layer_real = self._texture_lips(crop.output, part.filled(), after, depth, eye)
            mouth = masks.blend(mouth, masks.match_brightness(layer, mouth, ring), share * soft)
            real += share * (layer_real - real)
            mask[view] = np.maximum(mask[view], min(share * 4, 1) * soft)
        painted = float(np.clip(opening / SHUT - 1, 0, 1)) * (1 - real)
        if painted > 0.01:
            mouth = self._with_painted_inside(mouth, crop, pose, part, target, painted)
        shut = float(np.clip(2 - opening / SHUT, 0, 1))
        image[view] = masks.seal_lips(mouth, target, part, shut) if shut else mouth
        return _patch(crop, field, image, mask)

    def _texture_lips(
        self, output: int, field: warp.WarpField, after: F32, depth: F32, eye: float
    ) -> tuple[F32, float]:
        """Return the texture bank's lips in the field's region, (h, w, 3), and how real their inside is, 0..1."""
        plan = self._plan
        span = plan.texture_choice[max(0, output - plan.texture_fade) : output + plan.texture_fade + 1]
        entries, counts = np.unique(span, return_counts=True)
        order = np.argsort(-counts)[:2]
        share = counts[order] / counts[order].sum()
        layer, real = np.zeros((field.height, field.width, 3), np.float32), 0.0
        for entry, part in zip(entries[order], share, strict=True):
            points = self._texture_points[entry]
            scale = float(eye_distance(points)) / eye
            moves = warp.vertices(points, depth * scale) - after
            layer += np.float32(part) * warp.sample(self._textures[entry], field, moves)
            real += float(part) * real_share(plan.texture_open[entry], plan.target[output, OPEN])
        return layer, real

    def _with_painted_inside(
        self, image: F32, crop: Crop, pose: Pose, field: warp.WarpField, target: F32, weight: float
    ) -> F32:
        """Return `image` with the painted inside of the mouth over it, by `weight` 0..1."""
        open_by = float(self._plan.target[crop.output, OPEN])
        line = float(self._plan.closed[crop.source, UPPER]) + LIP_HEIGHT
        size = (field.width, field.height)
        inside = mouth_interior.place(mouth_interior.paint(open_by), pose, line, (field.x0, field.y0), size)
        spots = np.clip(target[SKIN].astype(int), 0, (crop.image.shape[1] - 1, crop.image.shape[0] - 1))
        light = mouth_interior.light_colour(np.median(crop.image[spots[:, 1], spots[:, 0]], 0))
        mask, shade = masks.mouth_masks(target, field, float(pose.scale[0]))
        return masks.blend(image, inside * light * shade[..., None], weight * mask)


def _patch(crop: Crop, field: warp.WarpField, image: F32, mask: F32) -> Patch:
    """Return the crop with a field's region replaced, and the region's mask in the whole of it."""
    h, w = crop.image.shape[:2]
    out, full_mask = crop.image.copy(), np.zeros((h, w), np.float32)
    area = np.s_[field.y0 : field.y0 + field.height, field.x0 : field.x0 + field.width]
    out[area] = cv2.convertScaleAbs(np.maximum(image, 0))
    full_mask[area] = mask * masks.edge_fade(field, (w, h))
    return Patch(crop.output, out, full_mask)


def real_share(opened: float, wanted: float) -> float:
    """Return 0..1, how far a texture open by `opened` can show the inside of a mouth open by `wanted` eye distances."""
    opened, wanted = float(opened), float(wanted)
    reaches = (opened / max(wanted, SHUT) - REAL_FROM) / (REAL_FULL - REAL_FROM)
    # A mouth that closes shows what is left of its own inside, however little that is.
    shows = max((opened - INSIDE_FROM) / (INSIDE_FULL - INSIDE_FROM), 1 + (opened - wanted) / SHUT)
    return float(np.clip(reaches, 0, 1) * np.clip(shows, 0, 1))


def retarget(points: F32, pose: Pose, change: F32, gap: float) -> F32:
    """Return the (468, 2) float32 points of a mesh whose mouth has changed.

    points  (468, 3) float32 in the crop's pixels
    change  (5,) float32 of the mouth parameters, eye distances
    gap     between the inner lips afterwards, eye distances
    """
    moves = np.tensordot(change, face_shape()["modes"], 1)[None].astype(np.float32)
    shape = pose.to_face(points[None])[0] + moves[0]
    wanted = gap * GAP_PROFILE
    seen = shape[INNER_LOWER_LIP, 1] - shape[INNER_UPPER_LIP, 1]
    wanted = wanted + np.clip(seen - wanted, -OWN_PROFILE * wanted, OWN_PROFILE * wanted)
    moves[0, INNER_UPPER_LIP[1:-1], 1] -= ((wanted - seen) / 2)[1:-1]
    moves[0, INNER_LOWER_LIP[1:-1], 1] += ((wanted - seen) / 2)[1:-1]
    return np.asarray(points[:, :2] + pose.vectors_to_picture(moves)[0, :, :2], np.float32)
