"""Renders one frame: warps the face to the target mouth, lays the texture bank's lips over it, draws the inside."""

from __future__ import annotations

import cv2
import numpy as np

from ...face.mesh_indices import (
    INNER_LIPS,
    INNER_LOWER_LIP,
    INNER_LOWER_LIP_MIDDLE,
    INNER_UPPER_LIP,
    INNER_UPPER_LIP_MIDDLE,
    OUTER_UPPER_LIP_MIDDLE,
)
from ...face.mouth_params import OPEN, UPPER
from ...face.pose import Pose, eye_distance, face_shape
from ...scene import F32, Crop, Patch
from ..base import AnalysisData
from . import masks, mouth_interior, warp
from .mouth_plan import SHUT, MouthPlan

GAP_PROFILE = np.array([0, 0.3, 0.6, 0.82, 0.95, 1, 0.95, 0.82, 0.6, 0.3, 0], np.float32)
"""Gap of each column of the inner lips over the middle one's."""
OWN_PROFILE = 0.25
"""How far the presenter's own profile may depart from it, as a share of the gap."""
OPAQUE = 0.9
"""From this share on the texture bank's lips hide those below."""
SKIN = np.array([50, 280, 205, 425, 117, 346])
"""Mesh points on the cheeks where the colour of the light is measured."""


class FrameRenderer:
    """Renders the frames of one video with the textures of its analysis data."""

    def __init__(self, data: AnalysisData, plan: MouthPlan) -> None:
        """`data`: of MeshEngine.analyse_video; `plan`: of `plan_mouths`."""
        self._textures = data["textures"]
        self._texture_points = data["texture_points"]
        self._plan = plan
        self._face = data["face"]
        lent = self._face[data["texture_frames"]]
        self._teeth = [
            mouth_interior.seen_teeth(self._textures[lent == face], self._texture_points[lent == face])
            for face in range(len(data["closed_mouth"]))
        ]

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
        target = retarget(points, pose, plan.change[crop.output], max(opening, 0.0))
        depth = warp.TOOTH_DEPTH * warp.gaps(target)
        before = warp.vertices(points[:, :2], depth)
        after = warp.vertices(target, depth, anchored=points[:, :2])
        height, width = crop.image.shape[:2]
        field = warp.rasterize(after, (width, height))
        mask = masks.warp_mask(field, eye, float(np.abs(after - before).max()))
        part = masks.lip_region(target, field, eye)
        view = part.within(field)
        share = float(plan.texture_share[crop.output])
        # Lips move against each other: they need the fine cells, unless others are laid over them.
        image = warp.sample(crop.image, field.coarser(), before - after, part if share <= OPAQUE else None)
        mouth = image[view]
        inside = masks.mouth_mask(target, part, eye)
        if share > 0.01:
            soft, ring = masks.lip_masks(target, part, eye)
            layer = self._texture_lips(crop.output, part.filled(), after, depth, eye, inside)
            layer = masks.match_brightness(layer, mouth, ring)
            mouth = masks.blend(mouth, layer, soft * masks.one_inside(share, inside))
            mask[view] = np.maximum(mask[view], min(share * 4, 1) * soft)
        drawn = min(max(opening / SHUT - 1, 0), 1) * (1 - float(plan.real_inside[crop.output]))
        if drawn > 0.01:
            mouth = masks.smooth_rim(mouth, target, part, eye, drawn)
            line = float(plan.closed[crop.source, UPPER]) + lip_height(pose.to_face(points[None])[0])
            mouth = self._with_drawn_inside(mouth, crop, pose, line, part, target, drawn * inside)
        shut = min(max(2 - opening / SHUT, 0), 1)
        image[view] = masks.seal_lips(mouth, target, part, eye, shut) if shut else mouth
        return _patch(crop, field, image, mask)

    def _texture_lips(self, output: int, field: warp.WarpField, after: F32, depth: F32, eye: float, inside: F32) -> F32:
        """Return the texture bank's lips in the field's region, (h, w, 3). A change of texture is a cross-fade.

        inside  (h, w) mask of the open mouth
        """

        def lips(entry: int) -> F32:
            points = self._texture_points[entry]
            moves = warp.vertices(points, depth * float(eye_distance(points)) / eye) - after
            return warp.sample(self._textures[entry], field, moves)

        plan, choice = self._plan, int(self._plan.texture_choice[output])
        near = slice(max(0, output - plan.texture_fade), output + plan.texture_fade + 1)
        span = plan.texture_choice[near][plan.shot[near] == plan.shot[output]]
        others, counts = np.unique(span[span != choice], return_counts=True)
        if not len(others):
            return lips(choice)
        share = counts.max() / (len(span) - counts.sum() + counts.max())
        return masks.blend(lips(choice), lips(int(others[counts.argmax()])), masks.one_inside(float(share), inside))

    def _with_drawn_inside(
        self, image: F32, crop: Crop, pose: Pose, line: float, field: warp.WarpField, target: F32, alpha: F32
    ) -> F32:
        """Return `image` (h, w, 3) with the drawn inside of the mouth over it, by `alpha` (h, w).

        line  height of the closed mouth in the mean face's frame, eye distances
        """
        low, high = target[INNER_LIPS].min(0), target[INNER_LIPS].max(0)
        part = field.cut(low - 2, high + 2)
        lowered = mouth_interior.lowered_by(target[INNER_LOWER_LIP_MIDDLE], pose, line)
        size = (part.width, part.height)
        teeth, tongue = self._teeth[self._face[crop.source]], float(self._plan.tongue[crop.output])
        inside = mouth_interior.draw(lowered, pose, line, (part.x0, part.y0), size, teeth, tongue)
        spots = np.clip(target[SKIN].astype(int), 0, (crop.image.shape[1] - 1, crop.image.shape[0] - 1))
        light = mouth_interior.light_colour(np.median(crop.image[spots[:, 1], spots[:, 0]], 0))
        shade = masks.mouth_shade(target, part, float(pose.scale[0]))
        view = part.within(field)
        image[view] = masks.blend(image[view], inside * light * shade[..., None], alpha[view])
        return image


