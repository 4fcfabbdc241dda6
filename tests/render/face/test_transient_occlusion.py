from pathlib import Path

import cv2
import numpy as np

from heygemd.render.face import transient_occlusion
from heygemd.render.face.detector import BlazeFace
from heygemd.render.face.landmarks import FaceMesh
from heygemd.render.scene import Image, spans

from .. import presenter as people

HAND_BGR = (110, 140, 190)


def with_hand(frames: list[Image], where: range) -> list[Image]:
    """Something of a hand's colour lies over mouth and chin, never twice in the same way."""
    detector, mesh = BlazeFace(), FaceMesh()
    for k in where:
        points = mesh.fit(frames[k], detector.detect(frames[k], 2)[0]).points[:, :2]
        middle, eye = points[14], float(np.linalg.norm(points[263] - points[33]))
        size = (int(0.42 * eye), int((0.2 + 0.01 * (k % 5)) * eye))
        place = (int(middle[0] + (k % 7 - 3) * 0.03 * eye), int(middle[1] + 0.1 * eye))
        cv2.ellipse(frames[k], place, size, 10.0 * (k % 9), 0, 360, HAND_BGR, -1, cv2.LINE_AA)
    return frames


def test_an_occluder_is_left_alone_and_reported(tmp_path: Path) -> None:
    frames = with_hand(people.swaying(75), range(30, 45))
    track, findings = people.track(frames, tmp_path)
    assert (track.effect_weight[30:45] == 0).all()
    assert (track.effect_weight[:16] == 1).all() and (track.effect_weight[60:] == 1).all()
    (found,) = [f for f in findings if f.code in ("face_covered", "no_face_ranges")]
    ((start, stop),) = found.fields["ranges"]
    assert abs(start - 30 / 25) < 0.1 and abs(stop - 45 / 25) < 0.1


def test_a_face_in_changing_light_is_not_occluded() -> None:
    frames = people.swaying(60)
    detector, mesh = BlazeFace(), FaceMesh()
    samples = []
    for k, frame in enumerate(frames):
        lit = np.clip(frame * (0.7 + 0.3 * np.sin(k / 7)), 0, 255).astype(np.uint8)
        samples.append(transient_occlusion.skin_samples(lit, mesh.fit(lit, detector.detect(lit, 2)[0]).points))
    stack = np.asarray(samples)
    assert not transient_occlusion.occluded(stack, 2).any() and transient_occlusion.typical(stack[::2]).all()


def test_a_hand_occludes_from_its_first_finger_to_its_last() -> None:
    random = np.random.default_rng(7)
    samples = random.normal(150, 2, (150, len(transient_occlusion.skin()), 3))

    def before(start: int, stop: int, part: int, by: float) -> None:
        samples[start:stop, part::3] -= by + random.normal(0, 2, samples[start:stop, part::3].shape)

    before(57, 83, 0, 16)
    before(60, 80, 0, 35)
    before(100, 103, 1, 16)  # a shadow
    before(120, 121, 2, 50)  # a blur
    hidden = transient_occlusion.occluded(np.clip(samples, 0, 255).astype(np.uint8), 3)
    assert spans(hidden) == [(57, 83)]


def test_too_few_frames_are_never_occluded() -> None:
    assert not transient_occlusion.occluded(np.zeros((5, len(transient_occlusion.skin()), 3), np.uint8), 2).any()
    assert transient_occlusion.typical(np.zeros((0, len(transient_occlusion.skin()), 3), np.uint8)).shape == (0,)


def test_a_face_at_the_edge_of_the_picture_has_samples() -> None:
    photo = people.photo()
    points = FaceMesh().fit(photo, BlazeFace().detect(photo, 2)[0]).points
    assert transient_occlusion.skin_samples(photo[:, : photo.shape[1] // 2].copy(), points).shape == (
        len(transient_occlusion.skin()),
        3,
    )
