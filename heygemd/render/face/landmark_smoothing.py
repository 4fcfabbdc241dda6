"""The second pass over a track: fill short gaps, smooth, and derive boxes, strength and findings.

Reads and writes the points in windows, so that memory does not grow with the video's length.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..scene import MESH_POINTS, Finding, Track, spans
from . import persistent_occlusion, transient_occlusion
from .multi_face_tracker import SlotFiles
from .pose import F32, align, blur

SHORT_GAP_S = 0.5
FADE_S = 0.25
SMOOTH_S = 0.028
BOX_SMOOTH_S = 0.4
YAW_FULL_DEG, YAW_NONE_DEG = 32.0, 45.0
LEAST_COVERED_S = 0.12
WINDOW_FRAMES = 512
SIDE_MARGIN, TOP_MARGIN, CHIN_MARGIN = 0.22, 0.02, 0.42
"""Of the face's width (sides) and height (top, chin): room for a dropping chin and the blend into the neck."""


@dataclass(frozen=True)
class Seen:
    """What the first pass saw: slot (T,) int8 or -1, cuts (T,) bool, faces (T,) uint8, raw points in `files`."""

    full_size: tuple[int, int]
    fps: Fraction
    slot: NDArray[np.int8]
    cuts: NDArray[np.bool_]
    faces: NDArray[np.uint8]
    files: SlotFiles


def settle(seen: Seen, points_file: Path) -> tuple[Track, list[Finding]]:
    """Return the Track and what is worth telling about it; writes `points_file`."""
    have = np.flatnonzero(seen.slot >= 0)
    runs = _runs(seen, have)
    bounds = np.full((len(seen.slot), 4), np.nan, np.float32)
    yaw = np.full(len(seen.slot), np.nan, np.float32)
    with open(points_file, "wb") as out:
        for start in range(0, len(runs), WINDOW_FRAMES):
            stop = min(start + WINDOW_FRAMES, len(runs))
            points = _smooth(seen, have, runs, start, stop)
            good = np.isfinite(points[:, 0, 0])
            if good.any():
                yaw[start:stop][good] = align(points[good]).angles_deg()[:, 0]
                low, high = points[good, :, :2].min(1), points[good, :, :2].max(1)
                bounds[start:stop][good] = np.concatenate([low, high], 1)
            out.write(points.astype("<f4").tobytes())
    hidden, veiled = _hidden(seen, have), _veiled(seen, have)
    strength = _strength(runs, seen.cuts, yaw, float(seen.fps)) * _clear(hidden, float(seen.fps)) * ~veiled
    boxes = _boxes(bounds, runs, seen.full_size, float(seen.fps))
    track = Track(*seen.full_size, seen.fps, boxes, strength, yaw, seen.cuts, seen.faces, points_file)
    return track, _findings(track, runs, hidden & ~veiled, veiled & (runs > 0))


