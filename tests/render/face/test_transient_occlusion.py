from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.render.engines.mesh import MeshEngine
from heygemd.render.face import transient_occlusion
from heygemd.render.face.detector import BlazeFace
from heygemd.render.face.landmarks import FaceMesh
from heygemd.render.face.mesh_indices import LOWER_FACE_OUTLINE
from heygemd.render.scene import Image, Timeline, spans

from .. import presenter as people

HAND_BGR = (110, 140, 190)


def covered(frames: list[Image], where: range) -> list[Image]:
    """Something of a hand's colour lies over mouth and chin, never twice in the same way."""
    detector, mesh = BlazeFace(), FaceMesh()
    for k in where:
        points = mesh.fit(frames[k], detector.detect(frames[k], 2)[0]).points[:, :2]
        middle, eye = points[14], float(np.linalg.norm(points[263] - points[33]))
        size = (int(0.42 * eye), int((0.2 + 0.01 * (k % 5)) * eye))
        place = (int(middle[0] + (k % 7 - 3) * 0.03 * eye), int(middle[1] + 0.1 * eye))
        cv2.ellipse(frames[k], place, size, 10.0 * (k % 9), 0, 360, HAND_BGR, -1, cv2.LINE_AA)
    return frames


def test_what_covers_the_mouth_for_a_while_is_left_alone_and_told(tmp_path: Path) -> None:
    frames = covered(people.swaying(75), range(30, 45))
    track, findings = people.track(frames, tmp_path)
    assert (track.effect_weight[30:45] == 0).all()
    assert (track.effect_weight[:16] == 1).all() and (track.effect_weight[60:] == 1).all()
    (told,) = [f for f in findings if f.code in ("face_covered", "no_face_ranges")]
    ((start, stop),) = told.fields["ranges"]
    assert abs(start - 30 / 25) < 0.1 and abs(stop - 45 / 25) < 0.1


def test_a_face_in_changing_light_is_bare() -> None:
    frames = people.swaying(60)
    detector, mesh = BlazeFace(), FaceMesh()
    looks = []
    for k, frame in enumerate(frames):
        lit = np.clip(frame * (0.7 + 0.3 * np.sin(k / 7)), 0, 255).astype(np.uint8)
        looks.append(transient_occlusion.skin_samples(lit, mesh.fit(lit, detector.detect(lit, 2)[0]).points))
    stack = np.asarray(looks)
    assert not transient_occlusion.occluded(stack, 2).any() and transient_occlusion.typical(stack[::2]).all()


def test_a_hand_covers_from_its_first_finger_to_its_last() -> None:
    random = np.random.default_rng(7)
    looks = random.normal(150, 2, (150, len(transient_occlusion.skin()), 3))

    def before(start: int, stop: int, part: int, by: float) -> None:
        looks[start:stop, part::3] -= by + random.normal(0, 2, looks[start:stop, part::3].shape)

    before(57, 83, 0, 16)
    before(60, 80, 0, 35)
    before(100, 103, 1, 16)  # a shadow
    before(120, 121, 2, 50)  # a blur
    hidden = transient_occlusion.occluded(np.clip(looks, 0, 255).astype(np.uint8), 3)
    assert spans(hidden) == [(57, 83)]


def masked(frames: list[Image], top: list[int], colour: tuple[int, int, int]) -> list[Image]:
    """A mask of cloth with a fold follows the face, from the vertices `top` down to the chin."""
    detector, mesh = BlazeFace(), FaceMesh()
    for frame in frames:
        points = mesh.fit(frame, detector.detect(frame, 2)[0]).points[:, :2]
        outline = np.concatenate([points[LOWER_FACE_OUTLINE[1:-1]], points[top]])
        cv2.fillPoly(frame, [outline.astype(np.int32)], colour, cv2.LINE_AA)
        fold = points[[58, 0, 288]].astype(np.int32)
        cv2.polylines(frame, [fold], False, tuple(int(0.85 * c) for c in colour), 2, cv2.LINE_AA)
    return frames


@pytest.mark.parametrize("colour", [(205, 175, 120), (235, 232, 230), (36, 36, 38)])
@pytest.mark.parametrize("top", [[447, 346, 197, 117, 227], [425, 391, 164, 165, 205]])
def test_a_mask_worn_all_the_time_is_left_alone_and_told(
    colour: tuple[int, int, int], top: list[int], tmp_path: Path
) -> None:
    track, findings = people.track(masked(people.swaying(25), top, colour), tmp_path)
    assert (track.effect_weight == 0).all()
    assert [(f.code, f.fields["ranges"]) for f in findings] == [("mouth_hidden", [[0.0, 1.0]])]
    engine, line = MeshEngine(tmp_path), Timeline(people.FPS, np.arange(25, dtype=np.int32))
    assert engine.frames_to_analyse(track) == []
    voice = np.zeros(16_000, np.float32)
    data = engine.analyse_video(iter(()), track) | engine.analyse_voice(voice)
    assert list(engine.render(iter(()), track, line, voice, data)) == []


def test_a_mask_leaves_the_other_shots_alone(tmp_path: Path) -> None:
    bare = [np.clip(frame * 0.5, 0, 255).astype(np.uint8)[:, ::-1].copy() for frame in people.swaying(25)]
    track, findings = people.track(
        [*masked(people.swaying(25), [447, 346, 197, 117, 227], (205, 175, 120)), *bare], tmp_path
    )
    assert (track.effect_weight[:25] == 0).all() and (track.effect_weight[25:] == 1).all()
    assert [f.code for f in findings] == ["mouth_hidden"]


def test_a_handful_of_looks_is_not_judged() -> None:
    assert not transient_occlusion.occluded(np.zeros((5, len(transient_occlusion.skin()), 3), np.uint8), 2).any()
    assert transient_occlusion.typical(np.zeros((0, len(transient_occlusion.skin()), 3), np.uint8)).shape == (0,)


def test_a_face_at_the_picture_s_edge_has_a_look() -> None:
    photo = people.photo()
    points = FaceMesh().fit(photo, BlazeFace().detect(photo, 2)[0]).points
    assert transient_occlusion.skin_samples(photo[:, : photo.shape[1] // 2].copy(), points).shape == (
        len(transient_occlusion.skin()),
        3,
    )
