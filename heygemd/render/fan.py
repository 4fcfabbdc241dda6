"""The face-alignment tracker: S3FD finds faces and FAN says how they lie; Face Mesh then fits its points there.

S3FD: Zhang et al. 2017, arXiv:1708.05237. FAN: Bulat and Tzimiropoulos 2017, arXiv:1703.07332. Their weights are large
and not shipped; they are taken from the models folder only, nothing is ever downloaded here.
"""

from __future__ import annotations

import inspect
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import EngineError
from .facemesh import Detector, Mesh, Square, distinct
from .faces import Tracker
from .follow import Finder
from .geometry import F32
from .scene import Image

WEIGHT_FILES = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
MESH_OVER_FAN = 1.15
"""Face Mesh's square reaches up to the hair, FAN's 68 points only to the brows."""


class FanFinder:
    """Faces as rolled squares, from S3FD's boxes and FAN's 68 points."""

    def __init__(self, models: Path, device: str) -> None:
        import face_alignment

        wanted: dict[str, Any] = {"device": device, "flip_input": False, "compile": False}
        known = inspect.signature(face_alignment.FaceAlignment).parameters
        options = {name: value for name, value in wanted.items() if name in known}
        before = torch.hub.get_dir()
        # The package looks for its files in torch hub's folder under their own names: lend it such a folder.
        with tempfile.TemporaryDirectory() as hub:
            folder = Path(hub) / "checkpoints"
            folder.mkdir()
            for name in WEIGHT_FILES:
                (folder / name).symlink_to((models / name).resolve())
            torch.hub.set_dir(hub)
            try:
                self._net = face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, **options)
            finally:
                torch.hub.set_dir(before)

    def find(self, image: Image, levels: int = 3) -> list[Square]:
        """Return tight rolled squares, largest first. S3FD sees all sizes at once, so `levels` changes nothing."""
        del levels
        found = self._net.get_landmarks_from_image(np.ascontiguousarray(image[..., ::-1]))
        return distinct([square(points) for points in found or []])


def square(points: F32) -> Square:
    """Return the rolled square round a face of (68, 2) FAN points that Face Mesh expects."""
    eye_x, eye_y = points[LEFT_EYE].mean(0) - points[RIGHT_EYE].mean(0)
    roll = math.atan2(eye_y, eye_x)
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright = points @ turn
    low, high = upright.min(0), upright.max(0)
    side = float((high - low).max()) * MESH_OVER_FAN
    # The missing forehead lies above the points.
    x, y = turn @ np.array([(low[0] + high[0]) / 2, high[1] - side / 2])
    return Square(float(x), float(y), side, roll)


class FaceAlignmentTracker(Tracker):
    """S3FD and FAN in place of BlazeFace: slower, finds smaller and more turned faces; needs weights."""

    name = "face-alignment"
    version = "1"

    def check(self) -> None:
        """Raise EngineError("tracker_weights_missing", files=[...], folder=...) if the weights are not in `models`."""
        missing = [name for name in WEIGHT_FILES if not (self.models / name).is_file()]
        if missing:
            raise EngineError("tracker_weights_missing", files=missing, folder=str(self.models))
        Detector()
        Mesh()

    def finder(self) -> Finder:
        """Return S3FD and FAN."""
        self.check()
        return FanFinder(self.models, self.device)