def _runs(seen: Seen, have: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number the unbroken stretches of face (short gaps bridged, never over a cut); 0 where there is none."""
    limit = SHORT_GAP_S * float(seen.fps)
    shot = np.cumsum(seen.cuts)
    runs = np.zeros(len(seen.slot), np.int32)
    number, last = 0, -1
    for frame in have:
        joined = last >= 0 and shot[last] == shot[frame] and frame - last - 1 <= limit
        number += not joined
        runs[last + 1 if joined else frame : frame + 1] = number
        last = int(frame)
    return runs


def _smooth(seen: Seen, have: NDArray[np.int64], runs: NDArray[np.int32], start: int, stop: int) -> F32:
    """Return (stop - start, 468, 3) points, gaps interpolated, Gaussian in time within each run, NaN elsewhere."""
    sigma = max(SMOOTH_S * float(seen.fps), 0.5)
    reach = int(np.ceil(3 * sigma))
    low, high = max(0, start - reach), min(len(runs), stop + reach)
    raw = _filled(seen, have, runs, low, high)
    out = np.zeros((stop - start, MESH_POINTS, 3), np.float32)
    weight = np.zeros((stop - start, 1, 1), np.float32)
    for k in range(-reach, reach + 1):
        a, b = max(start, low - k), min(stop, high - k)
        if a >= b:  # a video shorter than the smoothing reaches
            continue
        same = (runs[a:b] == runs[a + k : b + k]) & (runs[a:b] > 0)
        share = (np.exp(-0.5 * (k / sigma) ** 2) * same).astype(np.float32)[:, None, None]
        out[a - start : b - start] += share * raw[a + k - low : b + k - low]
        weight[a - start : b - start] += share
    return np.where(weight > 0, out / np.maximum(weight, 1e-6), np.float32(np.nan))


def _filled(seen: Seen, have: NDArray[np.int64], runs: NDArray[np.int32], low: int, high: int) -> F32:
    """Return (high - low, 468, 3) raw points with bridged gaps linear and zeros outside runs."""
    first = max(0, int(np.searchsorted(have, low, "right")) - 1)
    last = min(len(have), int(np.searchsorted(have, high, "left")) + 1)
    near = have[first:last]
    known = np.empty((len(near), MESH_POINTS, 3), np.float32)
    for k in np.unique(seen.slot[near]):
        known[seen.slot[near] == k] = seen.files.read(int(k), near[seen.slot[near] == k])
    frames = np.arange(low, high)
    after = np.clip(np.searchsorted(near, frames), 0, len(near) - 1)
    before = np.clip(np.searchsorted(near, frames, "right") - 1, 0, len(near) - 1)
    share = (frames - near[before]) / np.maximum(near[after] - near[before], 1)
    mix = np.clip(share, 0, 1).astype(np.float32)[:, None, None]
    mixed = known[before] * (1 - mix) + known[after] * mix
    return np.asarray(np.where((runs[low:high] > 0)[:, None, None], mixed, 0), np.float32)


def _strength(runs: NDArray[np.int32], cuts: NDArray[np.bool_], yaw: F32, fps: float) -> F32:
    fade = FADE_S * fps
    strength = np.ones(len(runs), np.float32)
    for number_start, number_stop in _edges(runs):
        ramp = np.ones(number_stop - number_start, np.float32)
        steps = (np.arange(len(ramp)) + 1) / (fade + 1)
        if number_start > 0 and not cuts[number_start]:
            ramp = np.minimum(ramp, steps)
        if number_stop < len(runs) and not cuts[number_stop]:
            ramp = np.minimum(ramp, steps[::-1])
        strength[number_start:number_stop] = ramp
    turn = np.clip((YAW_NONE_DEG - np.abs(yaw)) / (YAW_NONE_DEG - YAW_FULL_DEG), 0, 1)
    return np.where(runs > 0, strength * np.nan_to_num(turn), 0).astype(np.float32)


def _hidden(seen: Seen, have: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T,) where something lies before the face, judged shot by shot; what lasts a moment only is none."""
    hidden = np.zeros(len(seen.slot), bool)
    least = max(2, round(LEAST_COVERED_S * float(seen.fps)))
    shot = np.cumsum(seen.cuts)[have]
    for number in np.unique(shot):
        frames = have[shot == number]
        hidden[frames] = transient_occlusion.covered(seen.files.looks(seen.slot[frames], frames), least)
    return hidden


def _veiled(seen: Seen, have: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T,) the shots in which the mouth is never seen."""
    veiled = np.zeros(len(seen.slot), bool)
    shots = np.cumsum(seen.cuts)
    for number in np.unique(shots[have]):
        frames = have[shots[have] == number]
        veiled[shots == number] = persistent_occlusion.always(seen.files.veils(seen.slot[frames], frames))
    return veiled


def _clear(hidden: NDArray[np.bool_], fps: float) -> F32:
    """Return (T,) 0..1 that is 0 where the face is hidden and fades before and after it."""
    reach = max(1, round(FADE_S * fps))
    near = np.zeros((len(hidden), 1), np.float32)
    for start, stop in spans(hidden):
        near[max(0, start - reach) : stop + reach] = 1
    soft = blur(near, reach / 3)[:, 0]
    return np.asarray(np.where(hidden, 0, 1 - soft), np.float32)


def _edges(runs: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return [start, stop) of each numbered run, also where two runs touch."""
    change = np.flatnonzero(np.diff(np.concatenate(([0], runs, [0]))))
    return [(int(a), int(b)) for a, b in itertools.pairwise(change) if runs[a] > 0]


def _boxes(bounds: F32, runs: NDArray[np.int32], full_size: tuple[int, int], fps: float) -> NDArray[np.int32]:
    width, height = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    wide = bounds + np.stack([-SIDE_MARGIN * width, -TOP_MARGIN * height, SIDE_MARGIN * width, CHIN_MARGIN * height], 1)
    boxes = np.zeros((len(runs), 4), np.int32)
    limit = np.array(full_size * 2) // 2 * 2
    for start, stop in _edges(runs):
        even = np.round(blur(wide[start:stop], BOX_SMOOTH_S * fps, least_sigma=0.3) / 2) * 2
        boxes[start:stop] = np.clip(even, 0, limit)
    boxes[(boxes[:, 2] - boxes[:, 0] < 8) | (boxes[:, 3] - boxes[:, 1] < 8)] = 0
    return boxes


def _findings(
    track: Track, runs: NDArray[np.int32], hidden: NDArray[np.bool_], veiled: NDArray[np.bool_]
) -> list[Finding]:
    fps = float(track.fps)

    def ranges(flags: NDArray[np.bool_]) -> list[list[float]]:
        return [[round(a / fps, 2), round(b / fps, 2)] for a, b in spans(flags) if (b - a) / fps >= SHORT_GAP_S]

    found = []
    if missing := ranges(runs == 0):
        found.append(Finding("no_face_ranges", {"ranges": missing}))
    if crowd := ranges(track.faces > 1):
        found.append(Finding("several_faces", {"count": int(track.faces.max()), "ranges": crowd}))
    if turned := ranges(np.nan_to_num(np.abs(track.yaw_deg)) > YAW_FULL_DEG):
        found.append(Finding("face_turned", {"ranges": turned}))
    if covered := ranges(hidden):
        found.append(Finding("face_covered", {"ranges": covered}))
    if unseen := ranges(veiled):
        found.append(Finding("mouth_hidden", {"ranges": unseen}))
    return found
