"""The default engine: lips re-posed on the face mesh, textured from the presenter's own frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ....weights.bundled import SHA256
from ...face.mouth_params import OPEN, WIDTH
from ...face.pose import face_shape
from ...face.temporal_smoothing import gaussian_smooth
from ...scene import F32, Crop, Patch, Timeline, Track
from ..base import FrameEngine, Memo
from . import mouth_calibration, texture_bank, viseme_net
from .renderer import Painter, Plan

SELF_BONUS = 0.6
"""The frame's own lips are kept while they fit the target this much worse than the palette's."""
BLEND_FRAMES_S = 0.06
FADE_S = 0.05
WIDTH_S = 0.04
"""The corners of a mouth are slower than its lips: what the network says of the width is smoothed by this much."""
LIVELY = 1.2
"""The network is cautious on real voices, and small openings hardly show: speak a little larger than it says."""
KNEE = 0.7
"""Share of the widest opening up to which openings stay as they are."""


class MeshEngine(FrameEngine):
    """Runs on any machine with nothing downloaded, at the video's full resolution."""

    name = "mesh"
    effect_gain = 4.0
    version = " ".join(["7", *(SHA256[file] for file in viseme_net.FILES)])

    def check(self) -> None:
        """Raise NotInstalled if a shipped file is missing or damaged."""
        face_shape()
        viseme_net.check()

    def wants(self, track: Track) -> list[int]:
        """Return the frames of the palette."""
        return texture_bank.pick(track, mouth_calibration.observe(track))

    def study(self, crops: Iterator[Crop], track: Track) -> Memo:
        """Keep the palette's textures, and what this person's closed mouth looks like."""
        memo: Memo = dict(texture_bank.store(crops, track))
        memo["rest"] = mouth_calibration.learn(mouth_calibration.observe(track))
        return memo

    def hear(self, voice: NDArray[np.float32]) -> Memo:
        """Keep what the lips say."""
        return {"spoken": viseme_net.speak(voice)}

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], memo: Memo
    ) -> Iterator[Patch]:
        """Yield one Patch for each Crop; see FrameEngine."""
        if not len(memo["frame"]):  # no frame shows the mouth: there is nothing to render
            return
        del voice
        plan = make_plan(track, timeline, memo)
        painter = Painter(memo, track)
        for crop in crops:
            yield painter.patch(crop, plan, track.points(crop.source, crop.source + 1)[0])


def make_plan(track: Track, timeline: Timeline, memo: Memo) -> Plan:
    """Decide every frame's mouth and whose texture shows it; all arrays (N, few)."""
    motion = mouth_calibration.observe(track)
    fps = float(timeline.fps)
    rest = mouth_calibration.closed(memo["rest"], np.nan_to_num(motion.angles_deg))
    own = np.where(np.isfinite(motion.quantities), motion.quantities, rest)
    base = rest + mouth_calibration.mood(motion, rest, fps)
    source = timeline.source
    target = base[source] + _within(
        _at(memo["spoken"], timeline.times_s), *mouth_calibration.manner(memo["rest"], motion)
    )
    weight = track.effect_weight[source, None]
    target = own[source] + weight * (target - own[source])
    frames = memo["frame"]
    entries = own[frames] - rest[frames]
    apart = texture_bank.distances(target - rest[source], entries)
    turned = (motion.angles_deg[source][:, None] - motion.angles_deg[frames][None]) / texture_bank.POSE_UNITS_DEG
    apart += np.nan_to_num((turned**2).sum(2), nan=0.0, posinf=0.0)
    apart += texture_bank.OTHER_SHOT_PRICE * (motion.shot[source][:, None] != motion.shot[frames][None])
    breaks = np.concatenate([[True], motion.shot[source[1:]] != motion.shot[source[:-1]]])
    choice = texture_bank.choose(apart, breaks)
    price = apart[np.arange(len(choice)), choice]
    kept = texture_bank.distances_paired(target, own[source])
    need = 0.5 + 0.5 * np.tanh(2 * (kept - price - SELF_BONUS))
    need = gaussian_smooth(need[:, None].astype(np.float32), FADE_S * fps)[:, 0]
    opened = entries[:, OPEN] + rest[frames, OPEN]
    return Plan(target, own, rest, motion.pose, need, choice, max(1, round(BLEND_FRAMES_S * fps)), opened)


def _within(spoken: F32, size: float, widest: float) -> F32:
    """Return (N, 5) departures scaled to a person's manner, openings near `widest` softly held under it."""
    size *= LIVELY
    opening = np.maximum(spoken[:, OPEN] * size, 1e-6)
    held = np.where(opening > KNEE * widest, _soft(opening, widest), opening)
    vertical = [k for k in range(spoken.shape[1]) if k != WIDTH]
    out = spoken.copy()
    out[:, vertical] *= size * (held / opening)[:, None]
    return np.asarray(out, np.float32)


def _soft(opening: F32, widest: float) -> F32:
    room = (1 - KNEE) * widest
    return np.asarray(KNEE * widest + room * np.tanh((opening - KNEE * widest) / room), np.float32)


def _at(rows: F32, times_s: NDArray[np.float64]) -> F32:
    """Return (N, k) rows sampled at lips.RATE_HZ, interpolated at the times."""
    if not len(rows):
        return np.zeros((len(times_s), 5), np.float32)
    rows = rows.copy()
    rows[:, WIDTH] = gaussian_smooth(rows[:, WIDTH : WIDTH + 1], WIDTH_S * viseme_net.RATE_HZ)[:, 0]
    grid = (np.arange(len(rows)) + 0.5) / viseme_net.RATE_HZ
    return np.stack([np.interp(times_s, grid, column) for column in rows.T], 1).astype(np.float32)
