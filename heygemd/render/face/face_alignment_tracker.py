"""The face-alignment tracker: S3FD or BlazeFace finds faces, FAN places their squares, Face Mesh fits its points.

S3FD: Zhang et al. 2017, arXiv:1708.05237. FAN: Bulat and Tzimiropoulos 2017, arXiv:1703.07332. Their weights are large
and not shipped. They are read from the models folder only; nothing is downloaded here.
"""

from __future__ import annotations

import math
import pickle
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from loguru import logger

from ...config.schema import DetectorName
from ...errors import EngineError, NotInstalled
from ...weights import requirements
from ..oom import is_out_of_memory
from ..scene import F32, Image
from .detector import FaceDetector, Square, anchors, distinct
from .landmarks import FaceMesh
from .multi_face_tracker import SEARCH_S
from .tracker import Tracker

BATCHES = {"cpu": 1, "cuda": 16}
"""Frames at a time. On a CPU, batches of four would save a seventh of S3FD's time, less than unneeded frames cost."""
FAN_RIGHT_EYE, FAN_LEFT_EYE = slice(36, 42), slice(42, 48)
"""The eyes among FAN's 68 points."""
MESH_OVER_FAN = 1.15
"""Face Mesh's square reaches up to the hair, FAN's 68 points only to the brows."""


class FanDetector:
    """Finds faces as rolled squares, from a detector's boxes and FAN's 68 points.

    While a face is tracked, one frame a second is searched. While there is none, every `stride`-th frame is, and those
    of the coming frames go through the detector in one batch.

    batch  frames, and faces of a frame, at a time; halved when memory runs out, then the CPU is used
    """

    def __init__(self, detector: DetectorName, models: Path, device: str) -> None:
        """Raise NotInstalled if files are missing or do not hold these networks, EngineError("engine_memory")."""
        files = requirements.face_alignment_files(detector, models)
        try:
            self._net = _load_where_it_fits(detector, *files, device)
        except (RuntimeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError) as error:
            if is_out_of_memory(error):
                raise EngineError("engine_memory") from None
            detail, names = f"{type(error).__name__}: {error}"[:500], " / ".join(path.name for path in files)
            raise NotInstalled("weights_damaged", detail, name=names, path=str(models)) from None
        self._square = detector == "blazeface"
        self.batch = BATCHES[torch.device(self._net.device).type]
        self._upcoming: deque[Image] = deque()
        self._now = self._last = self._stride = 0
        self._cached: dict[int, list[Square]] = {}

    def prefetch(self, frames: Iterator[Image], stride: int) -> Iterator[Image]:
        """Yield the frames while holding those of the next batch; `detect` may be called with the last one yielded."""
        self._now, self._last, self._stride, self._cached = 0, 0, stride, {}
        self._upcoming = deque(islice(frames, self.batch * stride))
        while self._upcoming:
            yield self._upcoming[0]
            self._upcoming.popleft()
            self._upcoming.extend(islice(frames, 1))
            self._now += 1

    def detect(self, image: Image, levels: int = 3) -> list[Square]:
        """Return tight rolled squares, largest first. The network finds faces of all sizes: `levels` is ignored."""
        del levels
        self._cached = {number: faces for number, faces in self._cached.items() if number >= self._now}
        if self._now not in self._cached:
            # Without a face the next search comes after another stride, so a whole batch can be detected now.
            idle = self._now - self._last == self._stride and not self._cached
            steps = range(0, len(self._upcoming) or 1, self._stride or 1)[: self.batch if idle else 1]
            found = self._detect_batch([image, *(self._upcoming[step] for step in steps[1:])])
            self._cached |= {self._now + step: faces for step, faces in zip(steps, found, strict=True)}
        self._last = self._now
        return self._cached.pop(self._now)

    def _detect_batch(self, images: list[Image]) -> list[list[Square]]:
        while True:
            try:
                boxes = [each for start in range(0, len(images), self.batch) for each in self._boxes(images, start)]
                return [self._squares(*pair) for pair in zip(images, boxes, strict=True)]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink()

    def _boxes(self, images: list[Image], start: int) -> list[F32]:
        part = [_squared(image) if self._square else image for image in images[start : start + self.batch]]
        pixels = torch.from_numpy(np.stack([image[..., ::-1] for image in part]).transpose(0, 3, 1, 2))
        return list(self._net.face_detector.detect_from_batch(pixels))

    def _squares(self, image: Image, boxes: F32) -> list[Square]:
        if not len(boxes):
            return []
        self._net.max_batch_size = self.batch
        pixels = np.ascontiguousarray(image[..., ::-1])
        found = self._net.get_landmarks_from_image(pixels, detected_faces=boxes)
        return distinct([fan_square(points) for points in found])

    def _shrink(self) -> None:
        """Halve the batch; below one frame move from the GPU to the CPU. Raise EngineError("engine_memory") there."""
        self.batch //= 2
        logger.warning("out of memory in the face detector on {}: batch is now {}", self._net.device, self.batch)
        if self.batch:
            torch.cuda.empty_cache()
            return
        if self._net.device == "cpu":
            raise EngineError("engine_memory")
        for part in (self._net.face_alignment_net, self._net.face_detector.face_detector):
            part.to("cpu")
        self._net.device = self._net.face_detector.device = "cpu"
        self.batch = BATCHES["cpu"]


