"""Talking videos as arrays: the mesh of each frame and the sound, for measuring and for the face's shape."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..render.facemesh import MIN_FACE_SCORE, Detector, Mesh, around
from ..render.geometry import F32
from ..render.scene import MESH_POINTS, Image

SMALL_PIXELS = 640
VOICE_RATE_HZ = 16_000


class Clip(NamedTuple):
    """points (T, 468, 3) float32 with NaN where no face · fps · voice (samples,) float32 at 16 kHz."""

    points: F32
    fps: float
    voice: F32


def small_frames(path: Path) -> Iterator[Image]:
    """Yield frames in order, longest side 640 pixels or less."""
    video = cv2.VideoCapture(str(path))
    while True:
        ok, frame = video.read()
        if not ok:
            break
        scale = min(1.0, SMALL_PIXELS / max(frame.shape[:2]))
        yield cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    video.release()


def meshes(frames: Iterator[Image]) -> F32:
    """Return (T, 468, 3) points of the largest face, NaN where none."""
    detector, mesh, rows, square = Detector(), Mesh(), [], None
    for image in frames:
        if square is None:
            square = next(iter(detector.find(image, 2)), None)
        face = mesh.fit(image, square) if square else None
        if face is None or face.score < MIN_FACE_SCORE:
            square = None
            rows.append(np.full((MESH_POINTS, 3), np.nan, np.float32))
            continue
        square = around(face.points)
        rows.append(face.points)
    return np.asarray(rows, np.float32).reshape(-1, MESH_POINTS, 3)


def sound(path: Path) -> F32:
    """Return the sound track as mono float32 at 16 kHz."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-vn", "-ac", "1", "-ar", str(VOICE_RATE_HZ)]
    raw = subprocess.run([*command, "-f", "f32le", "-"], check=True, capture_output=True).stdout
    return np.frombuffer(raw, "<f4")


def load(path: Path, cache: Path) -> Clip:
    """Return a clip, tracked once and then read from `cache`."""
    kept = cache / f"{path.stem}.npz"
    if not kept.exists():
        video = cv2.VideoCapture(str(path))
        fps = float(video.get(cv2.CAP_PROP_FPS)) or 25.0
        video.release()
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, points=meshes(small_frames(path)), fps=fps, voice=sound(path))
    with np.load(kept) as data:
        return Clip(data["points"], float(data["fps"]), data["voice"])


def of(folder: Path, cache: Path) -> Iterator[tuple[str, Clip]]:
    """Yield (name, clip) of every video in a folder."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path.name, load(path, cache)
