"""Detects scene cuts by thumbnail differences."""

from __future__ import annotations

import statistics
from collections import deque

import cv2
import numpy as np

from ..scene import F32, Image

THUMBNAIL_SIZE = (48, 27)
HALVED_FROM = 4
"""An image is halved, which is fast, while it is at least this many times as large as the thumbnail."""
CUT_LEVELS = 14.0
"""Least mean difference of two thumbnails at a cut, in levels of 0..255."""
CUT_TIMES_USUAL = 3.5
"""Least ratio of that difference to the usual one between frames of the shot."""
USUAL_FRAMES = 12


class SceneCutDetector:
    """Reports a cut where the thumbnail changes far more than it usually does from frame to frame."""

    def __init__(self) -> None:
        self._last: F32 | None = None
        self._usual: deque[float] = deque(maxlen=USUAL_FRAMES)

    def is_cut(self, image: Image) -> bool:
        """Return whether this frame starts a new shot (the first frame does)."""
        thumbnail = _thumbnail(image)
        last, self._last = self._last, thumbnail
        if last is None:
            return True
        change = float(np.abs(thumbnail - last).mean())
        usual = statistics.median(self._usual) if self._usual else 0.0
        cut = change > CUT_LEVELS and change > CUT_TIMES_USUAL * (usual + 1.0)
        if cut:
            self._usual.clear()
        else:
            self._usual.append(change)
        return cut


def _thumbnail(image: Image) -> F32:
    width, height = THUMBNAIL_SIZE
    while image.shape[1] >= HALVED_FROM * width and image.shape[0] >= HALVED_FROM * height:
        image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(image, THUMBNAIL_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
