"""Which of the faces in a video speaks: the largest one, or those chosen by position or number.

Numbers count from the left in one frame, the first that shows the most people; reports show it. Within a shot a number
stays with its person, wherever people move. Shots have nothing in common but the picture's edges: in another shot each
person is taken for the number whose place is nearest, in the order from left to right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...config.schema import Face
from ...errors import InputError
from ..scene import F32, Image

Slots = NDArray[np.int8]
"""(T,) int8, the slot that has a person's face in each frame, -1 where not seen."""

MAX_SEEN_TOGETHER = 0.05
"""Share of frames in which two slots of one person may both seem to show a face."""
MIN_SIZE_SHARE, MIN_SEEN_SHARE = 0.25, 0.1
"""A face counts from this share of the largest one's side on, in this share of its shot's frames."""
NEAR_SIDES = 2.0
"""Two slots that hold faces within this many face sides of each other may be one person."""
BOX_SIDES = 1.3
USED_COLOUR, OTHER_COLOUR = (60, 180, 40), (150, 150, 150)


class Still(NamedTuple):
    """A small frame in which several steady faces are seen at once."""

    frame: int
    faces: int
    image: Image


@dataclass(frozen=True)
class SeenFaces:
    """What a first pass over a video saw.

    sides    (T, S) float32, side of the face in each of S slots in small-frame pixels, 0 where not seen
    centres  (T, S, 2) float32, x and y in small-frame pixels of where each was last seen
    cuts     (T,) bool, first frames of shots
    stills   ascending in their number of faces
    """

    sides: F32
    centres: F32
    cuts: NDArray[np.bool_]
    stills: Sequence[Still]

    @property
    def shots(self) -> list[tuple[int, int]]:
        """[start, stop) of each shot."""
        return list(itertools.pairwise([*np.flatnonzero(self.cuts).tolist(), len(self.cuts)]))


class NumberedFaces(NamedTuple):
    """The frame that gives the faces their numbers.

    slots  its faces from left to right
    used   the numbers that speak, from 1 on; 0: none of them
    """

    still: Still
    slots: list[int]
    used: tuple[int, ...]


Choose = Callable[[SeenFaces], list[Slots]]
"""Returns the slots of each person that speaks."""


def largest(seen: SeenFaces) -> list[Slots]:
    """Return the slots of the presenter: the largest, steadiest face."""
    return [choose_presenter(seen.sides, seen.shots)]


def choose_faces(seen: SeenFaces, faces: Sequence[Face], show: Callable[[NumberedFaces], None]) -> list[Slots]:
    """Return the slots of the faces asked for, in that order; `show` gets the numbers, if there are several faces.

    Raises InputError("face_missing" | "faces_missing" | "faces_same").
    """
    numbered = _number(seen)
    if numbered is None:
        _require(faces, 1)
        return largest(seen)
    still, slots = numbered
    presenter = choose_presenter(seen.sides, seen.shots)
    people = _people_by_number(seen, still, slots)
    numbers = [_number_of(face, seen, still, slots, people, presenter) for face in faces]
    show(NumberedFaces(still, slots, tuple(numbers)))
    _require(faces, len(slots))
    for (one, face), (other, same) in itertools.combinations(zip(numbers, faces, strict=True), 2):
        if one == other:
            raise InputError("faces_same", one=face, other=same)
    return [presenter] if list(faces) == ["largest"] else [people[number - 1] for number in numbers]


def _require(faces: Sequence[Face], count: int) -> None:
    """Raise InputError if there are fewer than the faces asked for."""
    if len(faces) > count:
        raise InputError("faces_missing", count=count, speakers=len(faces))
    if missing := [face for face in faces if isinstance(face, int) and face > count]:
        raise InputError("face_missing", number=missing[0], count=count)


def _number(seen: SeenFaces) -> tuple[Still, list[int]] | None:
    """Return the first frame that shows the most people and their slots there from left to right, if several."""
    best: tuple[Still, list[int]] | None = None
    for still in seen.stills:
        start, stop = next(shot for shot in seen.shots if shot[0] <= still.frame < shot[1])
        here = [int(person[still.frame - start]) for person in _people(seen, start, stop)]
        slots = sorted((k for k in here if k >= 0), key=lambda k: float(seen.centres[still.frame, k, 0]))
        if len(slots) > (len(best[1]) if best else 1):
            best = still, slots
    return best


def _number_of(
    face: Face, seen: SeenFaces, still: Still, slots: list[int], people: list[Slots], presenter: Slots
) -> int:
    """Return the number of a face: 0 if it has none, more than there are if it does not exist."""
    if isinstance(face, int):
        return face
    if face == "left":
        return 1
    if face == "right":
        return len(slots)
    if face == "middle":
        x = seen.centres[still.frame, slots, 0]
        return int(np.argmin(np.abs(x - still.image.shape[1] / 2))) + 1
    together = [int(((person == presenter) & (presenter >= 0)).sum()) for person in people]
    return int(np.argmax(together)) + 1 if any(together) else 0


