"""Talking videos as arrays, for training and evaluation: the mesh of each frame, and the sound."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config.schema import Limits
from ..errors import InputError
from ..render.audio import load as audio
from ..render.cache import Cache
from ..render.face.detector import BlazeFace
from ..render.face.landmarks import MIN_FACE_SCORE, FaceMesh, square_around
from ..render.scene import F32, MESH_POINTS, Image
from ..render.video import decode

CACHE_BYTES = 1 << 30


class RealClip(NamedTuple):
    """A talking video.

    points  (T, 468, 3) float32 in pixels, NaN where no face
    voice   (samples,) float32 at 16 kHz
    """

    points: F32
    fps: float
    voice: F32


def track_largest_face(frames: Iterator[Image]) -> F32:
    """Return (T, 468, 3) points of the largest face, NaN where none."""
    detector, mesh, rows, square = BlazeFace(), FaceMesh(), [], None
    for image in frames:
        if square is None:
            square = next(iter(detector.detect(image, 2)), None)
        face = mesh.fit(image, square) if square else None
        if face is None or face.score < MIN_FACE_SCORE:
            square = None
            rows.append(np.full((MESH_POINTS, 3), np.nan, np.float32))
            continue
        square = square_around(face.points)
        rows.append(face.points)
    return np.asarray(rows, np.float32).reshape(-1, MESH_POINTS, 3)


def load_sound(path: Path) -> F32:
    """Return (samples,) float32 mono at 16 kHz of the sound track, empty if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder) / "cache", CACHE_BYTES)
        try:
            return np.array(audio.load_voice(path, "sound", Limits(), cache, Path(folder) / "sound").samples)
        except InputError as error:
            if error.code != "no_audio":
                raise
            return np.zeros(0, np.float32)


def load_clip(path: Path, cache: Path) -> RealClip:
    """Return a clip, tracked once and then read from the folder `cache`."""
    kept = cache / f"{path.name}.npz"
    if not kept.exists():
        picture = decode.describe_video(path, Limits())
        frames = decode.small_frames(picture)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, points=track_largest_face(frames), fps=float(picture.fps), voice=load_sound(path))
    with np.load(kept) as data:
        return RealClip(data["points"], float(data["fps"]), data["voice"])


def load_folder(folder: Path, cache: Path) -> Iterator[tuple[str, RealClip]]:
    """Yield (file name, clip) of every video in a folder."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path.name, load_clip(path, cache)
