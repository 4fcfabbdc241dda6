"""Paints one frame: the base warp, the palette's lips over it, and the painted inside where no texture has one."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...face.mesh_indices import INNER_LOWER_LIP, INNER_UPPER_LIP
from ...face.mouth_params import OPEN
from ...face.pose import Pose, eye_distance, face_shape
from ...scene import F32, Crop, Patch, Track
from ..base import Memo
from . import masks as blend
from . import mouth_interior, warp

GAP_PROFILE = np.array([0, 0.3, 0.6, 0.82, 0.95, 1, 0.95, 0.82, 0.6, 0.3, 0], np.float32)
"""Gap of each column of the inner lips over the middle one's."""
OWN_PROFILE = 0.25
"""How far a person's own profile may depart from it, as a share of the gap."""
REAL_FROM, REAL_FULL = 0.4, 0.7
"""A texture's own mouth must be open by this share of the target's for its inside to be used: not at all, fully."""
INSIDE_FROM, INSIDE_FULL = 0.025, 0.045
"""A mouth open by less than the first, in eye distances, has no inside worth stretching; from the second on it has."""
SHUT = 0.012
"""A mouth open by less, in eye distances, shows no inside."""
COVERED = 0.9
"""Where the palette's lips have this share, nothing is seen of those below."""
SKIN = np.array([50, 280, 205, 425, 117, 346])


class Plan(NamedTuple):
    """What to show, one row for each output frame (N) or source frame (T).

    target (N, 5) quantities · own, rest (T, 5) · pose of T frames · need (N,) 0..1 share of the palette's lips
    choice (N,) entry · blend  frames on either side over which a change of it is spread
    opened (K,) opening of each entry
    """

    target: F32
    own: F32
    rest: F32
    pose: Pose
    need: F32
    choice: NDArray[np.int16]
    blend: int
    opened: F32


class Painter:
    """Paints the frames of one video with the textures of its memo."""

    def __init__(self, memo: Memo, track: Track) -> None:
        self._texture = memo["texture"]
        self._points = memo["points"]
        self._track = track

    def patch(self, crop: Crop, plan: Plan, points: F32) -> Patch:
        """Return the new pixels of one crop; `points` (468, 3) are its mesh in full-size pixels."""
        h, w = crop.image.shape[:2]
        corner = np.array((*crop.box[:2], 0), np.float32)
        points = points - corner
        scale, turn, shift = (rows[crop.source][None] for rows in plan.pose)
        pose = Pose(scale, turn, shift - corner)
        eye = float(pose.scale[0])
        wanted = plan.target[crop.output]
        target = retarget(points, pose, wanted - plan.own[crop.source], max(float(wanted[OPEN]), 0.0))
        depth = warp.TOOTH_DEPTH * warp.gaps(target)
        before = warp.vertices(points[:, :2], depth)
        after = warp.vertices(target, depth, anchored=points[:, :2])
        field = warp.draw(after, (w, h))
        image = warp.sample(crop.image, field.coarser(), before - after)
        mask = blend.moved(field, eye, float(np.abs(after - before).max()))
        part = blend.near(target, field, eye)
        view = part.within(field)
        real = real_share(plan.own[crop.source, OPEN], wanted[OPEN])
        need = float(plan.need[crop.output])
        # Lips move against each other: theirs is the fine map, unless others are laid over them.
        mouth = image[view] if need > COVERED else warp.sample(crop.image, part, before - after)
        if need > 0.01:
            soft, ring = blend.lips(target, part, eye)
            layer, layer_real = self._lips(plan, crop.output, part.filled(), after, depth, eye, mouth, ring)
            mouth = blend.mixed(mouth, layer, need * soft)
            real += need * (layer_real - real)
            mask[view] = np.maximum(mask[view], min(need * 4, 1) * soft)
        hollow = float(np.clip(wanted[OPEN] / SHUT - 1, 0, 1)) * (1 - real)
        if hollow > 0.01:
            mouth = self._paint(mouth, crop, plan, pose, part, target, hollow)
        shut = float(np.clip(2 - wanted[OPEN] / SHUT, 0, 1))
        image[view] = blend.sealed(mouth, target, part, shut) if shut else mouth
        return _patch(crop, field, image, mask)

    def _lips(
        self, plan: Plan, output: int, field: warp.Field, after: F32, depth: F32, eye: float, base: F32, ring: F32
    ) -> tuple[F32, float]:
        """Return the palette's lips in the field's region, matched in light, and how real their inside is."""
        span = plan.choice[max(0, output - plan.blend) : output + plan.blend + 1]
        entries, counts = np.unique(span, return_counts=True)
        order = np.argsort(-counts)[:2]
        share = counts[order] / counts[order].sum()
        layer, real = np.zeros_like(base), 0.0
        for entry, part in zip(entries[order], share, strict=True):
            points = self._points[entry]
            scale = float(eye_distance(points)) / eye
            moves = warp.vertices(points, depth * scale) - after
            layer += np.float32(part) * warp.sample(self._texture[entry], field, moves)
            real += float(part) * real_share(plan.opened[entry], plan.target[output, OPEN])
        return blend.matched(layer, base, ring), real

    @staticmethod
    def _paint(image: F32, crop: Crop, plan: Plan, pose: Pose, field: warp.Field, target: F32, hollow: float) -> F32:
        open_by = float(plan.target[crop.output, OPEN])
        line = float(plan.rest[crop.source, 3]) + LIP_HEIGHT
        size = (field.width, field.height)
        picture = mouth_interior.lay(mouth_interior.paint(open_by), pose, line, (field.x0, field.y0), size)
        spots = np.clip(target[SKIN].astype(int), 0, (crop.image.shape[1] - 1, crop.image.shape[0] - 1))
        light = mouth_interior.light(np.median(crop.image[spots[:, 1], spots[:, 0]], 0))
        mask, shade = blend.inside(target, field, float(pose.scale[0]))
        return blend.mixed(image, picture * light * shade[..., None], hollow * mask)


