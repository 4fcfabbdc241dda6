"""The second pass over a track: fills short gaps, smooths the points, derives boxes and findings.

Points are smoothed by a Gaussian in time, which needs no causality and so adds no lag. They are read and written in
windows, so that memory does not grow with the video's length.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..scene import F32, MESH_POINTS, Finding, Track, numbered_spans, spans
from .effect_weight import YAW_FULL_DEG, effect_weight, hidden_shots, occluded_frames
from .face_records import RawTrack
from .gaussian import gaussian_smooth
from .pose import align

SHORT_GAP_S = 0.5
"""Gaps up to this long are interpolated, and findings shorter than this are not reported."""
SMOOTH_S, BOX_SMOOTH_S = 0.028, 0.4
"""Standard deviations of the Gaussians for points and boxes."""
WINDOW_FRAMES = 512
SIDE_MARGIN, TOP_MARGIN, CHIN_MARGIN = 0.22, 0.02, 0.42
"""Of the face's width (sides) and height (top, chin): room for a dropping chin and the blend into the neck."""
MIN_BOX_PIXELS = 8


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
    occluded, hidden = occluded_frames(raw, seen), hidden_shots(raw, seen)
    weight = effect_weight(runs, raw.cuts, yaw, occluded, hidden, fps)
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


def _boxes(bounds: F32, runs: NDArray[np.int32], full_size: tuple[int, int], fps: float) -> NDArray[np.int32]:
    """Return (T, 4) int32 boxes around (T, 4) bounds of the points, with margins and smoothed; see Track.boxes."""
    width, height = bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1]
    wide = bounds + np.stack([-SIDE_MARGIN * width, -TOP_MARGIN * height, SIDE_MARGIN * width, CHIN_MARGIN * height], 1)
    boxes = np.zeros((len(runs), 4), np.int32)
    limit = np.array(full_size * 2) // 2 * 2
    for start, stop in numbered_spans(runs):
        even = np.round(gaussian_smooth(wide[start:stop], BOX_SMOOTH_S * fps, min_sigma=0.3) / 2) * 2
        boxes[start:stop] = np.clip(even, 0, limit)
    boxes[((boxes[:, 2:] - boxes[:, :2]) < MIN_BOX_PIXELS).any(1)] = 0
    return boxes


def _findings(
    track: Track, runs: NDArray[np.int32], occluded: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> list[Finding]:
    fps = float(track.fps)

    def ranges(flags: NDArray[np.bool_]) -> list[list[float]]:
        short_s = SHORT_GAP_S if len(flags) > 1 else 0.0  # the one frame of a photograph
        return [[round(a / fps, 2), round(b / fps, 2)] for a, b in spans(flags) if (b - a) / fps >= short_s]

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


def merged(found: list[list[Finding]]) -> list[Finding]:
    """Return the findings about several faces of one video as one list, each code once with all its "ranges".

    That there are several faces needs no mention where several speak.
    """
    if len(found) == 1:
        return found[0]
    ranges: dict[str, list[list[float]]] = {}
    for finding in (each for findings in found for each in findings if each.code != "several_faces"):
        kept = ranges.setdefault(finding.code, [])
        kept += [each for each in cast("list[list[float]]", finding.fields["ranges"]) if each not in kept]
    return [Finding(code, {"ranges": sorted(times)}) for code, times in ranges.items()]
