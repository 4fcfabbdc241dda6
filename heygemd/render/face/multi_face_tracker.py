"""Tracks up to MAX_FACES faces through a video at once.

Which of them speak is decided when the whole video has been seen (see `face_choice`), so that no track jumps between
people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ...config.schema import MAX_FACES
from ..scene import Image
from .detector import SAME_FACE_OVERLAP, FaceDetector, Square, overlap
from .face_choice import MIN_SIZE_SHARE, SeenFaces, Still
from .face_records import FaceRecords
from .landmarks import MIN_FACE_SCORE, Face, FaceMesh, square_around
from .scene_cut import SceneCutDetector

SLOTS = MAX_FACES
RECHECK_S = 1.0
"""How often other faces are searched while one is tracked."""
SEARCH_S, DEEP_SEARCH_S = 0.2, 1.0
"""How often a face is searched while none is tracked, and how often small ones too."""
SLOT_REUSE_S = 1.0
"""A slot whose face was lost longer ago may take another face."""
NEAR_SIDES = 1.0
"""A face found again within this many face sides of where it was lost is the same face."""
TWIN_OVERLAP = 0.5
"""Two slots whose squares overlap more than this track one face."""
MAX_GROWTH = 1.6
"""A face that grows or shrinks more than this from one frame to the next was lost."""
STEADY_S = 0.4
"""A face seen this long without a break is no false alarm."""


@dataclass
class Slot:
    """One tracked face: its square where it was last seen, in which frame, and whether it is lost since."""

    square: Square | None = None
    last_frame: int = -1
    lost: bool = True


@dataclass
class MultiFaceTracker:
    """The faces of a video, frame by frame.

    scale    (x, y) from small-frame pixels to those of `records`
    sides    for each frame a (SLOTS,) sequence: side of the face in small-frame pixels, 0 where not seen
    centres  for each frame a (SLOTS,) sequence: (x, y) of the face in small-frame pixels, wherever it was last seen
    cuts     for each frame whether a shot begins with it
    stills   the first frames with two steady faces, with three, and so on
    """

    detector: FaceDetector
    mesh: FaceMesh
    fps: Fraction
    scale: tuple[float, float]
    records: FaceRecords
    sides: list[Sequence[float]] = field(default_factory=list)
    centres: list[Sequence[tuple[float, float]]] = field(default_factory=list)
    cuts: list[bool] = field(default_factory=list)
    stills: list[Still] = field(default_factory=list)
    _slots: list[Slot] = field(default_factory=lambda: [Slot() for _ in range(SLOTS)])
    _cut_detector: SceneCutDetector = field(default_factory=SceneCutDetector)
    _shot_start: int = 0
    _seen_for: list[int] = field(default_factory=lambda: [0] * SLOTS)

    def add(self, image: Image) -> None:
        """Take the next small frame."""
        frame = len(self.sides)
        self.cuts.append(self._cut_detector.is_cut(image))
        if self.cuts[-1]:
            self._slots, self._shot_start = [Slot() for _ in range(SLOTS)], frame
            self._seen_for = [0] * SLOTS
        sides = [0.0] * SLOTS
        for k, slot in enumerate(self._slots):
            if slot.square is not None and not slot.lost:
                sides[k] = self._update(k, frame, image, self.mesh.fit(image, slot.square))
        levels = self._search_levels(frame)
        if levels:
            for square in self.detector.detect(image, levels):
                self._assign(image, frame, square, sides)
        self.sides.append(sides)
        self.centres.append([(s.square.x, s.square.y) if s.square else (0.0, 0.0) for s in self._slots])
        self._keep_still(frame, image, sides)

    def _keep_still(self, frame: int, image: Image, sides: list[float]) -> None:
        """Keep the image if more steady faces are seen than ever before, but more than one."""
        self._seen_for = [count + 1 if side else 0 for count, side in zip(self._seen_for, sides, strict=True)]
        least = MIN_SIZE_SHARE * max(sides)
        lasting = self._frames(STEADY_S)
        faces = sum(n >= lasting and side >= least for n, side in zip(self._seen_for, sides, strict=True))
        if faces > (self.stills[-1].faces if self.stills else 1):
            self.stills.append(Still(frame, faces, image.copy()))

    def seen(self) -> SeenFaces:
        """Return what was seen, as arrays."""
        return SeenFaces(
            np.asarray(self.sides, np.float32).reshape(-1, SLOTS),
            np.asarray(self.centres, np.float32).reshape(-1, SLOTS, 2),
            np.asarray(self.cuts, bool),
            self.stills,
        )

    def _search_levels(self, frame: int) -> int:
        """Return the detector's `levels` for this frame, 0 for no search."""
        tracking = any(not slot.lost for slot in self._slots)
        lost_since = max([self._shot_start, *(slot.last_frame + 1 for slot in self._slots)])
        since = frame - (self._shot_start if tracking else lost_since)
        if tracking:
            return 2 if since % self._frames(RECHECK_S) == 0 else 0
        if since % self._frames(DEEP_SEARCH_S) == 0:
            return 3
        return 2 if since < self._frames(SEARCH_S) or since % self._frames(SEARCH_S) == 0 else 0

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * float(self.fps)))

    def _update(self, k: int, frame: int, image: Image, face: Face) -> float:
        """Record a fitted face in its slot and return its side, or mark the slot lost and return 0."""
        slot, square = self._slots[k], square_around(face.points)
        old = slot.square or square
        growth = max(square.side, 1e-3) / max(old.side, 1e-3)
        twin = any(
            o is not slot and not o.lost and o.last_frame == frame and o.square
            and overlap(o.square, square) > TWIN_OVERLAP
            for o in self._slots
        )  # fmt: skip
        jumped = slot.last_frame == frame - 1 and not 1 / MAX_GROWTH < growth < MAX_GROWTH
        if face.score < MIN_FACE_SCORE or twin or jumped:
            slot.lost = True
            return 0.0
        slot.square, slot.last_frame, slot.lost = square, frame, False
        self.records.write(k, frame, image, face.points, np.array((*self.scale, self.scale[0]), np.float32))
        return square.side

    def _assign(self, image: Image, frame: int, square: Square, sides: list[float]) -> None:
        """Give a detected face to the slot that lost it there, or to a free slot."""
        tracked = [s.square for s in self._slots if s.square is not None and not s.lost]
        if any(overlap(other, square) > SAME_FACE_OVERLAP for other in tracked):
            return
        k = self._slot_for(frame, square)
        if k is None:
            return
        face = self.mesh.fit(image, square)
        if face.score < MIN_FACE_SCORE:
            return
        face = self.mesh.fit(image, square_around(face.points))
        sides[k] = self._update(k, frame, image, face)

    def _slot_for(self, frame: int, square: Square) -> int | None:
        lost = [k for k, s in enumerate(self._slots) if s.lost]
        near = [k for k in lost if _near(self._slots[k].square, square)]
        free = [k for k in lost if self._slots[k].square is None]
        stale = [k for k in lost if frame - self._slots[k].last_frame > self._frames(SLOT_REUSE_S)]
        stale.sort(key=lambda k: self._slots[k].last_frame)
        return next(iter(near + free + stale), None)


def _near(old: Square | None, new: Square) -> bool:
    return old is not None and np.hypot(old.x - new.x, old.y - new.y) < NEAR_SIDES * max(old.side, new.side)
