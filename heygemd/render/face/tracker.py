"""Face trackers: small frames in, one presenter's Track out.

`FaceMeshTracker` needs nothing but the shipped networks; `fan.FaceAlignmentTracker` finds faces with S3FD and FAN.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...config.schema import DetectorName
from ...errors import EngineError, InputError, NotInstalled
from ...weights import requirements
from ..scene import Finding, Image, Track
from .landmark_smoothing import Seen, settle
from .landmarks import Detector, Mesh
from .multi_face_tracker import SLOTS, Crowd, Finder, SlotFiles, presenter

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
        """Raise NotInstalled when the tracker cannot run here: then work waits for it."""

    @abstractmethod
    def finder(self) -> Finder:
        """Return what finds faces in a small frame."""

    def track(
        self,
        frames: Iterator[Image],
        full_size: tuple[int, int],
        fps: Fraction,
        points_file: Path,
        progress: Callable[[int], None] | None = None,
        min_share: float = MIN_FACE_SHARE,
    ) -> tuple[Track, list[Finding]]:
        """Follow the presenter's face.

        frames       small frames (longest side 640 or less), all of one size
        full_size    (width, height) in pixels to which points and boxes are scaled
        points_file  written here, see Track.points_file
        progress     called with the number of frames seen
        min_share    least share of frames that must show the face

        Raise InputError("no_face"), InputError("few_faces", share=...) or InputError("face_never_clear").
        """
        files = SlotFiles(points_file)
        try:
            crowd = self._watch(frames, full_size, fps, files, progress)
            sides = np.asarray(crowd.sides, np.float32).reshape(-1, SLOTS)
            cuts = np.asarray(crowd.cuts, bool)
            starts = [int(i) for i in np.flatnonzero(cuts)]
            shots = list(itertools.pairwise([*starts, len(cuts)]))
            slot = presenter(sides, shots)
            share = float((slot >= 0).mean()) if len(slot) else 0.0
            if share == 0:
                raise InputError("no_face")
            if share < min_share:
                raise InputError("few_faces", share=round(share, 3))
            largest = sides.max(1, initial=0.0)
            faces = ((sides > 0) & (sides >= SECOND_FACE_SHARE * largest[:, None])).sum(1).astype(np.uint8)
            track, findings = settle(Seen(full_size, fps, slot, cuts, faces, files), points_file)
            if not track.strength.any() and not any(finding.code == "mouth_hidden" for finding in findings):
                raise InputError("face_never_clear")
            return track, findings
        finally:
            files.close()

    def _watch(
        self,
        frames: Iterator[Image],
        full_size: tuple[int, int],
        fps: Fraction,
        files: SlotFiles,
        progress: Callable[[int], None] | None,
    ) -> Crowd:
        crowd = Crowd(self.finder(), Mesh(), fps, (1.0, 1.0), files)
        for count, image in enumerate(frames, 1):
            crowd.scale = (full_size[0] / image.shape[1], full_size[1] / image.shape[0])
            crowd.add(image)
            if progress:
                progress(count)
        return crowd


class FaceMeshTracker(Tracker):
    """BlazeFace finds, Face Mesh follows; shipped with the package, runs on one core."""

    name = "facemesh"
    version = "1"

    def check(self) -> None:
        """Raise NotInstalled if a shipped network is missing or damaged."""
        Detector()
        Mesh()

    def finder(self) -> Finder:
        """Return BlazeFace."""
        return Detector()


def tracker(name: str, models: Path, device: str = "cpu", detector: DetectorName = "s3fd") -> Tracker:
    """Return the tracker called `name` ("auto", "facemesh", "face-alignment"), else EngineError("tracker_unknown").

    "auto" is face-alignment where its weights are installed and a GPU runs it: S3FD takes a processor seconds a look.
    """
    if name == FaceMeshTracker.name or (name == "auto" and not device.startswith("cuda")):
        return FaceMeshTracker(models, device)
    if name == "auto":
        try:
            requirements.face_alignment(detector, models)
        except NotInstalled:
            return FaceMeshTracker(models, device)
    if name in ("auto", "face-alignment"):
        from .face_alignment_tracker import FaceAlignmentTracker

        return FaceAlignmentTracker(models, device, detector)
    raise EngineError("tracker_unknown", name=name)
