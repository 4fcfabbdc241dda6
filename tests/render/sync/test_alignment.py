"""How far one sound lies behind another is known to the sample, also under music."""

from pathlib import Path

import numpy as np
import pytest

from heygemd.render.sync import alignment
from tests.media_factory import VOICE, ffmpeg, samples

RATE = 16000
MUSIC = "aevalsrc='0.2*(sin(440*PI*t)+sin(554*PI*t)+sin(660*PI*t))*(0.6+0.4*sin(5*t))':s=16000:d=5"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return samples(VOICE)[: 5 * RATE]


def later(sound: np.ndarray, ms: float) -> np.ndarray:
    moved = round(abs(ms) * RATE / 1000)
    silence = np.zeros(moved, np.float32)
    return np.concatenate([silence, sound]) if ms >= 0 else sound[moved:]


@pytest.mark.parametrize("late_ms", [0, 3, -8, 80, -300])
@pytest.mark.parametrize("beside", [0, 1, 2])
def test_the_same_voice_under_music_is_placed_to_the_sample(
    speech: np.ndarray, tmp_path: Path, late_ms: float, beside: float
) -> None:
    """The music is `beside` times as loud as the voice."""
    ffmpeg("-f", "lavfi", "-i", MUSIC, tmp_path / "music.wav")
    music = samples(tmp_path / "music.wav")
    mixed = later(speech, late_ms).copy()
    count = min(len(mixed), len(music))
    mixed[:count] += music[:count] * (beside * np.std(speech) / np.std(music))
    assert alignment.lag_ms(mixed, speech) == pytest.approx(late_ms, abs=0.1)


def test_other_speech_and_silence_have_nothing_in_common(speech: np.ndarray) -> None:
    other = samples(VOICE)[5 * RATE :]
    assert len(other) > 3 * RATE
    assert alignment.lag_ms(other, speech) is None
    assert alignment.lag_ms(np.zeros_like(speech), speech) is None
    assert alignment.lag_ms(np.zeros(0, np.float32), speech) is None
