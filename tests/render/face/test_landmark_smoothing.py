from pathlib import Path

import numpy as np
import pytest

from heygemd.errors import InputError
from heygemd.render.face.gaussian import gaussian_smooth

from .. import presenter as people


def test_smoothing_keeps_constants_and_lowers_noise() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (200, 3)).astype(np.float32)
    assert np.allclose(gaussian_smooth(np.full((5, 2), 3, np.float32), 10), 3)
    assert gaussian_smooth(rows, 3).std() < 0.5 and np.array_equal(
        gaussian_smooth(rows, 0.05), gaussian_smooth(rows, 0.2)
    )


def test_points_are_steady(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    frames = [np.clip(people.photo() + noise.normal(0, 4, (300, 300, 3)), 0, 255).astype(np.uint8) for _ in range(25)]
    track, _ = people.track(frames, tmp_path)
    assert track.points(0, 25)[..., :2].std(0).max() < 0.5


def test_short_gap_is_bridged_and_long_one_reported(tmp_path: Path) -> None:
    frames = people.swaying(15) + [people.blank()] * 4 + people.swaying(15) + [people.blank()] * 40 + people.swaying(20)
    for frame in frames[15:19] + frames[34:74]:
        frame[:] = 90
    track, findings = people.track(frames, tmp_path)
    if track.cuts.sum() == 1:
        assert (track.boxes[15:19, 2] > 0).all()
    assert not track.boxes[45:60].any() and (track.effect_weight[45:60] == 0).all()
    assert np.isnan(track.points(45, 46)).all() and np.isnan(track.yaw_deg[50])
    missing = [f for f in findings if f.code == "no_face_ranges"]
    assert missing and missing[0].fields["ranges"][-1] == pytest.approx([34 / 25, 74 / 25], abs=0.25)


def test_a_face_that_is_turned_away_all_the_time_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygemd.render.face.effect_weight.YAW_FULL_DEG", 0.0)
    monkeypatch.setattr("heygemd.render.face.effect_weight.YAW_NONE_DEG", 1e-6)  # any face counts as turned away
    with pytest.raises(InputError, match="face_never_clear"):
        people.track(people.swaying(12), tmp_path)


def test_when_a_face_is_turned_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygemd.render.face.landmark_smoothing.YAW_FULL_DEG", -1.0)  # any face counts as turned
    _, findings = people.track(people.swaying(25), tmp_path)
    assert [f.fields["ranges"] for f in findings if f.code == "face_turned"] == [[[0.0, 1.0]]]