def _patch(crop: Crop, field: warp.Field, image: F32, mask: F32) -> Patch:
    """Return the crop with a field's region replaced, and the region's mask in the whole of it."""
    h, w = crop.image.shape[:2]
    out, whole = crop.image.copy(), np.zeros((h, w), np.float32)
    area = np.s_[field.y0 : field.y0 + field.height, field.x0 : field.x0 + field.width]
    out[area] = cv2.convertScaleAbs(np.maximum(image, 0))
    whole[area] = mask * blend.fade(field, (w, h))
    return Patch(crop.output, out, whole)


LIP_HEIGHT = 0.095
"""From the upper lip's outer edge to the closed mouth's line, eye distances."""


def real_share(opened: float, wanted: float) -> float:
    """Return 0..1, how far a texture open by `opened` can show the inside of a mouth open by `wanted`."""
    opened, wanted = float(opened), float(wanted)
    reaches = (opened / max(wanted, SHUT) - REAL_FROM) / (REAL_FULL - REAL_FROM)
    # What is to be pressed shut comes from the frame itself, however little it shows.
    shows = max((opened - INSIDE_FROM) / (INSIDE_FULL - INSIDE_FROM), 1 + (opened - wanted) / SHUT)
    return float(np.clip(reaches, 0, 1) * np.clip(shows, 0, 1))


def retarget(points: F32, pose: Pose, change: F32, gap: float) -> F32:
    """Return (468, 2) points whose quantities have changed by `change` (5,) and whose inner lips are `gap` apart."""
    moves = np.tensordot(change, face_shape()["modes"], 1)[None].astype(np.float32)
    shape = pose.to_face(points[None])[0] + moves[0]
    wanted = gap * GAP_PROFILE
    seen = shape[INNER_LOWER_LIP, 1] - shape[INNER_UPPER_LIP, 1]
    wanted = wanted + np.clip(seen - wanted, -OWN_PROFILE * wanted, OWN_PROFILE * wanted)
    moves[0, INNER_UPPER_LIP[1:-1], 1] -= ((wanted - seen) / 2)[1:-1]
    moves[0, INNER_LOWER_LIP[1:-1], 1] += ((wanted - seen) / 2)[1:-1]
    return np.asarray(points[:, :2] + pose.vectors_to_picture(moves)[0, :, :2], np.float32)
