"""The face-alignment tracker: S3FD finds faces and FAN says how they lie; Face Mesh then fits its points there.

S3FD: Zhang et al. 2017, arXiv:1708.05237. FAN: Bulat and Tzimiropoulos 2017, arXiv:1703.07332. Their weights are large
and not shipped; they are taken from the models folder only, nothing is ever downloaded here.
"""

from __future__ import annotations

import math
import pickle
import tempfile
import warnings
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

S3FD_FILE, FAN_FILE = WEIGHT_FILES = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
FACES_AT_ONCE = 8
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
MESH_OVER_FAN = 1.15
"""Face Mesh's square reaches up to the hair, FAN's 68 points only to the brows."""


class FanFinder:
    """Faces as rolled squares, from S3FD's boxes and FAN's 68 points; the faces of a frame go through FAN together."""

    def __init__(self, models: Path, device: str) -> None:
        """Raise EngineError("weights_damaged") for files that do not hold these networks."""
        try:
            self._net = _load(models, device)
        except (RuntimeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            names = " / ".join(WEIGHT_FILES)
            raise EngineError("weights_damaged", name=names, detail=f"{type(error).__name__}: {error}"[:500]) from None

    def find(self, image: Image, levels: int = 3) -> list[Square]:
        """Return tight rolled squares, largest first. S3FD sees all sizes at once, so `levels` changes nothing."""
        del levels
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package warns of every frame without a face
            found = self._net.get_landmarks_from_image(np.ascontiguousarray(image[..., ::-1]))
        return distinct([square(points) for points in found or []])


def _load(models: Path, device: str) -> Any:
    """Return the package's networks from files of ours: nothing is fetched and only tensors are read."""
    import face_alignment

    before = torch.hub.get_dir()
    # FAN's file is looked for in torch hub's folder under its own name: lend it such a folder.
    with tempfile.TemporaryDirectory() as hub:
        folder = Path(hub) / "checkpoints"
        folder.mkdir()
        (folder / FAN_FILE).symlink_to((models / FAN_FILE).resolve())
        torch.hub.set_dir(hub)
        try:
            return face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=device,
                flip_input=False,
                compile=False,
                max_batch_size=FACES_AT_ONCE,
                face_detector="sfd",
                face_detector_kwargs={"path_to_detector": str(models / S3FD_FILE)},
            )
        finally:
            torch.hub.set_dir(before)


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
        if missing := [name for name in WEIGHT_FILES if not (self.models / name).is_file()]:
            raise EngineError("tracker_weights_missing", files=missing, folder=str(self.models))
        Detector()
        Mesh()

    def finder(self) -> Finder:
        """Return S3FD and FAN."""
        self.check()
        return FanFinder(self.models, self.device)
