"""What each output frame shows: the mouth's shape, and which texture its lips come from.

The shape is the presenter's closed mouth at this head pose, plus a slow expression offset (a smile), plus the visemes
of the voice scaled to the presenter's speaking style.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...easing import smoothstep
from ...face.gaussian import gaussian_smooth
from ...face.mouth_params import MOUTH_PARAMS, OPEN, UPPER, WIDTH
from ...face.pose import Pose
from ...scene import F32, Timeline, Track
from ..base import AnalysisData
from . import mouth_calibration, texture_bank, viseme_net
from .mouth_calibration import MouthMotion

OWN_LIPS_BONUS = 0.6
"""A frame keeps its own lips unless those of the texture bank fit the target better by this (squared distance)."""
TEXTURE_FADE_S = 0.06
"""A change of texture is spread over this long on either side."""
SHARE_FADE_S = 0.05
REAL_FROM, REAL_FULL = 0.4, 0.7
"""A picture's own mouth must be open by this share of the target's for its inside to be used: not at all, fully."""
INSIDE_FROM, INSIDE_FULL = 0.025, 0.045
"""A mouth open by less than the first, in eye distances, has no inside worth stretching; from the second on it has."""
SHUT = 0.012
"""A mouth open by less, in eye distances, shows no inside."""
SWITCH_COST = 1.5
INSIDE_SEEN = 0.01
"""Each further opening of this size, in eye distances, costs a change of the inside SWITCH_COST more."""
INSIDE_FADE_S = 0.02
REAL_OVER_REPORTED = np.array([1, 1 / 0.6, 1 / 0.66, 1 / 0.85, 1], np.float32)
"""How far a mouth parameter must change for Face Mesh to report a change of 1: it takes faces for more usual than they
are, rounded lips for wider, and a lowered chin for higher. Measured by fitting it to rendered frames again."""
STEADY_S = 0.06
"""Sigma of the Gaussian that keeps the noise of the source frames' mouths out of what exceeds a reported change."""
WIDTH_SMOOTHING_S = 0.04
"""The corners of a mouth are slower than its lips, so the predicted width is smoothed by a Gaussian of this sigma."""
VISEME_GAIN = 1.36
"""The network is cautious on real voices, and small openings hardly show: with it rendered lips move .94 times as far
as those of the people whose voices they follow (median of 60 results, another tracker)."""
GAIN_FROM = 0.05
"""Smaller openings, in eye distances, are scaled by less: lips that the voice closes must not be held apart."""
KNEE = 0.7
"""Openings are compressed above this share of the widest one, linear below; so is the narrowing of rounded lips."""
NARROWEST = 0.11
"""How much narrower than the closed mouth rounded lips are at most, eye distances. Hardly one person in ten goes beyond
it; for synthesised voices the network does."""
EXPRESSION_SIGMA_S, TALKING_EXPRESSION_SIGMA_S = 1.0, 3.0
"""A smile is kept as it comes and goes; of who talks in the video, words would otherwise be kept with it."""
TALKING_SPREAD = 0.05
"""A presenter whose opening varies by less, in eye distances, does not talk in the video; by twice as much, certainly
does."""
USUAL_SPREAD = 0.13
USUAL_WIDEST = 0.24
SILENT_GAIN = 1.15
"""The gain of a presenter who does not talk in the video; of one who does it is measured."""
WIDEST_MARGIN = 1.3
MIN_WIDEST = 0.17
"""How much wider than in the video a mouth may open, and how wide in any case: beyond it no texture fits."""
TIP_FROM, TIP_FULL = 0.15, 0.45
"""From how likely it is raised the tip of the tongue starts to rise, and from where on it is all the way up."""
TIP_SMOOTHING_S = 0.015
"""Sigma of the Gaussian that keeps the tip from trembling: what the voice says is judged frame by frame."""


