"""What tracking keeps of each frame's faces, on disk so that memory does not grow with the video's length."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..scene import F32, MESH_POINTS, Image
from . import persistent_occlusion, transient_occlusion
from .persistent_occlusion import MouthVisibility


class FaceRecords:
    """One sparse file for each slot (see multi_face_tracker), with one record for each frame that shows its face.

    A record holds the raw points (468, 3), the skin samples (n, 3) and, every few frames, the mouth's visibility.
    """

    def __init__(self, base: Path, slots: int) -> None:
        """Create the files beside `base`."""
        self.paths = [base.with_name(f"{base.name}.slot{k}") for k in range(slots)]
        self._files = [open(path, "w+b") for path in self.paths]  # noqa: SIM115 closed by `close`
        self._record = np.dtype([
            ("points", "<f4", (MESH_POINTS, 3)),
            ("skin", "u1", (len(transient_occlusion.skin()), 3)),
            ("visibility", "<f4", (len(MouthVisibility._fields),)),
        ])  # fmt: skip

    def write(self, slot: int, frame: int, image: Image, points: F32, scale: F32) -> None:
        """Measure (468, 3) points of one frame's image and keep them times `scale`."""
        record = np.empty((), self._record)
        record["points"], record["skin"] = points * scale, transient_occlusion.skin_samples(image, points)
        wanted = frame % persistent_occlusion.EVERY_FRAMES == 0
        record["visibility"] = persistent_occlusion.measure_visibility(image, points) if wanted else np.nan
        self._files[slot].seek(frame * self._record.itemsize)
        self._files[slot].write(record.tobytes())

    def points(self, slot: int, frames: NDArray[np.int64]) -> F32:
        """Return (n, 468, 3) float32 points of frames that were written."""
        rows = np.empty((len(frames), MESH_POINTS, 3), "<f4")
        for row, frame in zip(rows, frames, strict=True):
            row[:] = self._read(slot, int(frame))["points"]
        return rows

    def skin_samples(self, slots: NDArray[np.int8], frames: NDArray[np.int64]) -> transient_occlusion.SkinSamples:
        """Return (n, m, 3) uint8 samples of frames that were written, each from its own slot."""
        rows = np.empty((len(frames), len(transient_occlusion.skin()), 3), np.uint8)
        for row, slot, frame in zip(rows, slots, frames, strict=True):
            row[:] = self._read(int(slot), int(frame))["skin"]
        return rows

    def visibility(self, slots: NDArray[np.int8], frames: NDArray[np.int64]) -> F32:
        """Return (m, 4) float32 MouthVisibility rows of those of the frames for which it was measured."""
        rows = [
            self._read(int(slot), int(frame))["visibility"]
            for slot, frame in zip(slots, frames, strict=True)
            if frame % persistent_occlusion.EVERY_FRAMES == 0
        ]
        return np.asarray(rows, np.float32).reshape(-1, len(MouthVisibility._fields))

    def _read(self, slot: int, frame: int) -> NDArray[np.void]:
        self._files[slot].seek(frame * self._record.itemsize)
        return np.frombuffer(self._files[slot].read(self._record.itemsize), self._record).reshape(())

    def close(self) -> None:
        """Close and remove the files."""
        for file, path in zip(self._files, self.paths, strict=True):
            file.close()
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class RawTrack:
    """The presenter's face as the first pass saw it.

    full_size   (width, height) of the frame, pixels
    slot        (T,) int8, the slot of `records` that has the face, -1 where not seen
    cuts        (T,) bool, first frames of shots
    face_count  (T,) uint8
    records     raw points, skin samples and mouth visibility
    """

    full_size: tuple[int, int]
    fps: Fraction
    slot: NDArray[np.int8]
    cuts: NDArray[np.bool_]
    face_count: NDArray[np.uint8]
    records: FaceRecords
