"""Which shots of a video show the same face: two people who are seen in turns have two closed mouths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...face import transient_occlusion
from ...face.pose import Pose, face_shape
from ...scene import F32, Track
from ..base import AnalysisData
from . import texture_bank
from .mouth_calibration import MouthMotion

MIN_FRAMES = 10
"""A shot that shows its face in fewer frames takes the most similar one of another shot."""
SAMPLED_FRAMES, MAX_SAMPLED_FRAMES = 24, 4800
"""In how many frames of each shot, and of all shots, the face's shape is compared."""
OTHER_SHAPE, OTHER_PICTURE = 0.02, 0.3
"""By how much two shots of different faces differ in the shape of what speech does not move (root mean square, eye
distances) or in the skin (`texture_bank.picture_differences`), each in those two frames that differ least, or by half
as much in both.

Of pairs of shots of two people (3 s each, 19 780 pairs) 1.2 % differ by less, of 101 people's own two shots 9 % by
more. The latter costs less: closed mouths are fitted to fewer frames.
"""
UNKNOWN_PICTURE = 0.18
"""What is taken for the difference of the skin where a shot has no texture."""


def group_shots(track: Track, motion: MouthMotion, data: AnalysisData) -> NDArray[np.int16]:
    """Return (T,) int16, which face each frame's shot shows, counted from 0.

    Links between shots of the same face are followed (single linkage), as a face that turns is recognised in steps.

    data  of `texture_bank.extract_textures`
    """
    seen = np.isfinite(motion.params[:, 0])
    shots, counts = np.unique(motion.shot[seen], return_counts=True)
    enough = counts >= MIN_FRAMES
    if enough.sum() < 2:
        return np.zeros(len(motion.shot), np.int16)
    apart = _shape_differences(track, motion.pose, [np.flatnonzero(seen & (motion.shot == one)) for one in shots])
    apart = apart / OTHER_SHAPE + _picture_differences(data, motion.shot, shots) / OTHER_PICTURE
    linked = (apart < 1) & enough & enough[:, None]
    faces = np.full(len(shots), -1)
    for k in np.flatnonzero(enough):
        if faces[k] < 0:
            faces[_reached(linked, int(k))] = faces.max() + 1
    nearest = np.where(enough, apart, np.inf).argmin(1)
    faces = np.where(enough, faces, faces[nearest])
    out = np.zeros(len(motion.shot), np.int16)
    for one, face in zip(shots, faces, strict=True):
        out[motion.shot == one] = face
    return out


def _reached(linked: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """Return (S,) bool, the shots to which (S, S) links lead from one of them, and itself."""
    found: NDArray[np.bool_] = np.arange(len(linked)) == start
    while True:
        more = np.asarray(found | linked[found].any(0), bool)
        if (more == found).all():
            return found
        found = more


def _shape_differences(track: Track, pose: Pose, frames: list[NDArray[np.intp]]) -> F32:
    """Return (S, S) float32 differences in shape of shots, eye distances.

    pose  of all frames · frames  those of each shot that show a face, one at least
    """
    still = face_shape()["mean"][:, 1] < transient_occlusion.BELOW_EYES
    mean = face_shape()["mean"][still]
    most = max(1, min(SAMPLED_FRAMES, MAX_SAMPLED_FRAMES // len(frames)))
    shapes = []
    for numbers in frames:
        chosen = numbers[np.unique(np.linspace(0, len(numbers) - 1, most).astype(int))]
        points = np.concatenate([track.points(int(n), int(n) + 1) for n in chosen])
        shape = Pose(*(rows[chosen] for rows in pose)).to_face(points)[:, still] - mean
        shapes.append(shape.reshape(len(chosen), -1))
    stacked, starts = np.concatenate(shapes), np.cumsum([0, *map(len, shapes[:-1])])
    sizes = (stacked**2).sum(1)
    least = [
        np.minimum.reduceat(((shape**2).sum(1)[:, None] + sizes - 2 * shape @ stacked.T).min(0), starts)
        for shape in shapes
    ]
    return np.sqrt(np.maximum(least, 0) / len(mean)).astype(np.float32)


def _picture_differences(data: AnalysisData, shot: NDArray[np.int32], shots: NDArray[np.int32]) -> F32:
    """Return (S, S) float32 differences of the skin of `shots`, see OTHER_PICTURE; `shot` is that of each frame."""
    lent = shot[data["texture_frames"]]
    out = np.full((len(shots), len(shots)), UNKNOWN_PICTURE, np.float32)
    if not len(lent):
        return out
    apart = texture_bank.picture_differences(data["textures"], data["texture_points"])
    entries = [np.flatnonzero(lent == one) for one in shots]
    for i, rows in enumerate(entries):
        for j, columns in enumerate(entries):
            if len(rows) and len(columns):
                out[i, j] = apart[np.ix_(rows, columns)].min()
    return out
