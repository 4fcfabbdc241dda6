"""Follows up to three faces through a video at once and remembers where each was.

Which of them is the presenter is decided per shot when the whole video has been seen (`presenter`), so that the track
never jumps between people.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..scene import MESH_POINTS, Image
from . import persistent_occlusion, transient_occlusion
from .landmarks import MIN_FACE_SCORE, SAME_FACE_OVERLAP, Face, Mesh, Square, around, overlap

SLOTS = 3
RECHECK_S = 1.0
SEARCH_S = 0.2
DEEP_SEARCH_S = 1.0
SLOT_REUSE_S = 1.0
NEAR_SIDES = 1.0
"""A face found again within this many face sides of where it was lost is the same face."""
MAX_GROWTH = 1.6
THUMB = (48, 27)
CUT_LEVELS = 14.0
CUT_TIMES_USUAL = 3.5


class Finder(Protocol):
    """Finds faces in a small frame; `levels` says how small a face to look for."""

    def find(self, image: Image, levels: int = 3) -> list[Square]:
        """Return tight squares of distinct faces, largest first."""


class Cuts:
    """Sees scene changes: a jump of the thumbnail far above the usual frame-to-frame change."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._usual: deque[float] = deque(maxlen=12)

    def is_cut(self, image: Image) -> bool:
        """Return whether this frame starts a new shot (the first frame does)."""
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # halving is the fast case
        thumb = cv2.resize(half, THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, thumb
        if last is None:
            return True
        change = float(np.abs(thumb - last).mean())
        usual = float(np.median(self._usual)) if self._usual else 0.0
        cut = change > CUT_LEVELS and change > CUT_TIMES_USUAL * (usual + 1.0)
        if cut:
            self._usual.clear()
        else:
            self._usual.append(change)
        return cut


@dataclass
class Slot:
    """One followed face: where it was last seen."""

    square: Square | None = None
    seen: int = -1
    lost: bool = True


class SlotFiles:
    """For each slot on disk, sparse, a frame's raw points (468, 3), `cover.look` (n, 3) and `veil.measure` (4,)."""

    def __init__(self, base: Path) -> None:
        self.paths = [base.with_name(f"{base.name}.slot{k}") for k in range(SLOTS)]
        self._files = [open(path, "w+b") for path in self.paths]  # noqa: SIM115 closed by `close`
        looks = (len(transient_occlusion.skin()), 3)
        self._row = np.dtype([("points", "<f4", (MESH_POINTS, 3)), ("look", "u1", looks), ("veil", "<f4", (4,))])

    def write(
        self, slot: int, frame: int, image: Image, points: NDArray[np.float32], scale: NDArray[np.float32]
    ) -> None:
        """Keep (468, 3) points of one frame's image times `scale`, and what `cover` and `veil` want to know of them."""
        row = np.empty((), self._row)
        row["points"], row["look"] = points * scale, transient_occlusion.look(image, points)
        row["veil"] = (
            np.nan if frame % persistent_occlusion.EVERY_FRAMES else persistent_occlusion.measure(image, points)
        )
        self._files[slot].seek(frame * self._row.itemsize)
        self._files[slot].write(row.tobytes())

    def read(self, slot: int, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (n, 468, 3) of ascending frames that were written."""
        rows = np.empty((len(frames), MESH_POINTS, 3), "<f4")
        for row, frame in zip(rows, frames, strict=True):
            row[:] = self._at(slot, int(frame))["points"]
        return rows

    def looks(self, slots: NDArray[np.int8], frames: NDArray[np.int64]) -> transient_occlusion.Looks:
        """Return (n, m, 3) uint8 of frames that were written, each by its slot."""
        rows = np.empty((len(frames), len(transient_occlusion.skin()), 3), np.uint8)
        for row, slot, frame in zip(rows, slots, frames, strict=True):
            row[:] = self._at(int(slot), int(frame))["look"]
        return rows

    def veils(self, slots: NDArray[np.int8], frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (m, 4) what `veil.measure` said of those of the frames, each by its slot, that it looked at."""
        rows = [
            self._at(int(slot), int(frame))["veil"]
            for slot, frame in zip(slots, frames, strict=True)
            if frame % persistent_occlusion.EVERY_FRAMES == 0
        ]
        return np.asarray(rows, np.float32).reshape(-1, 4)

    def _at(self, slot: int, frame: int) -> NDArray[np.void]:
        self._files[slot].seek(frame * self._row.itemsize)
        return np.frombuffer(self._files[slot].read(self._row.itemsize), self._row).reshape(())

    def close(self) -> None:
        """Close and remove the files."""
        for file, path in zip(self._files, self.paths, strict=True):
            file.close()
            path.unlink(missing_ok=True)


@dataclass
class Crowd:
    """The faces of a video, frame by frame.

    sides  one (SLOTS,) list for each frame: size of the face in small-frame pixels, 0 where not seen
    cuts   first frames of shots
    """

    finder: Finder
    mesh: Mesh
    fps: Fraction
    scale: tuple[float, float]
    files: SlotFiles
    sides: list[Sequence[float]] = field(default_factory=list)
    cuts: list[bool] = field(default_factory=list)
    _slots: list[Slot] = field(default_factory=lambda: [Slot() for _ in range(SLOTS)])
    _cuts: Cuts = field(default_factory=Cuts)
    _shot: int = 0

    def add(self, image: Image) -> None:
        """Take the next small frame."""
        frame = len(self.sides)
        self.cuts.append(self._cuts.is_cut(image))
        if self.cuts[-1]:
            self._slots, self._shot = [Slot() for _ in range(SLOTS)], frame
        sides = [0.0] * SLOTS
        for k, slot in enumerate(self._slots):
            if slot.square is not None and not slot.lost:
                sides[k] = self._keep(k, frame, image, self.mesh.fit(image, slot.square))
        levels = self._levels(frame)
        if levels:
            for square in self.finder.find(image, levels):
                self._meet(image, frame, square, sides)
        self.sides.append(sides)

    def _levels(self, frame: int) -> int:
        """How deep to search this frame: 0 not at all."""
        active = any(not slot.lost for slot in self._slots)
        since = frame - (self._shot if active else max([self._shot, *(slot.seen + 1 for slot in self._slots)]))
        if active:
            return 2 if since % self._frames(RECHECK_S) == 0 else 0
        if since % self._frames(DEEP_SEARCH_S) == 0:
            return 3
        return 2 if since < self._frames(SEARCH_S) or since % self._frames(SEARCH_S) == 0 else 0

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * float(self.fps)))

    def _keep(self, k: int, frame: int, image: Image, face: Face) -> float:
        """Store a fitted face in its slot and return its side, or mark the slot lost and return 0."""
        slot, square = self._slots[k], around(face.points)
        old = slot.square or square
        grown = max(square.side, 1e-3) / max(old.side, 1e-3)
        twin = any(
            o is not slot and not o.lost and o.seen == frame and o.square and overlap(o.square, square) > 0.5
            for o in self._slots
        )
        if face.score < MIN_FACE_SCORE or twin or (slot.seen == frame - 1 and not 1 / MAX_GROWTH < grown < MAX_GROWTH):
            slot.lost = True
            return 0.0
        slot.square, slot.seen, slot.lost = square, frame, False
        self.files.write(k, frame, image, face.points, np.array((*self.scale, self.scale[0]), np.float32))
        return square.side

    def _meet(self, image: Image, frame: int, square: Square, sides: list[float]) -> None:
        """Give a detected face to the slot that lost it there, or to a free slot."""
        live = [s for s in self._slots if s.square is not None and not s.lost]
        if any(s.square and overlap(s.square, square) > SAME_FACE_OVERLAP for s in live):
            return
        k = self._slot_for(frame, square)
        if k is None:
            return
        face = self.mesh.fit(image, square)
        if face.score < MIN_FACE_SCORE:
            return
        face = self.mesh.fit(image, around(face.points))
        sides[k] = self._keep(k, frame, image, face)

    def _slot_for(self, frame: int, square: Square) -> int | None:
        lost = [k for k, s in enumerate(self._slots) if s.lost]
        near = [k for k in lost if _near(self._slots[k].square, square)]
        free = [k for k in lost if self._slots[k].square is None]
        stale = [k for k in lost if frame - self._slots[k].seen > self._frames(SLOT_REUSE_S)]
        stale.sort(key=lambda k: self._slots[k].seen)
        return next(iter(near + free + stale), None)


def _near(old: Square | None, new: Square) -> bool:
    return old is not None and np.hypot(old.x - new.x, old.y - new.y) < NEAR_SIDES * max(old.side, new.side)


def presenter(sides: NDArray[np.float32], shots: list[tuple[int, int]]) -> NDArray[np.int8]:
    """Return (T,) int8, the slot of the presenter in each frame, -1 where not seen.

    In each shot the largest and steadiest face wins (sum of its squared sides); another slot continues it only if the
    two are of like size and hardly ever seen together, so it must be the same person found again.
    """
    chosen = np.full(len(sides), -1, np.int8)
    for start, stop in shots:
        part = sides[start:stop]
        order = np.argsort(-(part**2).sum(0))
        mine = part[:, order[0]] > 0
        chosen[start:stop][mine] = order[0]
        usual = np.median(part[mine, order[0]]) if mine.any() else 0.0
        for k in order[1:]:
            other = part[:, k] > 0
            if not other.any() or (other & mine).sum() > 0.05 * other.sum():
                continue
            if 0.5 < np.median(part[other, k]) / max(usual, 1e-6) < 2.0:
                chosen[start:stop][other & ~mine] = k
                mine |= other
    return chosen
