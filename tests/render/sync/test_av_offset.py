"""The measure of lips against voice: exact where lips are known, silent where it cannot know, calm on real people."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.config.schema import Limits
from heygemd.protocol import CONTROL_MS, SyncMeasurement
from heygemd.render.audio.load import load_voice
from heygemd.render.cache import Cache
from heygemd.render.engines.mesh import viseme_net
from heygemd.render.face.registry import create_tracker
from heygemd.render.sync import av_offset
from heygemd.render.video import decode
from heygemd.training import real_clips

from ... import media_factory

FPS = Fraction(25)


@pytest.fixture(scope="module")
def voice() -> NDArray[np.float32]:
    """Eleven seconds of a real voice."""
    return real_clips.load_sound(media_factory.VOICE)


def mouth_of(voice: NDArray[np.float32], late_ms: float = 0) -> NDArray[np.float32]:
    """A closed mouth and what the lips network adds to it for this voice, at 25 fps and too late."""
    said, rest = viseme_net.predict_visemes(voice), np.array([0.01, 0.6, 1.4, 0.6, 0.9], np.float32)
    times = (np.arange(int(len(voice) / 16_000 * 25)) + 0.5) / 25 - late_ms / 1000
    at = (np.arange(len(said)) + 0.5) / viseme_net.RATE_HZ
    return rest + np.stack([np.interp(times, at, column) for column in said.T], 1).astype(np.float32)


@pytest.mark.parametrize("late_ms", [-240, -80, 0, 120, 320])
def test_a_known_offset_is_measured(late_ms: float, voice: NDArray[np.float32]) -> None:
    measured = av_offset.measure(mouth_of(voice, late_ms), FPS, voice)
    assert measured.offset_ms == pytest.approx(late_ms, abs=40)
    assert measured.offset_confidence >= av_offset.FAIL_CONFIDENCE
    assert av_offset.is_out_of_sync(measured, FPS, 3) == (abs(late_ms) > 160)


def test_the_controls_tell_that_the_measure_measures(voice: NDArray[np.float32]) -> None:
    measured = av_offset.measure(mouth_of(voice, 40), FPS, voice)
    assert measured.control_shift_ms == pytest.approx(CONTROL_MS, abs=20)
    assert measured.reversed_confidence < av_offset.MIN_CONFIDENCE
    assert measured.offset_frames == pytest.approx(1, abs=1)


def test_what_does_not_belong_together_gives_no_answer(voice: NDArray[np.float32]) -> None:
    seen = mouth_of(voice)
    answers = [av_offset.estimate_offset(seen, FPS, np.roll(voice, int(s * 16_000))) for s in np.arange(1.5, 10, 0.5)]
    measured = [SyncMeasurement(fps="25/1", offset_ms=ms, offset_confidence=sure) for ms, sure in answers]
    assert sum(v.offset_ms is not None for v in measured) <= 3
    assert not any(av_offset.is_out_of_sync(v, FPS, 3) for v in measured)


@pytest.mark.parametrize(("strange", "looked_at_s"), [(False, int(av_offset.STEP_S)), (True, 22)])
def test_it_looks_until_it_is_certain(
    strange: bool, looked_at_s: int, voice: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = np.concatenate([voice, voice])[: 22 * 16_000]
    rows = iter(mouth_of(np.roll(twice, 4 * 16_000) if strange else twice))
    monkeypatch.setattr(
        av_offset, "_mouth_params", lambda images, *_: np.array([next(rows) for _ in images]).reshape(-1, 5)
    )
    clip = media_factory.video(tmp_path / "v.mp4", 22, size="64x36")
    tracker = create_tracker("auto", tmp_path)
    seen, measured = av_offset.measure_video(
        decode.describe_video(clip, Limits()), lambda: twice, tracker, tmp_path, lambda n: None
    )
    assert len(seen) == looked_at_s * 25
    assert (measured.offset_confidence >= av_offset.FAIL_CONFIDENCE) != strange


@pytest.mark.parametrize("strange", [False, True])
def test_it_goes_on_after_what_was_seen_before(
    strange: bool, voice: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, second = np.roll(voice, 4 * 16_000) if strange else voice, round(25 * av_offset.STEP_S)
    rows = mouth_of(sound)[: 11 * 25]
    picture = decode.describe_video(media_factory.video(tmp_path / "v.mp4", 1, size="64x36"), Limits())
    monkeypatch.setattr(decode, "small_frames", lambda *_: (row for row in rows))
    monkeypatch.setattr(av_offset, "_mouth_params", lambda images, *_: np.array(list(images)).reshape(-1, 5))
    tracker = create_tracker("auto", tmp_path)
    seen, measured = av_offset.measure_video(
        picture, lambda: voice, tracker, tmp_path, lambda n: None, seen=rows[:second]
    )
    np.testing.assert_array_equal(seen, rows if strange else rows[:second])
    assert measured == av_offset.measure_video(picture, lambda: voice, tracker, tmp_path, lambda n: None)[1]


def test_expected_lips_make_short_videos_certain(voice: NDArray[np.float32]) -> None:
    short = voice[3 * 16_000 : 6 * 16_000]
    seen = mouth_of(short, 120)
    alone = av_offset.measure(seen, FPS, short)
    helped = av_offset.measure(seen, FPS, short, viseme_net.predict_visemes)
    assert helped.offset_ms == pytest.approx(120, abs=20)
    assert helped.offset_confidence > max(alone.offset_confidence, av_offset.FAIL_CONFIDENCE)
    assert helped.control_shift_ms == pytest.approx(CONTROL_MS, abs=20)
    assert helped.reversed_confidence < av_offset.MIN_CONFIDENCE
    starts = range(6 * 16_000, len(voice) - len(short), 8_000)
    sure = [av_offset.measure(seen, FPS, voice[k : k + len(short)], viseme_net.predict_visemes) for k in starts]
    assert sum(v.offset_ms is not None for v in sure) <= 1
    assert max(v.offset_confidence for v in sure) < av_offset.FAIL_CONFIDENCE


def test_nothing_to_measure(voice: NDArray[np.float32]) -> None:
    six = voice[:96_000]
    assert av_offset.estimate_offset(np.full((150, 5), np.nan, np.float32), FPS, six) == (None, 0.0)
    assert av_offset.estimate_offset(mouth_of(six), FPS, np.zeros(96_000, np.float32)) == (None, 0.0)
    assert av_offset.estimate_offset(mouth_of(voice[:16_000]), FPS, voice[:16_000]) == (None, 0.0)
    assert av_offset.estimate_offset(np.zeros((0, 5), np.float32), FPS, np.zeros(0, np.float32)) == (None, 0.0)


def test_fast_video_is_not_judged_by_its_short_frames() -> None:
    def wrong(offset_ms: float, fps: int) -> bool:
        return av_offset.is_out_of_sync(
            SyncMeasurement(fps=f"{fps}/1", offset_ms=offset_ms, offset_confidence=5.0), Fraction(fps), 3
        )

    assert not wrong(70, 60)
    assert wrong(150, 60)
    assert not wrong(170, 12)


@pytest.mark.skipif(not media_factory.CLIPS.exists(), reason="needs recordings of real people (HEYGEMD_CLIPS)")
def test_real_people_are_in_time_and_a_shift_is_seen(tmp_path: Path) -> None:
    clip = media_factory.CLIPS / "av" / "KwaiVGI_LivePortrait__examples_driving_d6_df80c6.mp4"
    voice = load_voice(clip, "d", Limits(), Cache(tmp_path / "cache", 0), tmp_path / "scratch")
    fps = decode.describe_video(clip, Limits()).fps
    picture, tracker = decode.describe_video(clip, Limits()), create_tracker("auto", tmp_path)
    _, measured = av_offset.measure_video(picture, lambda: voice.samples, tracker, tmp_path, lambda n: None)
    assert not av_offset.is_out_of_sync(measured, fps, 3)
    assert measured.control_shift_ms is None or measured.control_shift_ms == pytest.approx(CONTROL_MS, abs=40)