class MouthPlan(NamedTuple):
    """One row for each output frame (N), source frame (T) or entry of the texture bank (K).

    target          (N, 5) float32 mouth parameters to show, eye distances (see face.mouth_params)
    change          (N, 5) float32 by which to change the mouth of the source frame's mesh for that, see `mesh_changes`
    closed          (T, 5) float32 the presenter's closed mouth at each frame's head pose
    pose            of T frames
    texture_share   (N,) float32 0..1, how much of the texture bank's lips to show over the frame's own
    texture_choice  (N,) int16 entry of the texture bank
    texture_fade    output frames on either side over which a change of texture is spread
    shot            (N,) int32 of the source frame: no texture is faded into the next shot
    real_inside     (N,) float32 0..1, how far a picture, the frame's own or the entry's, shows the inside of the mouth;
                    the rest is drawn
    tongue          (N,) float32 0..1, how far the tip of a drawn tongue is raised
    """

    target: F32
    change: F32
    closed: F32
    pose: Pose
    texture_share: F32
    texture_choice: NDArray[np.int16]
    texture_fade: int
    shot: NDArray[np.int32]
    real_inside: F32
    tongue: F32


def plan_mouths(track: Track, timeline: Timeline, data: AnalysisData) -> MouthPlan:
    """Decide every output frame's mouth shape and texture.

    data  of MeshEngine.analyse_video and analyse_voice, together
    """
    motion = mouth_calibration.measure_motion(track)
    fps = float(timeline.fps)
    closed, base = np.zeros((2, *motion.params.shape), np.float32)
    source = timeline.source
    visemes = sample_visemes(data["visemes"], timeline.times_s)
    for face, coefficients in enumerate(data["closed_mouth"]):
        rows = data["face"] == face
        part = motion.part(rows)
        closed[rows] = mouth_calibration.closed_mouth(coefficients, np.nan_to_num(part.angles_deg))
        talks = talking_share(part)
        base[rows] = closed[rows] + expression_offset(part, closed[rows], fps, talks)
        style = speaking_style(opening_spread(coefficients, part), part, talks)
        visemes[rows[source]] = scale_visemes(visemes[rows[source]], *style)
    own = np.where(np.isfinite(motion.params), motion.params, closed)
    target = base[source] + visemes
    weight = track.effect_weight[source, None]
    change = weight * mesh_changes(target, own, motion.shot, source, STEADY_S * fps)
    target = own[source] + weight * (target - own[source])
    frames = data["texture_frames"]
    own_cost = texture_bank.distances(target, own[source]) - OWN_LIPS_BONUS
    cost = _texture_cost(target - closed[source], own[frames] - closed[frames], motion, source, frames)
    shot = motion.shot[source]
    other = texture_bank.other_faces(data["textures"], data["texture_points"], motion.shot[frames], shot)
    other |= data["face"][source][:, None] != data["face"][frames]
    cost += texture_bank.OTHER_FACE_COST * other
    breaks = np.concatenate([[True], shot[1:] != shot[:-1]])
    costs = change_costs(target[:, OPEN], breaks)
    choice = texture_bank.cheapest_path(np.concatenate([cost, own_cost[:, None]], 1), costs)
    lent = choice < len(frames)
    choice = nearest_textures(choice, lent, shot)
    share = _smooth_shots(lent[:, None].astype(np.float32), shot, SHARE_FADE_S * fps)[:, 0]
    opened = np.where(lent, own[frames, OPEN][choice], own[source, OPEN])
    inside = real_inside(opened, target[:, OPEN], costs)
    inside = _smooth_shots(inside[:, None], shot, INSIDE_FADE_S * fps)[:, 0]
    fade = max(1, round(TEXTURE_FADE_S * fps))
    tongue = raised_tongue(data["tongue"], timeline.times_s)
    return MouthPlan(target, change, closed, motion.pose, share, choice, fade, shot, inside, tongue)


def mesh_changes(target: F32, own: F32, shot: NDArray[np.int32], source: NDArray[np.int32], sigma: float) -> F32:
    """Return (N, 5) float32 by how much to change the mouths of the source frames' meshes to show `target`.

    target  (N, 5) · own  (T, 5) mouth parameters of the source frames · shot  (T,) their shots · source  (N,) of them
    sigma   see STEADY_S, frames
    """
    steady = _smooth_shots(own, shot, sigma)
    return np.asarray(target - own[source] + (REAL_OVER_REPORTED - 1) * (target - steady[source]), np.float32)


