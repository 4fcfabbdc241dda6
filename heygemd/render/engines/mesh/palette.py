"""The palette: frames of the video itself whose mouths lend their texture to the output."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from ...geometry import F32, face_shape
from ...mouth import LOWER, OPEN, OUTER, WIDTH
from ...scene import Crop, Image, Track
from .person import Motion

MAX_ENTRIES = 40
MAX_SIDE = 640
"""Pixels; forty textures of this side take 49 MB."""
MIN_STRENGTH = 0.9
MAX_YAW_DEG = 35.0
PADDING = 0.35
"""Margin round the lower face's points in a stored texture, in eye distances."""
MOUTH_UNITS = np.array([0.03, 0.05, 0.08, 0.05, 0.06], np.float32)
"""Difference of each quantity that counts as much as one unit of the others."""
POSE_UNITS_DEG = np.array([8.0, 8.0, 15.0], np.float32)
SWITCH_PRICE = 3.0
SKIN_ANCHORS = np.array([2, 98, 327, 61, 291, 152, 148, 377, 172, 397, 50, 280, 205, 425, 1])
SKIN_CORNER = np.array([-0.45, 0.45], np.float32)
SKIN_PIXELS = 64
SKIN_SIZE = (58, 56)
ODD_TIMES_USUAL, ODD_AT_LEAST = 1.6, 0.06
"""A texture is odd when it is farther from its nearest than this, as a share of its brightness (90th percentile)."""
LOWER_OVAL = np.array(
    [234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 1]
)
OTHER_SHOT_PRICE = 6.0


def pick(track: Track, motion: Motion) -> list[int]:
    """Return at most MAX_ENTRIES ascending frames, as unlike each other in mouth and pose as can be.

    Farthest-point sampling (Gonzalez 1985) from the most closed mouth, extremes left out as likely tracking faults.
    """
    fit = (track.strength >= MIN_STRENGTH) & np.isfinite(motion.quantities[:, 0])
    fit &= ~(np.abs(np.nan_to_num(track.yaw_deg)) > MAX_YAW_DEG)
    frames = np.flatnonzero(fit if fit.any() else track.strength > 0)
    place = coordinates(motion.quantities[frames], motion.angles_deg[frames])
    low, high = np.percentile(place, [0.5, 99.5], axis=0)
    tame = ((place >= low - 1e-3) & (place <= high + 1e-3)).all(1)
    frames, place = (frames[tame], place[tame]) if tame.sum() > MAX_ENTRIES else (frames, place)
    chosen = [int(np.argmin(motion.quantities[frames, OPEN]))] if len(frames) else []
    distance = np.full(len(frames), np.inf)
    while chosen and len(chosen) < min(MAX_ENTRIES, len(frames)):
        distance = np.minimum(distance, ((place - place[chosen[-1]]) ** 2).sum(1))
        if distance.max() < 0.05:
            break
        chosen.append(int(np.argmax(distance)))
    return sorted(int(frames[k]) for k in chosen)


def coordinates(quantities: F32, angles_deg: F32) -> F32:
    """Return (n, 6) float32 mouth and pose in units of like weight."""
    mouth = quantities[:, [OPEN, WIDTH, LOWER]] / MOUTH_UNITS[[OPEN, WIDTH, LOWER]]
    return np.concatenate([mouth, angles_deg / POSE_UNITS_DEG], 1).astype(np.float32)


