"""The reference program's handling of a frame, for comparison: its frame count, its boxes, its hard paste.

Rudrabha/Wav2Lip's inference.py, defects included: the window starts a frame early, the last frames are dropped, boxes
lead the motion by two frames, and the patch is a rectangle.
"""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from ...scene import F32, Crop, Image, Patch, Timeline, Track
from . import face_crop
from .mel_windows import HOP, RATE_HZ, Starts, log_mel_windows
from .network import MEL_FRAMES, SIDE

PADS = (0, 10, 0, 0)
"""Top, bottom, left, right in pixels of the video, whatever its size."""
SMOOTHED = 5

Corners = NDArray[np.int64]


def window_starts(samples: int, fps: Fraction) -> Starts:
    """Return (n,) int64: the first mel frame of each frame that the reference would write for a voice of `samples`."""
    last = samples // HOP + 1 - MEL_FRAMES
    found: list[int] = []
    while (start := int(len(found) * (RATE_HZ / float(fps)))) <= last:
        found.append(start)
    return np.array([*found, max(last, 0)], np.int64)


def reference_boxes(bounds: F32, runs: list[tuple[int, int]], size: tuple[int, int]) -> Corners:
    """Return (T, 4) whole-pixel boxes x0 y0 x1 y1, padded, clipped and smoothed forwards in place.

    bounds  (T, 4) of the face · runs  [start, stop) with a face · size  (width, height) of the frame
    """
    top, bottom, left, right = PADS
    out = np.zeros(bounds.shape, np.int64)
    for start, stop in runs:
        part = bounds[start:stop].astype(np.int64) + np.array((-left, -top, right, bottom))
        part = np.clip(part, 0, (*size, *size))
        for k in range(len(part)):
            part[k] = part[min(k, max(0, len(part) - SMOOTHED)) :][:SMOOTHED].mean(0)
        out[start:stop] = part
    return out


class ReferenceStyle:
    """The reference program's inputs and output of a frame."""

    lower = False

    def __init__(self, track: Track, timeline: Timeline, voice: NDArray[np.float32], bounds: F32) -> None:
        """`bounds`: of face_crop.face_bounds."""
        self._source, self._voice = timeline.source, voice
        self._starts = window_starts(len(voice), timeline.fps)
        self._boxes = reference_boxes(bounds, face_crop.face_runs(track), (track.width, track.height))

    def face_input(self, crop: Crop) -> Image:
        """Return the network's face input, (SIDE, SIDE, 3) uint8 BGR."""
        x0, y0, x1, y1 = self._inside(crop)
        return np.asarray(cv2.resize(crop.image[y0:y1, x0:x1], (SIDE, SIDE)), np.uint8)

    def mel_input(self, outputs: NDArray[np.int64]) -> F32:
        """Return the network's audio input for (n,) output frames, (n, MEL_BANDS, MEL_FRAMES) float32."""
        return log_mel_windows(self._voice, self._starts[np.minimum(outputs, len(self._starts) - 1)])

    def make_patch(self, crop: Crop, face: Image, generated: F32) -> Patch:
        """Return the generated face, truncated to whole levels, over the box; no mask where the reference ends."""
        del face
        image, mask = crop.image.copy(), np.zeros(crop.image.shape[:2], np.float32)
        if crop.output < len(self._starts):
            x0, y0, x1, y1 = self._inside(crop)
            image[y0:y1, x0:x1] = cv2.resize(generated.astype(np.uint8), (x1 - x0, y1 - y0))
            mask[y0:y1, x0:x1] = 1
        return Patch(crop.output, image, mask)

    def _inside(self, crop: Crop) -> tuple[int, int, int, int]:
        """Return the box in the crop's own pixels, no larger than the crop and not empty."""
        h, w = crop.image.shape[:2]
        box = self._boxes[crop.source] - (*crop.box[:2], *crop.box[:2])
        x0, y0 = int(np.clip(box[0], 0, w - 1)), int(np.clip(box[1], 0, h - 1))
        return x0, y0, int(np.clip(box[2], x0 + 1, w)), int(np.clip(box[3], y0 + 1, h))
