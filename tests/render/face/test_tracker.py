import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.errors import EngineError, InputError, NotInstalled
from heygemd.render.face.detector import tiles
from heygemd.render.face.multi_face_tracker import choose_presenter
from heygemd.render.face.registry import create_tracker
from heygemd.render.face.tracker import FaceMeshTracker
from heygemd.render.scene import Image
from heygemd.weights import bundled

from .. import presenter as people

CLIPS = Path(os.environ.get("HEYGEMD_CLIPS", Path(__file__).parents[4] / "shared" / "clips"))


def blank(count: int = 1) -> list[Image]:
    return [np.full((300, 300, 3), 90, np.uint8)] * count


def test_follows_a_face_and_boxes_it(tmp_path: Path) -> None:
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


def test_points_are_steady(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    frames = [np.clip(people.photo() + noise.normal(0, 4, (300, 300, 3)), 0, 255).astype(np.uint8) for _ in range(25)]
    track, _ = people.track(frames, tmp_path)
    assert track.points(0, 25)[..., :2].std(0).max() < 0.5


def test_short_gap_is_bridged_and_long_one_reported(tmp_path: Path) -> None:
    frames = people.swaying(15) + blank(4) + people.swaying(15) + blank(40) + people.swaying(20)
    for frame in frames[15:19] + frames[34:74]:
        frame[:] = 90
    track, findings = people.track(frames, tmp_path)
    if track.cuts.sum() == 1:
        assert (track.boxes[15:19, 2] > 0).all()
    assert not track.boxes[45:60].any() and (track.effect_weight[45:60] == 0).all()
    assert np.isnan(track.points(45, 46)).all() and np.isnan(track.yaw_deg[50])
    missing = [f for f in findings if f.code == "no_face_ranges"]
    assert missing and missing[0].fields["ranges"][-1] == pytest.approx([34 / 25, 74 / 25], abs=0.25)


def test_no_face_and_few_faces(tmp_path: Path) -> None:
    with pytest.raises(InputError) as none:
        people.track(blank(10), tmp_path)
    assert none.value.code == "no_face"
    with pytest.raises(InputError) as few:
        people.track(people.swaying(4) + blank(60), tmp_path)
    assert few.value.code == "few_faces" and 0 < few.value.fields["share"] < 0.1


def test_a_face_that_is_turned_away_all_the_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygemd.render.face.landmark_smoothing.YAW_FULL_DEG", 0.0)
    monkeypatch.setattr("heygemd.render.face.landmark_smoothing.YAW_NONE_DEG", 1e-6)  # any face counts as turned away
    with pytest.raises(InputError, match="face_never_clear"):
        people.track(people.swaying(12), tmp_path)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_video_of_hardly_a_frame_is_followed(tmp_path: Path, frames: int) -> None:
    track, _ = people.track(people.swaying(frames), tmp_path)
    assert (track.effect_weight == 1).all()


def test_nothing_at_all_is_no_face(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no_face"):
        FaceMeshTracker(tmp_path).track(iter([]), (64, 64), people.FPS, tmp_path / "points.f32")


def test_cut_is_seen(tmp_path: Path) -> None:
    other = [255 - frame for frame in blank(1)]
    mirrored = [np.ascontiguousarray(frame[:, ::-1] // 2) for frame in people.swaying(12)]
    track, _ = people.track(people.swaying(12) + mirrored, tmp_path)
    assert np.flatnonzero(track.cuts).tolist() == [0, 12] and other
    assert (track.effect_weight > 0.9).all()


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
    assert [f.fields["count"] for f in findings if f.code == "several_faces"] == [2]


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


def test_tiles_cover_the_frame() -> None:
    for level in range(3):
        covered = np.zeros((360, 640), bool)
        for x, y, side in tiles(640, 360, level):
            covered[y : y + side, x : x + side] = True
        assert covered.all()


def test_tracker_names(tmp_path: Path) -> None:
    assert create_tracker("auto", tmp_path).name == create_tracker("facemesh", tmp_path).name == "facemesh"
    create_tracker("auto", tmp_path).check()
    with pytest.raises(EngineError, match="tracker_unknown"):
        create_tracker("dlib", tmp_path)
    with pytest.raises(NotInstalled) as missing:
        create_tracker("face-alignment", tmp_path).check()
    assert missing.value.code == "tracker_weights_missing" and len(missing.value.fields["files"]) == 2


def test_shipped_files_are_whole() -> None:
    for name in bundled.SHA256:
        assert bundled.asset(name).is_file()


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
