from pathlib import Path

import cv2
import numpy as np

from heygemd.render.face.face_choice import choose_presenter

from .. import presenter as people


def test_stays_with_the_larger_of_two_people(tmp_path: Path) -> None:
    frames = []
    for k, frame in enumerate(people.swaying(40)):
        small = cv2.resize(people.photo(), (170, 170))
        wide = np.full((300, 560, 3), 120, np.uint8)
        wide[60:230, 380:550] = small
        if k >= 5:
            wide[:, :300] = frame
        frames.append(wide)
    track, findings = people.track(frames, tmp_path)
    centre = (track.boxes[8:, 0] + track.boxes[8:, 2]) / 2
    assert (centre < 300).all()
    (told,) = [f.fields for f in findings if f.code == "several_faces"]
    assert told == {"count": 2, "ranges": [[0.2, 1.6]]}


def test_small_face_in_a_wide_frame(tmp_path: Path) -> None:
    frame = np.full((360, 640, 3), 100, np.uint8)
    frame[100:200, 300:400] = cv2.resize(people.photo(), (100, 100), interpolation=cv2.INTER_AREA)
    track, _ = people.track([frame] * 5, tmp_path)
    assert (track.effect_weight == 1).all()


def test_presenter_is_chosen_by_size_over_time() -> None:
    sides = np.zeros((100, 3), np.float32)
    sides[:, 0] = 40
    sides[10:60, 1] = 90
    sides[80:, 2] = 85
    chosen = choose_presenter(sides, [(0, 100)])
    assert (chosen[10:60] == 1).all() and (chosen[80:] == 2).all() and (chosen[:10] == -1).all()
