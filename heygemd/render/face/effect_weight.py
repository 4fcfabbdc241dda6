"""How strongly the effect is shown in each frame: not while the mouth is covered, less on a turned face, faded at gaps.

Where the weight is 0 the frame passes through unchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..scene import F32, numbered_spans, spans
from . import persistent_occlusion, transient_occlusion
from .face_records import RawTrack
from .gaussian import gaussian_smooth

FADE_S = 0.25
YAW_FULL_DEG, YAW_NONE_DEG = 32.0, 45.0
"""The effect is shown in full up to the first, and no longer from the second on."""
MIN_OCCLUSION_S = 0.12


def effect_weight(
    runs: NDArray[np.int32],
    cuts: NDArray[np.bool_],
    yaw: F32,
    occluded: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    fps: float,
) -> F32:
    """Return (T,) float32 0..1.

    runs      (T,) the number of the run of frames with a face, 0 where there is none
    cuts      (T,) first frames of shots; yaw: (T,) degrees
    occluded  (T,) of `occluded_frames`; hidden: (T,) of `hidden_shots`
    """
    return _frontal_weight(runs, cuts, yaw, fps) * _unoccluded_weight(occluded, fps) * ~hidden


def occluded_frames(raw: RawTrack, seen: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T,) bool, where something covers the face for more than a moment; each shot is measured by itself."""
    occluded = np.zeros(len(raw.slot), bool)
    min_frames = max(2, round(MIN_OCCLUSION_S * float(raw.fps)))
    shot = np.cumsum(raw.cuts)[seen]
    for number in np.unique(shot):
        frames = seen[shot == number]
        samples = raw.records.skin_samples(raw.slot[frames], frames)
        occluded[frames] = transient_occlusion.occluded(samples, min_frames)
    return occluded


def hidden_shots(raw: RawTrack, seen: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (T,) bool, true in the shots in which the mouth is never seen."""
    hidden = np.zeros(len(raw.slot), bool)
    shots = np.cumsum(raw.cuts)
    for number in np.unique(shots[seen]):
        frames = seen[shots[seen] == number]
        visibility = raw.records.visibility(raw.slot[frames], frames)
        hidden[shots == number] = persistent_occlusion.hidden_throughout(visibility)
    return hidden


def _frontal_weight(runs: NDArray[np.int32], cuts: NDArray[np.bool_], yaw: F32, fps: float) -> F32:
    """Return (T,) float32 0..1, fading towards the ends of runs (not at cuts) and with the head's turn."""
    fade = FADE_S * fps
    weight = np.ones(len(runs), np.float32)
    for start, stop in numbered_spans(runs):
        ramp = np.ones(stop - start, np.float32)
        steps = (np.arange(len(ramp)) + 1) / (fade + 1)
        if start > 0 and not cuts[start]:
            ramp = np.minimum(ramp, steps)
        if stop < len(runs) and not cuts[stop]:
            ramp = np.minimum(ramp, steps[::-1])
        weight[start:stop] = ramp
    frontal = np.clip((YAW_NONE_DEG - np.abs(yaw)) / (YAW_NONE_DEG - YAW_FULL_DEG), 0, 1)
    return np.where(runs > 0, weight * np.nan_to_num(frontal), 0).astype(np.float32)


def _unoccluded_weight(occluded: NDArray[np.bool_], fps: float) -> F32:
    """Return (T,) float32 0..1 that is 0 where the face is occluded and fades before and after it."""
    reach = max(1, round(FADE_S * fps))
    near = np.zeros((len(occluded), 1), np.float32)
    for start, stop in spans(occluded):
        near[max(0, start - reach) : stop + reach] = 1
    soft = gaussian_smooth(near, reach / 3)[:, 0]
    return np.asarray(np.where(occluded, 0, 1 - soft), np.float32)
