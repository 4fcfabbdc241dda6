"""Face trackers by name."""

from __future__ import annotations

from pathlib import Path

from ...config.schema import DetectorName
from ...errors import EngineError, NotInstalled
from ...weights import requirements
from .tracker import FaceMeshTracker, Tracker


def create_tracker(name: str, models: Path, device: str = "cpu", detector: DetectorName = "s3fd") -> Tracker:
    """Return the tracker called `name` ("auto", "facemesh", "face-alignment"), else EngineError("tracker_unknown").

    "auto" is face-alignment where its weights are installed and a GPU runs it: on a CPU, S3FD takes seconds a frame.

    detector  the network that finds faces for face-alignment
    """
    if name == FaceMeshTracker.name or (name == "auto" and not device.startswith("cuda")):
        return FaceMeshTracker(models, device)
    if name == "auto":
        try:
            requirements.face_alignment_files(detector, models)
        except NotInstalled:
            return FaceMeshTracker(models, device)
    if name in ("auto", "face-alignment"):
        from .face_alignment_tracker import FaceAlignmentTracker

        return FaceAlignmentTracker(models, device, detector)
    raise EngineError("tracker_unknown", name=name)
