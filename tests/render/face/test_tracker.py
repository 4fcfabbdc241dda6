import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.errors import InputError
from heygemd.render.face.tracker import FaceMeshTracker

from .. import presenter as people

CLIPS = Path(os.environ.get("HEYGEMD_CLIPS", Path(__file__).parents[4] / "shared" / "clips"))


def test_tracks_a_face_and_boxes_it(tmp_path: Path) -> None:
    frames = people.swaying(30)
    seen: list[int] = []
    track, findings = FaceMeshTracker(tmp_path).track(
        iter(frames), (600, 600), people.FPS, tmp_path / "points.f32", seen.append
    )
    assert len(track) == 30 and seen == list(range(1, 31)) and findings == []
    assert (track.effect_weight == 1).all() and (track.face_count == 1).all()
    assert track.cuts.tolist() == [True] + [False] * 29
    assert (track.boxes % 2 == 0).all() and (track.boxes >= 0).all() and (track.boxes <= 600).all()
    points = track.points(0, 30)
    assert points.shape == (30, 468, 3) and np.isfinite(points).all()
    chin, brow = points[:, 152, 1], points[:, 10, 1]
    assert (track.boxes[:, 1] <= brow).all() and (track.boxes[:, 3] > chin + 0.3 * (chin - brow)).all()
    assert np.abs(track.yaw_deg).max() < 20
    assert not list(tmp_path.glob("*.slot*"))


def test_no_face_and_few_faces(tmp_path: Path) -> None:
    with pytest.raises(InputError) as none:
        people.track([people.blank()] * 10, tmp_path)
    assert none.value.code == "no_face"
    with pytest.raises(InputError) as few:
        people.track(people.swaying(4) + [people.blank()] * 60, tmp_path)
    assert few.value.code == "few_faces" and 0 < few.value.fields["share"] < 0.1


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_of_hardly_a_frame_is_tracked(tmp_path: Path, frames: int) -> None:
    track, _ = people.track(people.swaying(frames), tmp_path)
    assert (track.effect_weight == 1).all()


def test_nothing_at_all_is_no_face(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no_face"):
        FaceMeshTracker(tmp_path).track(iter([]), (64, 64), people.FPS, tmp_path / "points.f32")


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the folder of real clips is not here")
@pytest.mark.parametrize("name", ["de-id_live", "CodeHerosTea", "bytedance_LatentSync"])
def test_real_presenters(name: str, tmp_path: Path) -> None:
    path = next((CLIPS / "silent").glob(f"{name}*"))
    video = cv2.VideoCapture(str(path))
    frames = [video.read()[1] for _ in range(40)]
    h, w = frames[0].shape[:2]
    scale = min(1.0, 640 / max(h, w))
    small = (cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames)
    track, _ = FaceMeshTracker(tmp_path).track(small, (w, h), Fraction(25), tmp_path / "points.f32")
    assert (track.effect_weight > 0.9).mean() > 0.95