def _load_where_it_fits(detector: DetectorName, detector_file: Path, fan_file: Path, device: str) -> Any:
    """Return `_load` on the device, or on the CPU if the device has no room."""
    try:
        return _load(detector, detector_file, fan_file, device)
    except RuntimeError as error:
        if device == "cpu" or not is_out_of_memory(error):
            raise
        logger.warning("out of memory on {} while loading the face detector: using the CPU", device)
        return _load(detector, detector_file, fan_file, "cpu")


def _load(detector: DetectorName, detector_file: Path, fan_file: Path, device: str) -> Any:
    """Return face_alignment.FaceAlignment with the given files: nothing is downloaded and only tensors are read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import face_alignment

    before, benchmark = torch.hub.get_dir(), torch.backends.cudnn.benchmark
    # The package looks for FAN's file in torch hub's folder: give it a temporary one that links to the file.
    with tempfile.TemporaryDirectory() as hub:
        folder = Path(hub) / "checkpoints"
        folder.mkdir()
        (folder / fan_file.name).symlink_to(fan_file.resolve())
        options: dict[str, Any] = {"path_to_detector": str(detector_file)}
        if detector == "blazeface":
            np.save(folder / "anchors.npy", np.pad(anchors(), ((0, 0), (0, 2)), constant_values=1))
            options |= {"path_to_anchor": str(folder / "anchors.npy"), "back_model": True}
        torch.hub.set_dir(hub)
        try:
            net = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=device,
                flip_input=False,
                compile=False,
                face_detector={"s3fd": "sfd"}.get(detector, detector),
                face_detector_kwargs=options,
            )
        finally:
            torch.hub.set_dir(before)
            torch.backends.cudnn.benchmark = benchmark
    # On a card the package lets cuDNN try all algorithms, whose workspaces may be large: when it loads, and before each
    # pass through S3FD.
    net.face_detector.face_detector.register_forward_pre_hook(lambda *_: _set_cudnn_benchmark(benchmark))
    return net


def _set_cudnn_benchmark(on: bool) -> None:
    torch.backends.cudnn.benchmark = on


def _squared(image: Image) -> Image:
    """Return the image padded with black to a square: the package's BlazeFace crops anything else."""
    height, width = image.shape[:2]
    side = max(height, width)
    return np.asarray(cv2.copyMakeBorder(image, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT), np.uint8)


def fan_square(points: F32) -> Square:
    """Return the rolled square around (68, 2) FAN points that Face Mesh expects."""
    eye_x, eye_y = points[FAN_LEFT_EYE].mean(0) - points[FAN_RIGHT_EYE].mean(0)
    roll = math.atan2(eye_y, eye_x)
    turn = np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    upright = points @ turn
    low, high = upright.min(0), upright.max(0)
    side = float((high - low).max()) * MESH_OVER_FAN
    # FAN has no points on the forehead.
    x, y = turn @ np.array([(low[0] + high[0]) / 2, high[1] - side / 2])
    return Square(float(x), float(y), side, roll)


class FaceAlignmentTracker(Tracker):
    """FAN in place of BlazeFace: slower, finds smaller and more turned faces; needs weights."""

    name = "face-alignment"

    def __init__(self, models: Path, device: str = "cpu", detector: DetectorName = "s3fd") -> None:
        """`detector`: the network whose boxes FAN gets."""
        super().__init__(models, device)
        self.detector = detector
        self.version = f"2 {detector}"

    def check(self) -> None:
        """Raise NotInstalled if weights are missing or wrong."""
        assert self._detector
        FaceMesh()

    @cached_property
    def _detector(self) -> FanDetector:
        return FanDetector(self.detector, self.models, self.device)

    def face_detector(self) -> FaceDetector:
        """Return the networks."""
        return self._detector

    def prefetch(self, frames: Iterator[Image], fps: Fraction) -> Iterator[Image]:
        """Return the frames. The networks see them ahead, in batches."""
        return self._detector.prefetch(frames, max(1, round(SEARCH_S * float(fps))))
