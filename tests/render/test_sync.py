"""The measure of lips against voice: exact on made signals, silent where it cannot know, calm on real people."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.config import Limits
from heygemd.errors import EngineError
from heygemd.protocol import CONTROL_MS, Verdict
from heygemd.render import audio, faces, sync, video
from heygemd.render.cache import Cache

from .. import making

FPS = Fraction(25)


def syllables(seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """Loudness at 1 kHz that swells irregularly four times a second or so."""
    rng = np.random.default_rng(seed)
    loudness = np.zeros(int(seconds * 1000))
    at = 0.3
    while at < seconds - 0.3:
        width = rng.uniform(0.05, 0.1)
        loudness += rng.uniform(0.4, 1) * np.exp(-(((np.arange(len(loudness)) / 1000 - at) / width) ** 2))
        at += rng.uniform(0.15, 0.4)
    return loudness


def voice_of(loudness: NDArray[np.float64]) -> NDArray[np.float32]:
    noise = np.random.default_rng(1).normal(size=len(loudness) * 16)
    return (0.3 * noise * np.repeat(loudness, 16)).astype(np.float32)


def mouth_of(loudness: NDArray[np.float64], late_ms: float) -> NDArray[np.float64]:
    seconds = len(loudness) / 1000
    times = (np.arange(int(seconds * 25)) + 0.5) / 25 - late_ms / 1000
    return 0.05 + 0.2 * np.interp(times, np.arange(len(loudness)) / 1000, loudness)


@pytest.mark.parametrize("late_ms", [-240, -80, 0, 120, 320])
def test_a_known_offset_is_measured(late_ms: float) -> None:
    loudness = syllables(12)
    verdict = sync.judge(mouth_of(loudness, late_ms), FPS, voice_of(loudness))
    assert verdict.offset_ms == pytest.approx(late_ms, abs=20)
    assert verdict.offset_confidence >= sync.CERTAIN
    assert sync.wrong(verdict, FPS, 3) == (abs(late_ms) > 120)


def test_the_controls_tell_that_the_measure_measures() -> None:
    loudness = syllables(12)
    verdict = sync.judge(mouth_of(loudness, 40), FPS, voice_of(loudness))
    assert verdict.moved_ms == pytest.approx(CONTROL_MS, abs=20)
    assert verdict.backwards_confidence < sync.SURE
    assert verdict.offset_frames == pytest.approx(1, abs=0.5)


def test_what_does_not_belong_together_gives_no_answer() -> None:
    answers = [
        sync.offset(mouth_of(syllables(12, 2 * n), 0), FPS, voice_of(syllables(12, 2 * n + 1))) for n in range(20)
    ]
    assert sum(offset is not None for offset, _ in answers) <= 3
    assert not any(sync.wrong(Verdict(fps="25/1", offset_ms=ms, offset_confidence=c), FPS, 3) for ms, c in answers)


def test_nothing_to_measure() -> None:
    loudness = syllables(6)
    assert sync.offset(np.full(150, np.nan), FPS, voice_of(loudness)) == (None, 0.0)
    assert sync.offset(mouth_of(loudness, 0), FPS, np.zeros(96000, np.float32)) == (None, 0.0)
    assert sync.offset(mouth_of(syllables(1), 0), FPS, voice_of(syllables(1))) == (None, 0.0)
    assert sync.offset(np.zeros(0), FPS, np.zeros(0, np.float32)) == (None, 0.0)


def test_fast_video_is_not_judged_by_its_short_frames() -> None:
    def wrong(offset_ms: float, fps: int) -> bool:
        return sync.wrong(Verdict(fps=f"{fps}/1", offset_ms=offset_ms, offset_confidence=5.0), Fraction(fps), 3)

    assert not wrong(70, 60)
    assert wrong(150, 60)
    assert not wrong(170, 12)


def test_the_gate_names_what_is_wrong(tmp_path: Path) -> None:
    options = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
    path = making.video(tmp_path / "v.mp4", 2, options=options, sound=True)
    good = sync.Expected(50, FPS, 320, 180, Fraction(2))
    assert sync.gate(path, good, Limits()).frames == 50
    for bad, word in (
        (sync.Expected(51, FPS, 320, 180, Fraction(2)), "frames"),
        (sync.Expected(50, FPS, 322, 180, Fraction(2)), "size"),
        (sync.Expected(50, FPS, 320, 180, Fraction(3)), "audio_duration"),
    ):
        with pytest.raises(EngineError) as caught:
            sync.gate(path, bad, Limits())
        assert caught.value.code == "output_invalid" and word in caught.value.fields["reason"]
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(EngineError):
        sync.gate(path, good, Limits())


@pytest.mark.skipif(not making.CLIPS.exists(), reason="needs recordings of real people (HEYGEMD_CLIPS)")
def test_real_people_are_in_time_and_a_shift_is_seen(tmp_path: Path) -> None:
    clip = making.CLIPS / "av" / "KwaiVGI_LivePortrait__examples_driving_d6_df80c6.mp4"
    voice = audio.load(clip, "d", Limits(), Cache(tmp_path / "cache", 0), tmp_path / "scratch")
    fps = video.describe(clip, Limits()).fps
    gaps = sync.mouth(clip, faces.tracker("auto", tmp_path), Limits(), tmp_path, lambda n: None)
    verdict = sync.judge(gaps, fps, voice.samples)
    assert not sync.wrong(verdict, fps, 3)
    assert verdict.moved_ms is None or verdict.moved_ms == pytest.approx(CONTROL_MS, abs=40)
