"""Face trackers turn small frames into the Track of each face that speaks.

FaceMeshTracker needs only the shipped networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import InputError
from ..scene import Finding, Image, Track
from . import face_choice
from .detector import BlazeFace, FaceDetector
from .face_choice import Choose
from .face_records import FaceRecords, RawTrack
from .landmark_smoothing import merged, smooth_track
from .landmarks import FaceMesh
from .multi_face_tracker import SLOTS, MultiFaceTracker

MIN_FACE_SHARE = 0.1
SECOND_FACE_SHARE = 0.5
"""A second face counts when its side is at least this share of the largest one's."""


class Tracker(ABC):
    """Finds faces in every frame of a video."""

    name: ClassVar[str]
    light: ClassVar[bool] = False
    """Whether it may run beside an engine: on the CPU, in little memory."""
    version: str
    """Part of the track's cache key: raise it when the points change."""

    def __init__(self, models: Path, device: str = "cpu") -> None:
        """`models`: folder of large weights; `device`: torch device."""
        self.models = models
        self.device = device

    @abstractmethod
    def check(self) -> None:
        """Raise NotInstalled when the tracker cannot run here; the job then waits."""

    @abstractmethod
    def face_detector(self) -> FaceDetector:
        """Return what finds faces in a small frame."""

    def prefetch(self, frames: Iterator[Image], fps: Fraction) -> Iterator[Image]:
        """Return the frames; a tracker may read ahead to detect faces in batches."""
        del fps
        return frames

    def track(
        self,
        frames: Iterator[Image],
        full_size: tuple[int, int],
        fps: Fraction,
        points_file: Path,
        progress: Callable[[int], None] | None = None,
        min_share: float = MIN_FACE_SHARE,
    ) -> tuple[Track, list[Finding]]:
        """Track the presenter's face, which is the largest; the parameters and errors are those of `track_faces`."""
        (track,), findings = self.track_faces(
            frames, full_size, fps, points_file, face_choice.largest, progress, min_share
        )
        return track, findings

    def track_faces(
        self,
        frames: Iterator[Image],
        full_size: tuple[int, int],
        fps: Fraction,
        points_file: Path,
        choose: Choose,
        progress: Callable[[int], None] | None = None,
        min_share: float = MIN_FACE_SHARE,
    ) -> tuple[list[Track], list[Finding]]:
        """Track the faces that `choose` chooses, in one pass over the frames.

        frames       small frames (longest side 640 or less), all of one size
        full_size    (width, height) in pixels to which points and boxes are scaled
        points_file  written here, see Track.points_file; those of further faces lie beside it
        progress     called with the number of frames seen
        min_share    least share of frames that must show each face

        Raise InputError("no_face"), InputError("few_faces", share=...), InputError("face_never_clear") and what
        `choose` raises.
        """
        frames = self.prefetch(frames, fps)
        records = FaceRecords(points_file, SLOTS)
        try:
            faces = self._track_faces(frames, full_size, fps, records, progress).seen()
            if not faces.sides.any():
                raise InputError("no_face")
            largest = faces.sides.max(1, initial=0.0)
            counted = (faces.sides > 0) & (faces.sides >= SECOND_FACE_SHARE * largest[:, None])
            tracks, found = [], []
            for number, slot in enumerate(choose(faces)):
                share = float((slot >= 0).mean())
                if share < min_share:
                    raise InputError("few_faces", share=round(share, 3))
                raw = RawTrack(full_size, fps, slot, faces.cuts, counted.sum(1).astype(np.uint8), records)
                file = points_file.with_name(f"{points_file.stem}-{number}.f32") if number else points_file
                track, findings = smooth_track(raw, file)
                if not track.effect_weight.any() and not any(finding.code == "mouth_hidden" for finding in findings):
                    raise InputError("face_never_clear")
                tracks.append(track)
                found.append(findings)
            return tracks, merged(found)
        finally:
            records.close()

    def _track_faces(
        self,
        frames: Iterator[Image],
        full_size: tuple[int, int],
        fps: Fraction,
        records: FaceRecords,
        progress: Callable[[int], None] | None,
    ) -> MultiFaceTracker:
        faces = MultiFaceTracker(self.face_detector(), FaceMesh(), fps, (1.0, 1.0), records)
        for count, image in enumerate(frames, 1):
            faces.scale = (full_size[0] / image.shape[1], full_size[1] / image.shape[0])
            faces.add(image)
            if progress:
                progress(count)
        return faces


class FaceMeshTracker(Tracker):
    """BlazeFace detects, Face Mesh tracks; shipped with the package, runs on one core."""

    name = "facemesh"
    light = True
    version = "1"

    def check(self) -> None:
        """Raise NotInstalled if a shipped network is missing or damaged."""
        BlazeFace()
        FaceMesh()

    def face_detector(self) -> FaceDetector:
        """Return BlazeFace."""
        return BlazeFace()
