"""Which frames lend their texture, and when."""

import dataclasses

import numpy as np
import pytest

from heygemd.render.engines.mesh import mouth_calibration, mouth_plan, texture_bank
from heygemd.render.face.mouth_params import OPEN, WIDTH
from heygemd.render.scene import Image, Timeline, Track

from ... import presenter as people
from .conftest import FRAMES


def test_path_is_cheapest_and_does_not_flicker() -> None:
    noise = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    cost = noise * 0.5
    cost[:30, 1] -= 1
    cost[30:, 2] -= 1
    path = texture_bank.cheapest_path(cost, np.full(60, 3, np.float32))
    assert (path[:29] == 1).all() and (path[31:] == 2).all()


def test_the_inside_of_an_open_mouth_is_not_changed_for_one_that_fits_a_little_better() -> None:
    swing = 0.5 - 0.5 * np.cos(np.arange(120) * 2 * np.pi / 15)  # the mouth is shut every 15 frames
    target = np.zeros((120, 5), np.float32)
    target[:, OPEN] = 0.005 + np.where(np.arange(120) < 60, 0.08, 0.2) * swing
    lenders = np.zeros((8, 5), np.float32)
    lenders[:, OPEN] = np.linspace(0, 0.28, 8)
    lenders[:, WIDTH] = np.float32([0, 1, -1, 1, -1, 1, -1, 1]) * 0.01
    brightness = np.float32([0.4, 0.9, 0.3, 0.8, 0.3, 0.9, 0.4, 0.8])
    cost = texture_bank.distances(target[:, None], lenders[None])
    path = texture_bank.cheapest_path(cost, mouth_plan.change_costs(target[:, OPEN], np.zeros(120, bool)))
    in_view = np.minimum(target[1:, OPEN], target[:-1, OPEN]) > 0.04
    assert not np.abs(np.diff(brightness[path]))[in_view].any()
    assert np.abs(np.diff(brightness[cost.argmin(1)]))[in_view].mean() > 0.1  # as the best fit would flicker
    assert lenders[path[68], OPEN] > lenders[path[8], OPEN]  # where the mouth is shut, it does change


def test_a_texture_is_rather_closed_than_stretched() -> None:
    target, wider, narrower = np.zeros((3, 5), np.float32)
    target[OPEN], wider[OPEN], narrower[OPEN] = 0.1, 0.15, 0.07
    assert texture_bank.distances(target, wider) < texture_bank.distances(target, narrower)


def test_hand_before_the_mouth_is_no_texture(scene: tuple[list[Image], Track]) -> None:
    frames, track = scene
    spoiled = [frame.copy() for frame in frames]
    wanted = list(range(0, FRAMES, 4))
    x, y = track.points(8, 9)[0, 13, :2].astype(int)
    spoiled[8][y - 20 : y + 30, x - 40 : x + 20] = (60, 90, 150)
    data = texture_bank.extract_textures(people.crops(spoiled, track, wanted), track)
    assert 8 not in data["texture_frames"] and len(data["texture_frames"]) >= len(wanted) - 2


def test_every_shot_lends_lips(scene: tuple[list[Image], Track]) -> None:
    frames, track = scene
    track = dataclasses.replace(track, cuts=np.isin(np.arange(FRAMES), [16, 19, 22]))
    motion = mouth_calibration.measure_motion(track)
    motion.params[:16, OPEN] += np.linspace(0, 0.3, 16)  # the first shot has the most to show
    motion.params[22:, OPEN] += np.linspace(0, 0.3, FRAMES - 22)
    wanted = texture_bank.select_frames(track, motion)
    assert set(motion.shot[wanted]) == {0, 1, 2, 3}
    shade = np.linspace(0.4, 1, frames[0].shape[1])[:, None] * [1.0, 0.8, 0.6]
    pictures = [np.asarray(frame * shade, np.uint8) if 16 <= k < 19 else frame for k, frame in enumerate(frames)]
    data = texture_bank.extract_textures(people.crops(pictures, track, [2, 5, 8, 11, 16, 17, 23, 27, 31]), track)
    assert {16, 17} <= set(data["texture_frames"])  # another face, and no hand before the first one


def test_a_long_shot_lends_from_its_beginning(
    scene: tuple[list[Image], Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts, weight = np.isin(np.arange(FRAMES), [0, 20]), scene[1].effect_weight.copy()
    weight[:4] = 0  # a face that is hidden at first is waited for
    track = dataclasses.replace(scene[1], cuts=cuts, effect_weight=weight)
    motion = mouth_calibration.measure_motion(track)
    motion.params[:, OPEN] += np.random.default_rng(0).random(FRAMES).astype(np.float32) / 3
    monkeypatch.setattr(texture_bank, "SEARCHED_S", 8 / float(track.fps))
    wanted = texture_bank.select_frames(track, motion)
    assert len(wanted) > 10 and set(wanted) <= {*range(4, 12), *range(20, 28)}


def test_of_mouths_alike_the_earliest_lends(scene: tuple[list[Image], Track]) -> None:
    track, half = scene[1], FRAMES // 2
    motion = mouth_calibration.measure_motion(track)
    noise = np.random.default_rng(0).normal(0, 1e-4, (half, 5)).astype(np.float32)
    motion.params[half:] = motion.params[:half] + noise
    for rows in motion.pose:
        rows[half:] = rows[:half]
    assert max(texture_bank.select_frames(track, motion)) < half


def test_lips_are_lent_from_another_shot_of_the_same_face_only(scene: tuple[list[Image], Track]) -> None:
    frames, track = scene
    half = FRAMES // 2
    track = dataclasses.replace(track, cuts=np.arange(FRAMES) == half)
    shade = np.linspace(0.4, 1, frames[0].shape[1])[:, None] * [1.0, 0.8, 0.6]  # of other skin in other light
    both = frames[:half] + [np.asarray(frame * shade, np.uint8) for frame in frames[half:]]
    wanted = list(range(0, half, 2)) + list(range(half, FRAMES, 4))
    shot = mouth_calibration.measure_motion(track).shot
    timeline = Timeline(people.FPS, np.arange(FRAMES, dtype=np.int32))
    spoken = {
        "visemes": np.tile(np.float32([0.1, 0, 0.07, 0, 0.09]), (2 * FRAMES, 1)),
        "tongue": np.zeros(2 * FRAMES, np.float32),
    }
    for pictures, lends in ((frames, True), (both, False)):
        data = texture_bank.extract_textures(people.crops(pictures, track, wanted), track)
        lent = shot[data["texture_frames"]]
        assert set(lent) == {0, 1}
        other = texture_bank.other_faces(data["textures"], data["texture_points"], lent, np.append(shot, 2))
        assert not other[-1].any()  # nothing is known of a shot that lends nothing
        assert (other[:-1] == ((shot[:, None] != lent) & (not lends))).all()
        closed = mouth_calibration.fit_closed_mouth(mouth_calibration.measure_motion(track))[None]
        one = {"closed_mouth": closed, "face": np.zeros(FRAMES, np.int16)}
        plan = mouth_plan.plan_mouths(track, timeline, data | spoken | one)
        shown = plan.texture_share > 0.01
        assert lends or (lent[plan.texture_choice[shown]] == shot[shown]).all()
