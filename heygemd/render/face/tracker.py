"""Face trackers turn small frames into the presenter's Track. FaceMeshTracker needs only the shipped networks."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import InputError
from ..scene import Finding, Image, Track
from .detector import BlazeFace, FaceDetector
from .face_records import FaceRecords, RawTrack
from .landmark_smoothing import smooth_track
from .landmarks import FaceMesh
from .multi_face_tracker import SLOTS, MultiFaceTracker, choose_presenter

MIN_FACE_SHARE = 0.1
SECOND_FACE_SHARE = 0.5
"""A second face counts when its side is at least this share of the largest one's."""


class Tracker(ABC):
    """Finds the presenter's face in every frame of a video."""

    name: ClassVar[str]
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
        """Track the presenter's face.

        frames       small frames (longest side 640 or less), all of one size
        full_size    (width, height) in pixels to which points and boxes are scaled
        points_file  written here, see Track.points_file
        progress     called with the number of frames seen
        min_share    least share of frames that must show the face

        Raise InputError("no_face"), InputError("few_faces", share=...) or InputError("face_never_clear").
        """
        frames = self.prefetch(frames, fps)
        records = FaceRecords(points_file, SLOTS)
        try:
            faces = self._track_faces(frames, full_size, fps, records, progress)
            sides = np.asarray(faces.sides, np.float32).reshape(-1, SLOTS)
            cuts = np.asarray(faces.cuts, bool)
            starts = [int(i) for i in np.flatnonzero(cuts)]
            shots = list(itertools.pairwise([*starts, len(cuts)]))
            slot = choose_presenter(sides, shots)
            share = float((slot >= 0).mean()) if len(slot) else 0.0
            if share == 0:
                raise InputError("no_face")
            if share < min_share:
                raise InputError("few_faces", share=round(share, 3))
            largest = sides.max(1, initial=0.0)
            face_count = ((sides > 0) & (sides >= SECOND_FACE_SHARE * largest[:, None])).sum(1).astype(np.uint8)
            track, findings = smooth_track(RawTrack(full_size, fps, slot, cuts, face_count, records), points_file)
            if not track.effect_weight.any() and not any(finding.code == "mouth_hidden" for finding in findings):
                raise InputError("face_never_clear")
            return track, findings
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
    version = "1"

    def check(self) -> None:
        """Raise NotInstalled if a shipped network is missing or damaged."""
        BlazeFace()
        FaceMesh()

    def face_detector(self) -> FaceDetector:
        """Return BlazeFace."""
        return BlazeFace()
