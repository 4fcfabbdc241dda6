"""Speaking style and expression, from made-up motion."""

import numpy as np
import pytest

from heygemd.render.engines.mesh import mouth_plan, viseme_net
from heygemd.render.engines.mesh.mouth_calibration import MouthMotion
from heygemd.render.face.mouth_params import MOUTH_PARAMS, OPEN, UPPER, WIDTH
from heygemd.render.face.pose import Pose
from heygemd.training.visemes import mouth_targets

FRAMES = 200


def motion(opening: np.ndarray) -> MouthMotion:
    params = np.tile(np.float32([0, 0.55, 1.3, 0.65, 0.9]), (FRAMES, 1))
    params[:, OPEN] = opening
    upright = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 1, 1))
    pose = Pose(np.ones(FRAMES, np.float32), upright, np.zeros((FRAMES, 3), np.float32))
    return MouthMotion(params, pose, np.ones(FRAMES, np.int32))


def test_of_a_silent_presenter_nothing_is_known() -> None:
    for opening in (0.01, 0.2):  # lips closed, and a smile that shows the teeth all the time
        silent = motion(np.full(FRAMES, opening) + np.random.default_rng(0).normal(0, 0.01, FRAMES))
        talks, spread = (
            mouth_plan.talking_share(silent),
            mouth_plan.opening_spread(np.zeros((5, 6), np.float32), silent),
        )
        style = mouth_plan.speaking_style(spread, silent, talks)
        assert style == pytest.approx((mouth_plan.SILENT_GAIN, mouth_plan.USUAL_WIDEST))


def test_who_opens_wider_speaks_larger() -> None:
    swing = 0.5 - 0.5 * np.cos(np.arange(FRAMES) / 3)
    small, large = (mouth_plan.speaking_style(size, motion(size * swing), 1.0) for size in (0.11, 0.3))
    assert small[0] < large[0] and mouth_plan.MIN_WIDEST <= small[1] < large[1]


@pytest.mark.parametrize("talks", [0.0, 1.0])
def test_a_smile_is_kept_and_speech_is_not(talks: float) -> None:
    closed = np.tile(np.float32([0, 0.5, 1.3, 0.6, 0.9]), (FRAMES, 1))
    offset = mouth_plan.expression_offset(motion(np.full(FRAMES, 0.2)), closed, 25.0, talks)
    kept = [WIDTH, UPPER]
    assert np.allclose(offset[:, kept], 0.05, atol=1e-6)
    assert not offset[:, [k for k in range(len(MOUTH_PARAMS)) if k not in kept]].any()


def test_the_words_of_a_talking_presenter_do_not_count_as_a_smile() -> None:
    moved = motion(np.full(FRAMES, 0.2))
    closed = moved.params.copy()
    moved.params[:, WIDTH] += 0.05 * np.sin(np.arange(FRAMES) * 2 * np.pi / 15)  # a phrase in three seconds
    silent, talking = (mouth_plan.expression_offset(moved, closed, 5.0, talks)[50:-50, WIDTH] for talks in (0.0, 1.0))
    assert np.abs(talking).max() < 0.002 < 0.004 < np.abs(silent).max()


def test_a_smile_ends_at_a_cut() -> None:
    moved = motion(np.full(FRAMES, 0.2))
    half = FRAMES // 2
    moved.shot[half:] += 1
    closed = moved.params.copy()
    moved.params[:half, WIDTH] += 0.05
    offset = mouth_plan.expression_offset(moved, closed, 25.0, 0.0)[:, WIDTH]
    assert np.allclose(offset, np.where(np.arange(FRAMES) < half, 0.05, 0), atol=1e-6)


