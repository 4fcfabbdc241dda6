"""Where the effect is shown, from what is known of each frame's face."""

from __future__ import annotations

import numpy as np
import pytest

from heygemd.render.face.effect_weight import FADE_S, YAW_FULL_DEG, YAW_NONE_DEG, effect_weight

FPS = 25.0
FRAMES = 100
NONE = np.zeros(FRAMES, bool)
FADE_FRAMES = round(FADE_S * FPS)


def weight(
    runs: np.ndarray | None = None, yaw: float = 0.0, occluded: np.ndarray = NONE, hidden: np.ndarray = NONE
) -> np.ndarray:
    runs = np.ones(FRAMES, np.int32) if runs is None else runs
    first = np.arange(FRAMES) == 0
    return effect_weight(runs, first, np.full(FRAMES, yaw, np.float32), occluded, hidden, FPS)


def test_a_face_seen_from_the_front_all_the_time_has_the_full_effect() -> None:
    assert (weight() == 1).all()


def test_nothing_is_changed_while_a_hand_covers_the_mouth_and_the_effect_fades_before_and_after() -> None:
    occluded = NONE.copy()
    occluded[40:60] = True
    shown = weight(occluded=occluded)
    assert (shown[40:60] == 0).all()
    assert (np.diff(shown[40 - 2 * FADE_FRAMES : 41]) <= 0).all() and (
        np.diff(shown[59 : 60 + 2 * FADE_FRAMES]) >= 0
    ).all()
    assert shown[:20] == pytest.approx(1, abs=1e-3) and shown[80:] == pytest.approx(1, abs=1e-3)


def test_a_shot_in_which_the_mouth_is_hidden_is_left_alone() -> None:
    assert (weight(hidden=~NONE) == 0).all()


def test_the_effect_fades_as_the_face_turns() -> None:
    half = (YAW_FULL_DEG + YAW_NONE_DEG) / 2
    assert (weight(yaw=YAW_FULL_DEG) == 1).all() and (weight(yaw=-YAW_NONE_DEG) == 0).all()
    assert weight(yaw=half) == pytest.approx(0.5)


def test_a_face_that_comes_and_goes_fades_in_and_out() -> None:
    runs = np.zeros(FRAMES, np.int32)
    runs[30:70] = 1
    shown = weight(runs)
    assert (shown[:30] == 0).all() and (shown[70:] == 0).all() and (shown[40:60] == 1).all()
    assert 0 < shown[30] < shown[33] < 1 and 0 < shown[69] < shown[66] < 1
