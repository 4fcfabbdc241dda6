"""The plain arrays that the steps of a render exchange.

Frames of the *source* video are counted from 0 in presentation order at its constant rate; frames of the *output* are
counted from 0 at the same rate. `Timeline.source` maps output frames to source frames (loop, ping-pong, hold).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Image = NDArray[np.uint8]
"""(height, width, 3) uint8, BGR, full range."""

MESH_POINTS = 468


@dataclass(frozen=True)
class Timeline:
    """Which source frame each output frame shows.

    fps     frames per second of source and output
    source  (N,) int32, source frame of each output frame
    """

    fps: Fraction
    source: NDArray[np.int32]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(N,) float64, the middle of each output frame in seconds of the voice."""
        return np.asarray((np.arange(len(self.source)) + 0.5) / float(self.fps), np.float64)


@dataclass(frozen=True)
class Track:
    """One face tracked through the source video; small arrays in memory, the points on disk.

    width, height  of the full-size frame, pixels
    fps            of the source
    boxes          (T, 4) int32 x0 y0 x1 y1 in full-size pixels, even, inside the frame: all an engine may change;
                   all zero where there is no face
    effect_weight  (T,) float32 0..1, how much of the effect to show: 0 without a face or with an occluded one, fading
                   near gaps and beyond 30 degrees of yaw
    yaw_deg        (T,) float32, head turn, NaN where no face
    cuts           (T,) bool, first frame of a new shot (frame 0 included)
    face_count     (T,) uint8, how many faces were seen (1 between detections)
    points_file    raw little-endian float32 (T, MESH_POINTS, 3): x, y in full-size pixels, z in the same scale; NaN
                   where no face
    """

    width: int
    height: int
    fps: Fraction
    boxes: NDArray[np.int32]
    effect_weight: NDArray[np.float32]
    yaw_deg: NDArray[np.float32]
    cuts: NDArray[np.bool_]
    face_count: NDArray[np.uint8]
    points_file: Path

    def __len__(self) -> int:
        return len(self.boxes)

    def points(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return (stop - start, MESH_POINTS, 3) float32 read from disk, so that memory does not grow with length."""
        frame_bytes = MESH_POINTS * 3 * 4
        with open(self.points_file, "rb") as file:
            file.seek(start * frame_bytes)
            raw = file.read((stop - start) * frame_bytes)
        return np.frombuffer(raw, "<f4").reshape(-1, MESH_POINTS, 3)


class Crop(NamedTuple):
    """The face's box of one frame, as an engine gets it.

    output  index of the output frame (in `analyse_video`: the source frame)
    source  index of the source frame
    box     (x0, y0, x1, y1) in full-size pixels, equal to `Track.boxes[source]`
    image   the box's pixels
    """

    output: int
    source: int
    box: tuple[int, int, int, int]
    image: Image


class Patch(NamedTuple):
    """An engine's output for a Crop: a new image of the same size and where it is shown.

    output  index of the output frame, as in the Crop
    image   (h, w, 3) uint8 BGR
    mask    (h, w) float32 0..1, 0 where the original pixel must stay, bit for bit
    """

    output: int
    image: Image
    mask: NDArray[np.float32]


class Finding(NamedTuple):
    """Something that people should know about a video or voice: a message code and its fields."""

    code: str
    fields: dict[str, object]


def spans(flags: Sequence[bool] | NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the [start, stop) runs in which `flags` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(flags, np.int8), [0]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def spans_with(seeds: NDArray[np.bool_], flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (T,) bool, the runs of `flags` in which a seed lies."""
    found = np.zeros(len(flags), bool)
    for start, stop in spans(flags):
        found[start:stop] = seeds[start:stop].any()
    return found


def numbered_spans(runs: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Return [start, stop) of each numbered run, also where two runs touch."""
    change = np.flatnonzero(np.diff(np.concatenate(([0], runs, [0]))))
    return [(int(a), int(b)) for a, b in itertools.pairwise(change) if runs[a] > 0]
