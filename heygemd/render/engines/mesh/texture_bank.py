"""The texture bank: frames of the video itself whose mouths lend their texture to the output."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from ...face import transient_occlusion
from ...face.mouth_params import LOWER, OPEN, WIDTH
from ...face.pose import eye_distance
from ...scene import F32, Crop, Image, Track
from .mouth_calibration import MouthMotion

MAX_ENTRIES = 40
MAX_SIDE = 640
"""Pixels; forty textures of this side take 49 MB."""
MIN_EFFECT_WEIGHT = 0.9
"""Effect weight (see Track) from which a frame may lend its texture."""
MAX_YAW_DEG = 35.0
PADDING = 0.35
"""Margin around the lower face's points in a stored texture, in eye distances."""
MOUTH_UNITS = np.array([0.03, 0.05, 0.08, 0.05, 0.06], np.float32)
"""Difference of each mouth parameter that counts as one unit of distance."""
POSE_UNITS_DEG = np.array([8.0, 8.0, 15.0], np.float32)
SEARCHED_S = 60.0
"""How much of a shot may lend textures, from its beginning and where the face is seen well: all that comes before the
last one must be decoded once more."""
NEARLY = 0.9
"""The earliest frame that is this nearly as far from the chosen ones as the farthest is taken, for the same reason."""
AS_CLOSED = 0.003
"""A mouth open by no more than this beyond the most closed one is as good, eye distances."""
OTHER_SHOT_DISTANCE = 4.0
"""The squared distance of two frames that differ in their shot alone."""
STRETCHED, CLOSED = 2.5, 0.5
"""Weights of a difference in opening, of a texture that is less open than the target and of one that is wider."""
OTHER_SHOT_COST, OTHER_FACE_COST = 6.0, 1000.0
OTHER_FACE = 0.15
"""Shots whose textures' skin differs by more than this share of its brightness show different people, or one in other
light. Of two people's videos 99 % do, of two halves of one person's a quarter (149 clips)."""


def select_frames(track: Track, motion: MouthMotion) -> list[int]:
    """Return at most MAX_ENTRIES ascending frames that differ from each other in mouth and pose as much as possible.

    Farthest-point sampling (Gonzalez 1985) from a closed mouth; extremes are left out as likely tracking faults.
    Frames of two shots, which may show two people, differ in any case.
    """
    fit = (track.effect_weight >= MIN_EFFECT_WEIGHT) & np.isfinite(motion.params[:, 0])
    fit &= ~(np.abs(np.nan_to_num(track.yaw_deg)) > MAX_YAW_DEG)
    seen = np.cumsum(fit)
    fit &= seen - np.maximum.accumulate(np.where(track.cuts, seen - fit, 0)) <= SEARCHED_S * float(track.fps)
    frames = np.flatnonzero(fit if fit.any() else track.effect_weight > 0)
    if not len(frames):
        return []
    position = _coordinates(motion.params[frames], motion.angles_deg[frames])
    low, high = np.percentile(position, [0.5, 99.5], axis=0)
    usual = ((position >= low - 1e-3) & (position <= high + 1e-3)).all(1)
    frames, position = (frames[usual], position[usual]) if usual.sum() > MAX_ENTRIES else (frames, position)
    shot = motion.shot[frames]
    opening = motion.params[frames, OPEN]
    chosen = [int(np.argmax(opening <= opening.min() + AS_CLOSED))]
    distance = np.full(len(frames), np.inf)
    while len(chosen) < min(MAX_ENTRIES, len(frames)):
        away = ((position - position[chosen[-1]]) ** 2).sum(1)
        distance = np.minimum(distance, away + OTHER_SHOT_DISTANCE * (shot != shot[chosen[-1]]))
        if distance.max() < 0.05:
            break
        chosen.append(int(np.argmax(distance >= NEARLY * distance.max())))
    return sorted(int(frames[k]) for k in chosen)


def _coordinates(params: F32, angles_deg: F32) -> F32:
    """Return (n, 6) float32 mouth and pose in units of equal weight."""
    mouth = params[:, [OPEN, WIDTH, LOWER]] / MOUTH_UNITS[[OPEN, WIDTH, LOWER]]
    return np.concatenate([mouth, angles_deg / POSE_UNITS_DEG], 1).astype(np.float32)