def _patch(crop: Crop, field: warp.WarpField, image: F32, mask: F32) -> Patch:
    """Return the crop with a field's region replaced, and the region's mask in the whole of it."""
    h, w = crop.image.shape[:2]
    out, full_mask = crop.image.copy(), np.zeros((h, w), np.float32)
    area = np.s_[field.y0 : field.y0 + field.height, field.x0 : field.x0 + field.width]
    _, positive = cv2.threshold(image, 0, 0, cv2.THRESH_TOZERO)  # in half the time of np.maximum
    out[area] = cv2.convertScaleAbs(positive)
    # Blurred and enlarged ones are rounded to a little more.
    _, full_mask[area] = cv2.threshold(mask * masks.edge_fade(field, (w, h)), 1, 1, cv2.THRESH_TRUNC)
    return Patch(crop.output, out, full_mask)


def lip_height(shape: F32) -> float:
    """Return how far the upper lip's inner edge lies below its outer one, eye distances.

    shape  (468, 3) mesh in the mean face's frame
    """
    y = shape[:, 1]
    return float(y[INNER_UPPER_LIP_MIDDLE] - y[OUTER_UPPER_LIP_MIDDLE].mean())


def retarget(points: F32, pose: Pose, change: F32, gap: float) -> F32:
    """Return the (468, 2) float32 points of a mesh whose mouth has changed.

    points  (468, 3) float32 in the crop's pixels
    change  (5,) float32 of the mouth parameters, eye distances
    gap     between the inner lips afterwards, eye distances
    """
    modes = face_shape()["modes"]
    moves = (change @ modes.reshape(len(modes), -1)).reshape(1, -1, 3)
    shape = pose.to_face(points[None])[0] + moves[0]
    wanted = gap * GAP_PROFILE
    seen = shape[INNER_LOWER_LIP, 1] - shape[INNER_UPPER_LIP, 1]
    wanted = wanted + np.clip(seen - wanted, -OWN_PROFILE * wanted, OWN_PROFILE * wanted)
    moves[0, INNER_UPPER_LIP[1:-1], 1] -= ((wanted - seen) / 2)[1:-1]
    moves[0, INNER_LOWER_LIP[1:-1], 1] += ((wanted - seen) / 2)[1:-1]
    return np.asarray(points[:, :2] + pose.vectors_to_picture(moves)[0, :, :2], np.float32)
