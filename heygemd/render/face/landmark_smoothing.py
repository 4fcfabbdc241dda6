"""The second pass over a track: fills short gaps, smooths the points, derives boxes, effect weights and findings.

Points are smoothed by a Gaussian in time, which needs no causality and so adds no lag. They are read and written in
windows, so that memory does not grow with the video's length.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..scene import F32, MESH_POINTS, Finding, Track, spans
from . import persistent_occlusion, transient_occlusion
from .face_records import FaceRecords
from .pose import align
from .temporal_smoothing import gaussian_smooth

SHORT_GAP_S = 0.5
"""Gaps up to this long are interpolated, and findings shorter than this are not reported."""
FADE_S = 0.25
SMOOTH_S, BOX_SMOOTH_S = 0.028, 0.4
"""Standard deviations of the Gaussians for points and boxes."""
YAW_FULL_DEG, YAW_NONE_DEG = 32.0, 45.0
"""The effect is shown in full up to the first, and no longer from the second on."""
MIN_OCCLUSION_S = 0.12
WINDOW_FRAMES = 512
SIDE_MARGIN, TOP_MARGIN, CHIN_MARGIN = 0.22, 0.02, 0.42
"""Of the face's width (sides) and height (top, chin): room for a dropping chin and the blend into the neck."""
MIN_BOX_PIXELS = 8


@dataclass(frozen=True)
class RawTrack:
    """The presenter's face as the first pass saw it.

    full_size   (width, height) of the frame, pixels
    slot        (T,) int8, the slot of `records` that has the face, -1 where not seen
    cuts        (T,) bool, first frames of shots
    face_count  (T,) uint8
    records     raw points, skin samples and mouth visibility
    """

    full_size: tuple[int, int]
    fps: Fraction
    slot: NDArray[np.int8]
    cuts: NDArray[np.bool_]
    face_count: NDArray[np.uint8]
    records: FaceRecords


def smooth_track(raw: RawTrack, points_file: Path) -> tuple[Track, list[Finding]]:
    """Return the Track and what people should know about it; writes `points_file`."""
    seen = np.flatnonzero(raw.slot >= 0)
    runs = _runs(raw, seen)
    bounds = np.full((len(raw.slot), 4), np.nan, np.float32)
    yaw = np.full(len(raw.slot), np.nan, np.float32)
    with open(points_file, "wb") as out:
        for start in range(0, len(runs), WINDOW_FRAMES):
            stop = min(start + WINDOW_FRAMES, len(runs))
            points = _smooth(raw, seen, runs, start, stop)
            good = np.isfinite(points[:, 0, 0])
            if good.any():
                yaw[start:stop][good] = align(points[good]).angles_deg()[:, 0]
                low, high = points[good, :, :2].min(1), points[good, :, :2].max(1)
                bounds[start:stop][good] = np.concatenate([low, high], 1)
            out.write(points.astype("<f4").tobytes())
    fps = float(raw.fps)
    occluded, hidden = _occluded(raw, seen), _hidden_shots(raw, seen)
    weight = _effect_weight(runs, raw.cuts, yaw, fps) * _unoccluded_weight(occluded, fps) * ~hidden
    boxes = _boxes(bounds, runs, raw.full_size, fps)
    track = Track(*raw.full_size, raw.fps, boxes, weight, yaw, raw.cuts, raw.face_count, points_file)
    return track, _findings(track, runs, occluded & ~hidden, hidden & (runs > 0))


def _runs(raw: RawTrack, seen: NDArray[np.int64]) -> NDArray[np.int32]:
    """Number the unbroken runs of frames with a face (short gaps bridged, never over a cut); 0 where there is none."""
    limit = SHORT_GAP_S * float(raw.fps)
    shot = np.cumsum(raw.cuts)
    runs = np.zeros(len(raw.slot), np.int32)
    number, last = 0, -1
    for frame in seen:
        joined = last >= 0 and shot[last] == shot[frame] and frame - last - 1 <= limit
        number += not joined
        runs[last + 1 if joined else frame : frame + 1] = number
        last = int(frame)
    return runs


def _smooth(raw: RawTrack, seen: NDArray[np.int64], runs: NDArray[np.int32], start: int, stop: int) -> F32:
    """Return (stop - start, 468, 3) points, gaps interpolated, Gaussian in time within each run, NaN elsewhere."""
    sigma = max(SMOOTH_S * float(raw.fps), 0.5)
    reach = int(np.ceil(3 * sigma))
    low, high = max(0, start - reach), min(len(runs), stop + reach)
    filled = _filled(raw, seen, runs, low, high)
    out = np.zeros((stop - start, MESH_POINTS, 3), np.float32)
    weight = np.zeros((stop - start, 1, 1), np.float32)
    for k in range(-reach, reach + 1):
        a, b = max(start, low - k), min(stop, high - k)
        if a >= b:  # the video is shorter than the kernel
            continue
        same = (runs[a:b] == runs[a + k : b + k]) & (runs[a:b] > 0)
        share = (np.exp(-0.5 * (k / sigma) ** 2) * same).astype(np.float32)[:, None, None]
        out[a - start : b - start] += share * filled[a + k - low : b + k - low]
        weight[a - start : b - start] += share
    return np.where(weight > 0, out / np.maximum(weight, 1e-6), np.float32(np.nan))