def _people_by_number(seen: SeenFaces, still: Still, slots: list[int]) -> list[Slots]:
    """Return the slots of each number through all shots."""
    numbered = [np.full(len(seen.cuts), -1, np.int8) for _ in slots]
    places = seen.centres[still.frame, slots, 0]
    for start, stop in seen.shots:
        people = _people(seen, start, stop)
        if start <= still.frame < stop:
            there = {int(person[still.frame - start]): person for person in people}
            pairs = [(there[slot], number) for number, slot in enumerate(slots)]
        else:
            x = [_middle(seen, start, person)[0] for person in people]
            people = [people[k] for k in np.argsort(x)]
            pairs = [(people[i], number) for i, number in _nearest(sorted(x), places.tolist())]
        for person, number in pairs:
            numbered[number][start:stop] = person
    return numbered


def _nearest(xs: list[float], places: list[float]) -> list[tuple[int, int]]:
    """Pair ascending positions with ascending places, all of the fewer ones, in order, by the least distance."""
    count = min(len(xs), len(places))
    pairings = (
        list(zip(some, others, strict=True))
        for some in itertools.combinations(range(len(xs)), count)
        for others in itertools.combinations(range(len(places)), count)
    )
    return min(pairings, key=lambda pairs: sum(abs(xs[i] - places[j]) for i, j in pairs))


def _people(seen: SeenFaces, start: int, stop: int) -> list[Slots]:
    """Return the slots of each person of one shot, without small and fleeting faces.

    A slot continues a person that is near, of similar size and hardly ever seen together with it.
    """
    sides = seen.sides[start:stop]
    people: list[Slots] = []
    for k in np.argsort(-(sides**2).sum(0)):
        slot = np.where(sides[:, k] > 0, k, -1).astype(np.int8)
        if (slot < 0).all():
            continue
        same = [person for person in people if _is_same(seen, start, person, slot)]
        if same:
            place = _middle(seen, start, slot)
            person = min(same, key=lambda each: float(np.hypot(*(_middle(seen, start, each) - place)[:2])))
            person[person < 0] = slot[person < 0]
        else:
            people.append(slot)
    largest_side = max((_middle(seen, start, person)[2] for person in people), default=0.0)
    return [
        person
        for person in people
        if (person >= 0).mean() >= MIN_SEEN_SHARE and _middle(seen, start, person)[2] >= MIN_SIZE_SHARE * largest_side
    ]


def _is_same(seen: SeenFaces, start: int, person: Slots, slot: Slots) -> bool:
    mine, other = person >= 0, slot >= 0
    if (mine & other).sum() > MAX_SEEN_TOGETHER * other.sum():
        return False
    x, y, side = _middle(seen, start, person)
    other_x, other_y, other_side = _middle(seen, start, slot)
    near = np.hypot(x - other_x, y - other_y) < NEAR_SIDES * max(side, other_side)
    return bool(near and 0.5 < other_side / side < 2.0)


def _middle(seen: SeenFaces, start: int, person: Slots) -> F32:
    """Return (3,) float32 the medians of x, y and side over the frames of a shot that show a person."""
    frames = np.flatnonzero(person >= 0)
    rows, slots = start + frames, person[frames]
    both = np.concatenate([seen.centres[rows, slots], seen.sides[rows, slots][:, None]], 1)
    return np.asarray(np.median(both, 0), np.float32)


def in_boxes(seen: SeenFaces, boxes: Sequence[F32]) -> list[Slots]:
    """Return, for each of (T, 4) float32 x0 y0 x1 y1 in small-frame pixels, the slots of the faces within them."""
    found = []
    for box in boxes:
        box = box[: len(seen.sides)]
        inside = (seen.centres >= box[:, None, :2]) & (seen.centres <= box[:, None, 2:])
        there = inside.all(2) & (seen.sides > 0)
        found.append(np.where(there.any(1), (there * seen.sides).argmax(1), -1).astype(np.int8))
    return found


def choose_presenter(sides: F32, shots: list[tuple[int, int]]) -> Slots:
    """Return (T,) int8, the slot of the presenter in each frame, -1 where not seen.

    In each shot the largest and most constant face wins (sum of its squared sides). Another slot continues it only if
    the two are of similar size and hardly ever seen together: then it is the same person found again.

    sides  (T, SLOTS) float32, see SeenFaces
    shots  [start, stop) frames
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
            if not other.any() or (other & mine).sum() > MAX_SEEN_TOGETHER * other.sum():
                continue
            if 0.5 < np.median(part[other, k]) / max(usual, 1e-6) < 2.0:
                chosen[start:stop][other & ~mine] = k
                mine |= other
    return chosen


def picture(seen: SeenFaces, numbered: NumberedFaces) -> Image:
    """Return the still with a numbered box round each face, those that speak in colour."""
    image: Image = numbered.still.image.copy()
    for number, slot in enumerate(numbered.slots, 1):
        used = number in numbered.used
        colour, line = (USED_COLOUR, 3) if used else (OTHER_COLOUR, 2)
        half = BOX_SIDES * seen.sides[numbered.still.frame, slot] / 2
        x, y = seen.centres[numbered.still.frame, slot]
        left, top = max(int(x - half), 2), max(int(y - half), 2)
        cv2.rectangle(image, (left, top), (int(x + half), int(y + half)), colour, line)
        cv2.rectangle(image, (left, top), (left + 30, top + 34), colour, cv2.FILLED)
        cv2.putText(image, str(number), (left + 5, top + 27), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
    return image
