"""Which of several faces speaks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.errors import InputError
from heygemd.render.face import face_choice
from heygemd.render.face.face_choice import NumberedFaces, SeenFaces, Still
from heygemd.render.face.multi_face_tracker import SLOTS
from heygemd.render.face.tracker import FaceMeshTracker

from .. import presenter as people

WIDTH = 640


def seen(*shots: dict[int, tuple[float, float]], length: int = 50) -> SeenFaces:
    """Shots of `length` frames with a face in each slot named: x of its centre, and its side."""
    sides = np.zeros((len(shots) * length, SLOTS), np.float32)
    centres = np.zeros((*sides.shape, 2), np.float32)
    cuts = np.zeros(len(sides), bool)
    stills: list[Still] = []
    for number, faces in enumerate(shots):
        part = slice(number * length, (number + 1) * length)
        cuts[part.start] = True
        for slot, (x, side) in faces.items():
            sides[part, slot], centres[part, slot] = side, (x, 180)
        if len(faces) > (stills[-1].faces if stills else 1):
            stills.append(Still(part.start + 10, len(faces), np.zeros((360, WIDTH, 3), np.uint8)))
    return SeenFaces(sides, centres, cuts, stills)


def chosen(faces: SeenFaces, *wanted: str | int) -> tuple[list[list[int]], NumberedFaces | None]:
    """The slot of each face asked for in the middle of each shot, and what was shown."""
    shown: list[NumberedFaces] = []
    slots = face_choice.choose_faces(faces, wanted, shown.append)
    return [[int(slot[start + 25]) for start, _ in faces.shots] for slot in slots], shown[0] if shown else None


TRIO = {0: (500.0, 90.0), 1: (120.0, 60.0), 2: (300.0, 70.0)}


@pytest.mark.parametrize(
    ("face", "slot", "number"),
    [("largest", 0, 3), ("left", 1, 1), ("right", 0, 3), ("middle", 2, 2), (1, 1, 1), (2, 2, 2)],
)
def test_a_face_is_chosen_by_position_or_number(face: str | int, slot: int, number: int) -> None:
    slots, shown = chosen(seen(TRIO), face)
    assert slots == [[slot]]
    assert shown is not None and (len(shown.slots), shown.used) == (3, (number,))


def test_in_another_shot_each_person_is_whom_the_place_suggests() -> None:
    """The close-up in the second shot is of the one on the right; in the third both have other slots."""
    faces = seen({0: (150, 80), 1: (480, 80)}, {0: (420, 200)}, {0: (470, 70), 1: (200, 75)})
    assert chosen(faces, "left", "right")[0] == [[0, -1, 1], [1, 0, 0]]
    assert chosen(faces, "left")[0] == [[0, -1, 1]]


def test_a_number_stays_with_its_person_when_people_swap_sides() -> None:
    faces = seen({0: (150, 80), 1: (480, 80)})
    faces.centres[30:, [0, 1]] = faces.centres[30:, [1, 0]]
    assert chosen(faces, "left")[0] == [[0]]


def test_small_and_fleeting_faces_have_no_number() -> None:
    faces = seen({0: (150, 80), 1: (480, 70), 2: (600, 12), 3: (300, 60)})
    faces.sides[12:, 3] = 0
    faces.sides[:8, 3] = 0
    _, shown = chosen(faces, "largest")
    assert shown is not None and shown.slots == [0, 1]


def test_a_person_found_again_in_another_slot_is_the_same() -> None:
    faces = seen({0: (150, 80), 1: (480, 80), 2: (155, 82)})
    faces.sides[20:, 0] = 0
    faces.sides[:22, 2] = 0
    assert chosen(faces, "left")[0] == [[2]]


@pytest.mark.parametrize(
    ("faces", "wanted", "code", "fields"),
    [
        (seen({0: (100, 50)}), [2], "face_missing", {"number": 2, "count": 1}),
        (seen(TRIO), [4], "face_missing", {"number": 4, "count": 3}),
        (seen({0: (100, 50)}), ["left", "right"], "faces_missing", {"speakers": 2, "count": 1}),
        (seen(TRIO), ["left", 1], "faces_same", {"one": "left", "other": 1}),
    ],
)
def test_a_face_that_does_not_exist(
    faces: SeenFaces, wanted: list[str | int], code: str, fields: dict[str, object]
) -> None:
    with pytest.raises(InputError) as caught:
        chosen(faces, *wanted)
    assert (caught.value.code, caught.value.fields) == (code, fields)


def test_one_face_is_chosen_by_any_word_and_nothing_is_shown() -> None:
    for face in ("largest", "left", "right", "middle", 1):
        assert chosen(seen({0: (100, 50)}), face) == ([[0]], None)


def test_two_real_faces_are_tracked_in_one_pass(tmp_path: Path) -> None:
    """One frame list, two tracks with points of their own, and a picture with two boxes."""
    one, other = people.swaying(20, 240), [frame[:, ::-1] for frame in people.swaying(20, 220)]
    frames = [np.full((260, 520, 3), 90, np.uint8) for _ in one]
    for frame, left, right in zip(frames, one, other, strict=True):
        frame[:240, :240], frame[20:240, 290:510] = left, right
    shown: list[np.ndarray] = []

    def choose(faces: SeenFaces) -> list[face_choice.Slots]:
        return face_choice.choose_faces(
            faces, ["right", "left"], lambda numbered: shown.append(face_choice.picture(faces, numbered))
        )

    folder = tmp_path / "points.f32"
    (right, left), findings = FaceMeshTracker(tmp_path).track_faces(
        iter(frames), (520, 260), people.FPS, folder, choose
    )
    assert (left.boxes[:, 2] < 260).all() and (right.boxes[:, 0] > 260).all()
    assert np.nanmean(left.points(0, 20)[:, :, 0]) < 240 < np.nanmean(right.points(0, 20)[:, :, 0])
    assert findings == []
    cv2.imwrite(str(tmp_path / "faces.png"), shown[0])
    assert (shown[0] == np.array(face_choice.USED_COLOUR)).all(2).sum() > 2000