def expression_offset(motion: MouthMotion, closed: F32, fps: float, talks: float) -> F32:
    """Return (T, 5) float32 slow departures from `closed` to keep: a smile's width and raised lip, not speech.

    talks  of `talking_share`
    """
    extra = np.nan_to_num(motion.params - closed)
    extra[:, [k for k in range(len(MOUTH_PARAMS)) if k not in (WIDTH, UPPER)]] = 0
    sigma_s = EXPRESSION_SIGMA_S + talks * (TALKING_EXPRESSION_SIGMA_S - EXPRESSION_SIGMA_S)
    return _smooth_shots(extra, motion.shot, sigma_s * fps)


def _smooth_shots(values: F32, shot: NDArray[np.int32], sigma: float) -> F32:
    """Return (T, n) float32 `values`, each shot smoothed by itself."""
    return np.concatenate([gaussian_smooth(part, sigma) for part in np.split(values, _cuts(shot))])


def _cuts(shot: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the first row of each shot but the first one."""
    return np.flatnonzero(np.diff(shot)) + 1


def opening_spread(coefficients: F32, motion: MouthMotion) -> float:
    """Return how far the presenter opens the mouth in the video, beyond the closed mouth, eye distances.

    coefficients  (5, 6) of `mouth_calibration.fit_closed_mouth`
    """
    return float(np.nanpercentile(motion.params[:, OPEN], 95)) - float(coefficients[OPEN, 5])


def talking_share(motion: MouthMotion) -> float:
    """Return 1 for a presenter who talks in the video, 0 for one who does not, between for one who may.

    Who smiles all the time, teeth in view, does not talk.
    """
    low, high = np.nanpercentile(motion.params[:, OPEN], [mouth_calibration.CLOSED_PERCENTILE, 95])
    return float(np.clip((high - low) / TALKING_SPREAD - 1, 0, 1))


def speaking_style(spread: float, motion: MouthMotion, talks: float) -> tuple[float, float]:
    """Return the gain of the presenter's openings over the usual (1), and the widest opening to show, eye distances.

    People who hardly open their mouths keep doing so, within limits; of a silent person nothing is known.

    spread  of `opening_spread` · talks  of `talking_share`
    """
    gain = float(np.clip((max(spread, 0) / USUAL_SPREAD) ** 0.5, 0.8, 1.2))
    widest = max(WIDEST_MARGIN * float(np.nanpercentile(motion.params[:, OPEN], 99)), MIN_WIDEST)
    return SILENT_GAIN + talks * (gain - SILENT_GAIN), USUAL_WIDEST + talks * (widest - USUAL_WIDEST)


def _texture_cost(
    target: F32, entries: F32, motion: MouthMotion, source: NDArray[np.int32], frames: NDArray[np.int32]
) -> F32:
    """Return (N, K) float32: how badly each entry fits each target, by mouth, head pose and shot."""
    cost = texture_bank.distances(target[:, None], entries[None])
    turn = (motion.angles_deg[source][:, None] - motion.angles_deg[frames][None]) / texture_bank.POSE_UNITS_DEG
    cost += np.nan_to_num((turn**2).sum(2), nan=0.0, posinf=0.0)
    cost += texture_bank.OTHER_SHOT_COST * (motion.shot[source][:, None] != motion.shot[frames][None])
    return cost


def change_costs(opening: F32, breaks: NDArray[np.bool_]) -> F32:
    """Return (N,) float32, what it costs to show another texture than in the frame before.

    Another inside is not noticed where the mouth is shut or just opens or closes; with teeth in view it is a flash.

    opening  (N,) to show, eye distances · breaks  (N,) bool, frames where changing is free (cuts)
    """
    before = np.concatenate([opening[:1], opening[:-1]])
    cost = SWITCH_COST * (1 + np.clip(np.minimum(before, opening) - SHUT, 0, None) / INSIDE_SEEN)
    return np.where(breaks, 0, cost).astype(np.float32)


def nearest_textures(choice: NDArray[np.int16], lent: NDArray[np.bool_], shot: NDArray[np.int32]) -> NDArray[np.int16]:
    """Return (N,) int16 `choice`; where none is lent that of the shot's nearest frame, from or to which lips fade."""
    out = np.zeros_like(choice)
    for rows in np.split(np.arange(len(choice)), _cuts(shot)):
        known = rows[lent[rows]]
        if len(known):
            between = (known[1:] + known[:-1] + 1) // 2
            out[rows] = choice[known[np.searchsorted(between, rows, side="right")]]
    return out


def real_inside(opened: F32, wanted: F32, change: F32) -> F32:
    """Return (N,) float32, 1 where a picture shows the inside of the mouth and 0 where it must be drawn.

    A picture can show it where its own mouth is open enough. One inside is kept while the mouth is open.

    opened  (N,) opening of the mouth in the picture · wanted  (N,) the opening to show, eye distances
    change  (N,) of `change_costs`
    """
    reaches = (opened / np.maximum(wanted, SHUT) - REAL_FROM) / (REAL_FULL - REAL_FROM)
    # A mouth that closes shows what is left of its own inside, however little that is.
    shows = np.maximum((opened - INSIDE_FROM) / (INSIDE_FULL - INSIDE_FROM), 1 + (opened - wanted) / SHUT)
    real = np.clip(reaches, 0, 1) * np.clip(shows, 0, 1)
    cost = np.stack([real, 1 - real], 1) * (wanted / (2 * INSIDE_FULL))[:, None]
    return texture_bank.cheapest_path(cost, change).astype(np.float32)


def scale_visemes(visemes: F32, gain: float, widest: float) -> F32:
    """Return (N, 5) visemes scaled to a speaking style, all but the width; openings saturate at `widest`."""
    gains = 1 + (gain * VISEME_GAIN - 1) * np.clip(visemes[:, OPEN] / GAIN_FROM, 0, 1)
    opening = np.maximum(visemes[:, OPEN] * gains, 1e-6)
    out = visemes * (gains * _soft_limit(opening, widest) / opening)[:, None]
    out[:, WIDTH] = -_soft_limit(-visemes[:, WIDTH], NARROWEST)
    return np.asarray(out, np.float32)


def _soft_limit(values: F32, most: float) -> F32:
    """Return (N,) float32 `values`, compressed above KNEE of `most`."""
    knee, room = KNEE * most, (1 - KNEE) * most
    return np.asarray(np.minimum(values, knee) + room * np.tanh(np.maximum(values - knee, 0) / room), np.float32)


def sample_visemes(visemes: F32, times_s: NDArray[np.float64]) -> F32:
    """Return (N, 5) visemes interpolated at the times, from (T, 5) at viseme_net.RATE_HZ.

    Each least opening is shown by the frame nearest to it: a p is shorter than the time between two frames.
    """
    if not len(visemes):
        return np.zeros((len(times_s), 5), np.float32)
    visemes = visemes.copy()
    visemes[:, WIDTH] = gaussian_smooth(visemes[:, WIDTH : WIDTH + 1], WIDTH_SMOOTHING_S * viseme_net.RATE_HZ)[:, 0]
    grid = (np.arange(len(visemes)) + 0.5) / viseme_net.RATE_HZ
    sampled = np.stack([np.interp(times_s, grid, column) for column in visemes.T], 1).astype(np.float32)
    opening = visemes[:, OPEN]
    least = np.flatnonzero((opening[1:-1] <= opening[:-2]) & (opening[1:-1] < opening[2:])) + 1
    least = least[grid[least] <= times_s[-1]]
    least = least[np.argsort(-opening[least])]  # of two in one frame the smaller one is kept
    frames = np.searchsorted((times_s[1:] + times_s[:-1]) / 2, grid[least])
    smaller = opening[least] < sampled[frames, OPEN]
    sampled[frames[smaller]] = visemes[least[smaller]]
    return sampled


def raised_tongue(likely: F32, times_s: NDArray[np.float64]) -> F32:
    """Return (N,) float32 0..1, how far the tip of the tongue is raised at the times.

    likely  (T,) float32 0..1 at viseme_net.RATE_HZ, see `viseme_net.predict_mouth`
    """
    if not len(likely):
        return np.zeros(len(times_s), np.float32)
    grid = (np.arange(len(likely)) + 0.5) / viseme_net.RATE_HZ
    smooth = gaussian_smooth(likely[:, None], TIP_SMOOTHING_S * viseme_net.RATE_HZ)[:, 0]
    rise = (np.interp(times_s, grid, smooth) - TIP_FROM) / (TIP_FULL - TIP_FROM)
    return smoothstep(rise).astype(np.float32)