def _filled(raw: RawTrack, seen: NDArray[np.int64], runs: NDArray[np.int32], low: int, high: int) -> F32:
    """Return (high - low, 468, 3) raw points with bridged gaps linear and zeros outside runs."""
    first = max(0, int(np.searchsorted(seen, low, "right")) - 1)
    last = min(len(seen), int(np.searchsorted(seen, high, "left")) + 1)
    near = seen[first:last]
    known = np.empty((len(near), MESH_POINTS, 3), np.float32)
    for k in np.unique(raw.slot[near]):
        known[raw.slot[near] == k] = raw.records.points(int(k), near[raw.slot[near] == k])
    frames = np.arange(low, high)
    after = np.clip(np.searchsorted(near, frames), 0, len(near) - 1)
    before = np.clip(np.searchsorted(near, frames, "right") - 1, 0, len(near) - 1)
    share = (frames - near[before]) / np.maximum(near[after] - near[before], 1)
    mix = np.clip(share, 0, 1).astype(np.float32)[:, None, None]
    mixed = known[before] * (1 - mix) + known[after] * mix
    return np.asarray(np.where((runs[low:high] > 0)[:, None, None], mixed, 0), np.float32)


def _effect_weight(runs: NDArray[np.int32], cuts: NDArray[np.bool_], yaw: F32, fps: float) -> F32:
    """Return (T,) float32 0..1, fading towards the ends of runs (not at cuts) and with the head's turn."""
    fade = FADE_S * fps
    weight = np.ones(len(runs), np.float32)
    for start, stop in _numbered(runs):
        ramp = np.ones(stop - start, np.float32)
        steps = (np.arange(len(ramp)) + 1) / (fade + 1)
        if start > 0 and not cuts[start]:
            ramp = np.minimum(ramp, steps)
        if stop < len(runs) and not cuts[stop]:
            ramp = np.minimum(ramp, steps[::-1])
        weight[start:stop] = ramp
    frontal = np.clip((YAW_NONE_DEG - np.abs(yaw)) / (YAW_NONE_DEG - YAW_FULL_DEG), 0, 1)
    return np.where(runs > 0, weight * np.nan_to_num(frontal), 0).astype(np.float32)


def _occluded(raw: RawTrack, seen: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T,) bool, where something covers the face for more than a moment; each shot is measured by itself."""
    occluded = np.zeros(len(raw.slot), bool)
    min_frames = max(2, round(MIN_OCCLUSION_S * float(raw.fps)))
    shot = np.cumsum(raw.cuts)[seen]
    for number in np.unique(shot):
        frames = seen[shot == number]
        samples = raw.records.skin_samples(raw.slot[frames], frames)
        occluded[frames] = transient_occlusion.occluded(samples, min_frames)
    return occluded


def _hidden_shots(raw: RawTrack, seen: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T,) bool, true in the shots in which the mouth is never seen."""
    hidden = np.zeros(len(raw.slot), bool)
    shots = np.cumsum(raw.cuts)
    for number in np.unique(shots[seen]):
        frames = seen[shots[seen] == number]
        visibility = raw.records.visibility(raw.slot[frames], frames)
        hidden[shots == number] = persistent_occlusion.hidden_throughout(visibility)
    return hidden


def _unoccluded_weight(occluded: NDArray[np.bool_], fps: float) -> F32:
    """Return (T,) float32 0..1 that is 0 where the face is occluded and fades before and after it."""
    reach = max(1, round(FADE_S * fps))
    near = np.zeros((len(occluded), 1), np.float32)
    for start, stop in spans(occluded):
        near[max(0, start - reach) : stop + reach] = 1
    soft = gaussian_smooth(near, reach / 3)[:, 0]
    return np.asarray(np.where(occluded, 0, 1 - soft), np.float32)


def _numbered(runs: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return [start, stop) of each numbered run, also where two runs touch."""
    change = np.flatnonzero(np.diff(np.concatenate(([0], runs, [0]))))
    return [(int(a), int(b)) for a, b in itertools.pairwise(change) if runs[a] > 0]


def _boxes(bounds: F32, runs: NDArray[np.int32], full_size: tuple[int, int], fps: float) -> NDArray[np.int32]:
    """Return (T, 4) int32 boxes around (T, 4) bounds of the points, with margins and smoothed; see Track.boxes."""
    width, height = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    wide = bounds + np.stack([-SIDE_MARGIN * width, -TOP_MARGIN * height, SIDE_MARGIN * width, CHIN_MARGIN * height], 1)
    boxes = np.zeros((len(runs), 4), np.int32)
    limit = np.array(full_size * 2) // 2 * 2
    for start, stop in _numbered(runs):
        even = np.round(gaussian_smooth(wide[start:stop], BOX_SMOOTH_S * fps, min_sigma=0.3) / 2) * 2
        boxes[start:stop] = np.clip(even, 0, limit)
    boxes[((boxes[:, 2:] - boxes[:, :2]) < MIN_BOX_PIXELS).any(1)] = 0
    return boxes


def _findings(
    track: Track, runs: NDArray[np.int32], occluded: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> list[Finding]:
    fps = float(track.fps)

    def ranges(flags: NDArray[np.bool_]) -> list[list[float]]:
        return [[round(a / fps, 2), round(b / fps, 2)] for a, b in spans(flags) if (b - a) / fps >= SHORT_GAP_S]

    found = []
    if missing := ranges(runs == 0):
        found.append(Finding("no_face_ranges", {"ranges": missing}))
    if several := ranges(track.face_count > 1):
        found.append(Finding("several_faces", {"count": int(track.face_count.max()), "ranges": several}))
    if turned := ranges(np.nan_to_num(np.abs(track.yaw_deg)) > YAW_FULL_DEG):
        found.append(Finding("face_turned", {"ranges": turned}))
    if covered := ranges(occluded):
        found.append(Finding("face_covered", {"ranges": covered}))
    if unseen := ranges(hidden):
        found.append(Finding("mouth_hidden", {"ranges": unseen}))
    return found