def extract_textures(crops: Iterable[Crop], track: Track) -> dict[str, NDArray[np.generic]]:
    """Return the texture of each crop that shows an uncovered face.

    "textures"        (K, side, side, 3) uint8 BGR, smaller ones padded with zeros at the right and bottom
    "texture_points"  (K, 468, 2) float32 mesh points in it, pixels
    "texture_frames"  (K,) int32 source frame
    """
    cuts: list[Image] = []
    kept: list[F32] = []
    frames: list[int] = []
    for crop in crops:
        points = track.points(crop.source, crop.source + 1)[0, :, :2] - np.array(crop.box[:2], np.float32)
        x, y, side = _mouth_square(points)
        scale = min(1.0, MAX_SIDE / side)
        move = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]], np.float64)
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
        size = (min(side, MAX_SIDE),) * 2
        cut = cv2.warpAffine(crop.image, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        cuts.append(np.asarray(cut, np.uint8))
        kept.append(np.asarray(points * scale + move[:, 2], np.float32))
        frames.append(crop.source)
    # A hand or a microphone before the face in some of them would show up in every word.
    samples, shot = _skin(cuts, kept), np.cumsum(track.cuts)[np.asarray(frames, int)]
    bare = transient_occlusion.typical(samples)
    for one in np.unique(shot):  # which may show another person
        if (within := shot == one).sum() >= transient_occlusion.COMPARED or not bare[within].any():
            bare[within] |= transient_occlusion.typical(samples[within])
    uncovered = np.flatnonzero(bare)
    cuts, kept, frames = [cuts[k] for k in uncovered], [kept[k] for k in uncovered], [frames[k] for k in uncovered]
    largest = max((len(cut) for cut in cuts), default=1)
    textures = np.zeros((len(cuts), largest, largest, 3), np.uint8)
    for row, cut in zip(textures, cuts, strict=True):
        row[: len(cut), : len(cut)] = cut
    return {
        "textures": textures,
        "texture_points": np.asarray(kept, np.float32),
        "texture_frames": np.asarray(frames, np.int32),
    }


def _skin(textures: Iterable[Image], points: Iterable[F32]) -> transient_occlusion.SkinSamples:
    """Return (K, n, 3) uint8, see `transient_occlusion.skin_samples`."""
    samples = [transient_occlusion.skin_samples(*pair) for pair in zip(textures, points, strict=True)]
    return np.asarray(samples, np.uint8).reshape(len(samples), len(transient_occlusion.skin()), 3)


def picture_differences(textures: NDArray[np.uint8], points: F32) -> F32:
    """Return (K, K) float32 how much the skin of two textures differs, as a share of its brightness.

    textures, points  as "textures" and "texture_points" of `extract_textures`
    """
    return transient_occlusion.differences(_skin(textures, points))


def other_faces(
    textures: NDArray[np.uint8], points: F32, lent: NDArray[np.int32], shown: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Return (N, K) bool, whether an entry shows another face, or the same in other light, than a target's shot.

    Of a shot without an entry nothing is known.

    textures, points  as "textures" and "texture_points" of `extract_textures`
    lent  (K,) shots of the entries · shown  (N,) of the targets
    """
    other = np.zeros((len(shown), len(lent)), bool)
    if len(shots := np.unique(lent)) > 1:
        apart = picture_differences(textures, points)
        for shot in shots:
            other[shown == shot] = apart[:, lent == shot].min(1) > OTHER_FACE
    return other


def _mouth_square(points: F32) -> tuple[int, int, int]:
    """Return x, y, side of the square around the mouth and chin, whole pixels."""
    eye = float(eye_distance(points))
    low = points[[61, 291, 0, 17, 152]].min(0) - PADDING * eye
    high = points[[61, 291, 0, 17, 152]].max(0) + PADDING * eye
    side = int(np.ceil((high - low).max()))
    x, y = np.round((low + high) / 2 - side / 2)
    return int(x), int(y), side


def distances(target: F32, lender: F32) -> F32:
    """Return (...) float32 squared distances in MOUTH_UNITS of (..., 5) target mouths to (..., 5) that lend a texture.

    A mouth that is open wider than the target lends it unstretched teeth; one that is less open has too few pixels.
    """
    difference = (target - lender) / MOUTH_UNITS
    difference[..., OPEN] *= np.where(difference[..., OPEN] > 0, STRETCHED, CLOSED)
    return np.asarray((difference**2).sum(-1), np.float32)


def cheapest_path(cost: F32, change: F32) -> NDArray[np.int16]:
    """Return (N,) int16, the cheapest sequence of choices (Viterbi).

    cost  (N, K) of each choice in each frame · change  (N,) of another choice than in the frame before
    """
    total = cost[0].astype(np.float64)
    back = np.empty(cost.shape, np.int16)
    stay = np.arange(cost.shape[1])
    for n in range(1, len(cost)):
        best = int(np.argmin(total))
        cheaper = total[best] + change[n] < total
        back[n] = np.where(cheaper, best, stay)
        total = np.where(cheaper, total[best] + change[n], total) + cost[n]
        total -= total.min()
    path = np.empty(len(cost), np.int16)
    path[-1] = int(np.argmin(total))
    for n in range(len(cost) - 1, 0, -1):
        path[n - 1] = back[n, path[n]]
    return path