def real_inside(opened: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    change = mouth_plan.change_costs(wanted.astype(np.float32), np.zeros(len(wanted), bool))
    return mouth_plan.real_inside(opened.astype(np.float32), wanted.astype(np.float32), change)


def test_one_inside_is_kept_while_the_mouth_is_open() -> None:
    swing = 0.5 - 0.5 * np.cos(np.arange(80) * 2 * np.pi / 20)
    wanted = 0.01 + 0.15 * swing
    opened = np.where(np.arange(80) < 40, 0.8, 0.5) * wanted
    opened[45:48] = wanted[45:48]  # for a moment the picture would do
    real = real_inside(opened, wanted)
    assert set(np.unique(real)) == {0.0, 1.0}
    assert real[:39].all() and not real[42:].any()
    changes = np.flatnonzero(np.diff(real))
    assert (wanted[changes] < 0.02).all()


def test_an_inside_does_not_change_where_an_open_mouth_closes_half() -> None:
    swing = 0.5 - 0.5 * np.cos(np.arange(20) * 2 * np.pi / 10)
    wanted = 0.09 + np.where(np.arange(20) < 10, 0.11, 0.02) * swing
    assert len(set(real_inside(np.full(20, 0.07), wanted))) == 1


def test_a_picture_of_a_shut_mouth_has_no_inside_to_show() -> None:
    wanted = np.full(10, 0.1)
    assert not real_inside(np.full(10, 0.01), wanted).any()
    assert real_inside(wanted, wanted).all()


def test_own_lips_fade_from_the_nearest_texture() -> None:
    assert not filled([2, 2, 2]).any()
    assert filled([2, 0, 2, 2, 2, 1, 2]).tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert filled([1, 2, 2, 0, 2, 1], [0, 0, 0, 1, 1, 1]).tolist() == [1, 1, 1, 0, 1, 1]


def filled(choice: list[int], shot: list[int] | None = None) -> np.ndarray:
    shot = np.zeros(len(choice), np.int32) if shot is None else np.array(shot, np.int32)
    return mouth_plan.nearest_textures(np.array(choice, np.int16), np.array(choice) < 2, shot)


@pytest.mark.parametrize("fps", [10, 24, 25, 29.97, 60])
@pytest.mark.parametrize("delay_s", [0, 0.01, 0.02, 0.03])
def test_a_closure_shorter_than_a_frame_is_shown(fps: float, delay_s: float) -> None:
    closures_s = [0.4 + 0.2 * k + delay_s for k in range(4)]
    phones = [(t, t + 0.04, "p") for t in closures_s] + [(t + 0.04, t + 0.2, "ɑ") for t in closures_s]
    said = mouth_targets(sorted(phones), 1.5, viseme_net.RATE_HZ, ipa=True)
    times_s = (np.arange(int(1.5 * fps)) + 0.5) / fps
    shown = mouth_plan.sample_visemes(said, times_s)
    for start in closures_s[1:]:
        near = np.abs(times_s - start - 0.02) <= 0.5 / fps + 1 / viseme_net.RATE_HZ
        assert shown[near, OPEN].min() < mouth_plan.SHUT
    assert shown[:, OPEN].max() > 0.8 * said[:, OPEN].max()


def test_lips_that_the_voice_closes_are_not_held_apart() -> None:
    said = np.float32([[0.01, 0, 0.01, 0, 0.01], [0.1, 0.02, 0.06, 0, 0.1]])
    closed, opened = mouth_plan.scale_visemes(said, gain=mouth_plan.SILENT_GAIN, widest=mouth_plan.USUAL_WIDEST)
    assert closed[OPEN] < mouth_plan.SHUT
    assert opened[OPEN] == pytest.approx(0.1 * mouth_plan.SILENT_GAIN * mouth_plan.VISEME_GAIN)
    assert opened[WIDTH] == pytest.approx(0.02)


def test_lips_round_no_further_than_people_round_them() -> None:
    narrowed = np.float32([0.02, 0.07, 0.1, 0.2])
    said = np.zeros((4, 5), np.float32)
    said[:, WIDTH] = -narrowed
    shown = -mouth_plan.scale_visemes(said, 1.0, mouth_plan.USUAL_WIDEST)[:, WIDTH]
    assert shown[:2] == pytest.approx(narrowed[:2])
    assert shown[1] < shown[2] < shown[3] <= mouth_plan.NARROWEST


def test_what_exceeds_a_reported_change_has_no_noise_of_the_source() -> None:
    still = np.full((40, 5), 0.1, np.float32)
    shot, source = np.repeat([0, 1], 20).astype(np.int32), np.arange(40, dtype=np.int32)
    asked = np.float32([0.05, -0.04, 0.06, 0.01, 0.02])
    changes = mouth_plan.mesh_changes(still + asked, still, shot, source, 2.0)
    assert np.allclose(changes, asked * mouth_plan.REAL_OVER_REPORTED, atol=1e-6)
    noise = np.where(np.arange(40) % 2, 0.01, -0.01)[:, None].astype(np.float32)
    noisy = mouth_plan.mesh_changes(still + asked, still + noise, shot, source, 2.0)
    assert np.allclose((noisy - changes)[8:12], -noise[8:12], atol=1e-3)  # it is undone once, not enlarged
    other = np.where(shot[:, None] == 1, 0.3, 0.1) * np.ones((1, 5), np.float32)
    across = mouth_plan.mesh_changes(other.astype(np.float32), other.astype(np.float32), shot, source, 2.0)
    assert np.allclose(across, 0, atol=1e-6)  # a cut is no movement


def test_the_tongue_rises_with_what_the_voice_says_and_does_not_tremble() -> None:
    likely = np.zeros(100, np.float32)
    likely[40:46], likely[70:90:2] = 0.9, 0.2
    share = mouth_plan.raised_tongue(likely, (np.arange(50) + 0.5) / 25)
    assert share.dtype == np.float32 and share.shape == (50,)
    assert share[21] == 1 and not share[:18].any() and share[35:45].max() < 0.1
    assert not mouth_plan.raised_tongue(np.zeros(0, np.float32), np.arange(3) / 25).any()