def store(crops: Iterable[Crop], track: Track) -> dict[str, NDArray[np.generic]]:
    """Return textures as arrays: "texture" (K, side, side, 3) uint8, "points" (K, 468, 2) in it, "frame" (K,)."""
    cuts: list[Image] = []
    kept: list[F32] = []
    frames: list[int] = []
    for crop in crops:
        points = track.points(crop.source, crop.source + 1)[0, :, :2] - np.array(crop.box[:2], np.float32)
        x, y, side = _square(points)
        scale = min(1.0, MAX_SIDE / side)
        move = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]], np.float64)
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
        size = (min(side, MAX_SIDE),) * 2
        cut = cv2.warpAffine(crop.image, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        cuts.append(np.asarray(cut, np.uint8))
        kept.append(np.asarray(points * scale + move[:, 2], np.float32))
        frames.append(crop.source)
    sound = np.flatnonzero(clean(cuts, kept))
    cuts, kept, frames = [cuts[k] for k in sound], [kept[k] for k in sound], [frames[k] for k in sound]
    largest = max((len(cut) for cut in cuts), default=1)
    texture = np.zeros((len(cuts), largest, largest, 3), np.uint8)
    for row, cut in zip(texture, cuts, strict=True):
        row[: len(cut), : len(cut)] = cut
    return {"texture": texture, "points": np.asarray(kept, np.float32), "frame": np.asarray(frames, np.int32)}


def clean(textures: list[Image], points: list[F32]) -> list[bool]:
    """Return which textures look like others round the mouth: not those with a hand or a microphone before it.

    Each is laid onto the mean face and only the skin between lips and face's edge is compared. A texture is kept when
    the quarter of all that is nearest to it is about as near as is usual in this video: what covers a face never looks
    the same twice, so this holds even when half the textures are covered.
    """
    if len(textures) < 4:
        return [True] * len(textures)
    skin = _skin()
    anchors = _place(SKIN_ANCHORS).astype(np.float32)
    rows = []
    for texture, p in zip(textures, points, strict=True):
        move = cv2.estimateAffine2D(p[SKIN_ANCHORS], anchors, method=cv2.LMEDS)[0]
        patch = cv2.GaussianBlur(cv2.warpAffine(texture, move, SKIN_SIZE, borderMode=cv2.BORDER_REPLICATE), (0, 0), 2)
        seen = patch[skin].astype(np.float32)
        rows.append(seen / np.maximum(np.median(seen, 0), 1.0))
    stack = np.asarray(rows)
    apart = np.stack([np.percentile(np.abs(stack - row).mean(2), 90, axis=1) for row in stack])
    nearest = max(3, len(stack) // 4)
    odd = np.sort(apart, 1)[:, 1 : nearest + 1].mean(1)
    limit = max(ODD_TIMES_USUAL * float(np.percentile(odd, 25)), ODD_AT_LEAST)
    return [bool(value <= limit) for value in odd]


def _place(indices: NDArray[np.int64]) -> F32:
    """Return where points of the mean face lie in the small picture that `clean` compares."""
    return np.asarray((face_shape()["mean"][indices, :2] - SKIN_CORNER) * SKIN_PIXELS, np.float32)


def _skin() -> NDArray[np.bool_]:
    """Return the mask of cheeks and chin in that picture: inside the face's edge, outside the lips."""
    inside, lips = np.zeros(SKIN_SIZE[::-1], np.uint8), np.zeros(SKIN_SIZE[::-1], np.uint8)
    cv2.fillPoly(inside, [np.rint(_place(LOWER_OVAL)).astype(np.int32)], (1,))
    cv2.fillPoly(lips, [np.rint(_place(OUTER)).astype(np.int32)], (1,))
    inside = cv2.erode(inside, np.ones((7, 7), np.uint8), borderValue=(0,)).astype(np.uint8)
    lips = cv2.dilate(lips, np.ones((11, 11), np.uint8)).astype(np.uint8)
    return np.asarray((inside > 0) & (lips == 0))


def _square(points: F32) -> tuple[int, int, int]:
    """Return x, y, side of the square round the mouth and chin, whole pixels."""
    eye = float(np.linalg.norm(points[263] - points[33]))
    low = points[[61, 291, 0, 17, 152]].min(0) - PADDING * eye
    high = points[[61, 291, 0, 17, 152]].max(0) + PADDING * eye
    side = int(np.ceil((high - low).max()))
    x, y = np.round((low + high) / 2 - side / 2)
    return int(x), int(y), side


def distances(target: F32, entries: F32) -> F32:
    """Return (N, K) squared distance of (N, 5) target mouths to (K, 5) entries."""
    apart = target[:, None] / MOUTH_UNITS - entries[None] / MOUTH_UNITS
    return np.asarray((apart**2).sum(2), np.float32)


def distances_paired(target: F32, own: F32) -> F32:
    """Return (N,) squared distance of (N, 5) target mouths to each frame's own."""
    return np.asarray((((target - own) / MOUTH_UNITS) ** 2).sum(1), np.float32)


def choose(cost: F32, breaks: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Return (N,) the cheapest sequence of entries (Viterbi): (N, K) costs plus SWITCH_PRICE for each change.

    breaks  (N,) frames where changing is free (cuts)
    """
    total = cost[0].astype(np.float64)
    back = np.empty(cost.shape, np.int16)
    stay = np.arange(cost.shape[1])
    for n in range(1, len(cost)):
        price = 0.0 if breaks[n] else SWITCH_PRICE
        best = int(np.argmin(total))
        change = total[best] + price < total
        back[n] = np.where(change, best, stay)
        total = np.where(change, total[best] + price, total) + cost[n]
        total -= total.min()
    path = np.empty(len(cost), np.int16)
    path[-1] = int(np.argmin(total))
    for n in range(len(cost) - 1, 0, -1):
        path[n - 1] = back[n, path[n]]
    return path
