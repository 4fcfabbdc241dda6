"""A talking head to test on, made from scikit-image's photograph of an astronaut (public domain, NASA)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from heygemd.render.face.tracker import FaceMeshTracker
from heygemd.render.scene import Crop, Finding, Image, Track

FPS = Fraction(25)


def photo() -> Image:
    """The astronaut's head and shoulders, 300 x 300."""
    return np.ascontiguousarray(data.astronaut()[0:300, 70:370, ::-1])


def blank() -> Image:
    """A frame without a face."""
    return np.full((300, 300, 3), 90, np.uint8)


def swaying(count: int, size: int = 300) -> list[Image]:
    """`count` frames in which the photograph turns and shifts a little, as a person does."""
    frames = []
    for k in range(count):
        move = cv2.getRotationMatrix2D((150, 150), 2.0 * np.sin(k / 9), size / 300)
        move[:, 2] += (size - 300) / 2 + 3 * np.sin(k / 7)
        frames.append(np.asarray(cv2.warpAffine(photo(), move, (size, size), borderMode=cv2.BORDER_REFLECT), np.uint8))
    return frames


def track(frames: list[Image], folder: Path, fps: Fraction = FPS) -> tuple[Track, list[Finding]]:
    """Track frames that are their own small frames."""
    h, w = frames[0].shape[:2]
    return FaceMeshTracker(folder).track(iter(frames), (w, h), fps, folder / "points.f32")


def crops(frames: list[Image], tracked: Track, wanted: list[int]) -> Iterator[Crop]:
    """The boxes of the wanted frames, output equal to source."""
    for k in wanted:
        x0, y0, x1, y1 = (int(v) for v in tracked.boxes[k])
        yield Crop(k, k, (x0, y0, x1, y1), frames[k][y0:y1, x0:x1])
