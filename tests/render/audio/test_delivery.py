"""What is heard: the video's own sound under the voice without clicks, and loudness as asked for."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from heygemd.config.schema import Limits
from heygemd.media import ffmpeg as commands
from heygemd.media.probe import probe
from heygemd.media.process import run
from heygemd.render.audio import delivery, original_sound
from heygemd.render.audio.load import Voice, load_voice
from heygemd.render.audio.original_sound import CHANNELS, RATE_HZ
from heygemd.render.cache import Cache
from tests.media_factory import ffmpeg

LIMITS = Limits(probe_timeout_s=120)
SPEECH = Path(__file__).parents[3] / "heygemd" / "demo" / "voice.m4a"


def voice(folder: Path, path: Path) -> Voice:
    return load_voice(path, path.name, LIMITS, Cache(folder / "cache", 1 << 30), folder)


def heard(made: Voice) -> np.ndarray:
    """The first channel of what is delivered, at RATE_HZ."""
    count = made.stream.channels
    sound = commands.delivered(made.path, made.stream.index, count, made.mix.tolist())
    sound = commands.filtered(sound, made.filters)
    output = commands.to_pipe(sound, format="f32le", acodec="pcm_f32le", ac=count, ar=RATE_HZ)
    return np.frombuffer(run(commands.command(output), 60), "<f4").reshape(-1, count)[:, 0]


def loudness(made: Voice, folder: Path) -> tuple[float, float]:
    """Integrated loudness and true peak, as ffmpeg's ebur128 measures the delivered AAC."""
    chain = commands.filtered(commands.sound(made.path, made.stream.index), made.filters)
    run(commands.command(commands.to_file(chain, path=folder / "out.m4a", max_bytes=1 << 30, **{"b:a": 192000})), 60)
    told = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostats", "-i", folder / "out.m4a", "-af", "ebur128=peak=true", "-f", "null", "-"],
        capture_output=True,
        check=True,
    ).stderr.decode()
    summary = told[told.rindex("Summary:") :]
    return tuple(float(re.search(rf"{name}:\s+(-?[\d.]+)", summary)[1]) for name in ("I", "Peak"))  # type: ignore[index,return-value]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A second of picture at 25 fps; its sound, a tone at -12 dB that starts anew, ends with the picture."""
    path = tmp_path / "film.mkv"
    tone = "aevalsrc=0.25*sin(2*PI*440.3*t):d=1:s=44100"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=1:r=25:s=64x64", "-f", "lavfi", "-i", tone, "-c:a", "pcm_s16le", path)
    return path


def test_the_sound_goes_on_without_clicks_and_in_time(tmp_path: Path, film: Path) -> None:
    starts = [Fraction(start, 25) for start in (0, 25, 49, 73, 97)]
    path = original_sound.write_whole(film, probe(film, LIMITS), starts, Fraction(1), Fraction(9, 2), tmp_path)
    sound = np.fromfile(path, "<f4").reshape(-1, CHANNELS)
    assert sound.shape == (4.5 * RATE_HZ, CHANNELS)
    assert np.abs(sound).max() < 0.25 * 1.45  # two equal tones in a crossfade of constant power
    step = 0.25 * 2 * np.pi * 440.3 / RATE_HZ
    assert np.abs(np.diff(sound, axis=0)).max() < 1.5 * step
    fresh = np.sin(2 * np.pi * 440.3 * np.arange(RATE_HZ // 2) / RATE_HZ) * 0.25
    for start in starts[:4]:  # each pass begins with the picture
        at = round(start * RATE_HZ) + RATE_HZ // 5
        assert np.abs(sound[at : at + RATE_HZ // 4, 0] - fresh[RATE_HZ // 5 :][: RATE_HZ // 4]).max() < 0.01
    power = [np.sqrt(np.mean(sound[at : at + 2400] ** 2)) for at in range(4800, len(sound) - 4800, 2400)]
    assert min(power) > 0.25 / np.sqrt(2) * 0.3


def test_the_original_is_ducked_while_somebody_speaks_and_nothing_clips(tmp_path: Path, film: Path) -> None:
    spoken = tmp_path / "loud.wav"
    ffmpeg("-t", "3", "-i", SPEECH, "-af", "volume=6dB,apad=pad_dur=3", "-ac", "1", "-ar", "16000", spoken)
    plain = voice(tmp_path, spoken)
    starts = [Fraction(n) for n in range(6)]
    whole = original_sound.write_whole(film, probe(film, LIMITS), starts, Fraction(1), Fraction(6), tmp_path)
    made = delivery.mixed(plain, whole, -6, Fraction(6), tmp_path)
    assert (made.stream.rate, made.stream.channels, made.copyable) == (48000, 2, False)
    sound = heard(made)
    assert len(sound) == 6 * RATE_HZ
    assert np.abs(sound).max() < 0.95

    def tone(low: float, high: float) -> float:
        part = sound[int(low * RATE_HZ) : int(high * RATE_HZ)]
        turn = np.exp(-2j * np.pi * 440.3 * np.arange(len(part)) / RATE_HZ)
        return max(abs(np.mean((part * turn)[at : at + 4800])) * 2 for at in range(0, len(part) - 4800, 4800))

    assert 0.08 < tone(4.2, 5.8) < 0.14  # 0.25 at -6 dB in the pause
    quiet = delivery.mixed(plain, whole, -40, Fraction(6), tmp_path)
    voice_alone = heard(quiet)
    scale = np.abs(sound).max() / np.abs(voice_alone).max()
    under = sound - voice_alone * scale
    speaking = np.sqrt(np.mean(under[RATE_HZ // 2 : 2 * RATE_HZ] ** 2))
    pausing = np.sqrt(np.mean(under[int(4.5 * RATE_HZ) : int(5.5 * RATE_HZ)] ** 2))
    assert speaking < 0.6 * pausing


@pytest.mark.parametrize(("level_db", "target"), [(0, -16), (-20, -16), (12, -23), (0, -12)])
def test_loudness_is_within_half_a_unit(tmp_path: Path, level_db: int, target: int) -> None:
    spoken = tmp_path / "voice.wav"
    ffmpeg("-t", "8", "-i", SPEECH, "-af", f"volume={level_db}dB", "-ar", "44100", spoken)
    plain = voice(tmp_path, spoken)
    made, told, findings = delivery.normalised(plain, target, plain.duration_s)
    measured, peak = loudness(made, tmp_path)
    assert abs(measured - target) <= 0.5 and abs(measured - told) <= 0.3
    assert peak <= -0.5
    assert findings == []
    before, after = heard(plain), heard(made)
    assert abs(len(after) - len(before)) <= 2
    lag = np.argmax(np.correlate(after[48000:96000], before[48480:95520], "valid")) - 480
    assert abs(lag) <= 2  # the limiter's look-ahead is made up for


def test_silence_is_left_as_it_is(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "anullsrc=d=2:r=16000", tmp_path / "silent.wav")
    silent = voice(tmp_path, tmp_path / "silent.wav")
    made, told, findings = delivery.normalised(silent, -16, silent.duration_s)
    assert (made, told, [finding.code for finding in findings]) == (silent, None, ["loudness_silent"])


def test_speech_in_the_original_is_told(tmp_path: Path, film: Path) -> None:
    assert original_sound.speech_findings(film, probe(film, LIMITS)) == []
    talk = tmp_path / "talk.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=5:r=25:s=64x64", "-t", "5", "-i", SPEECH, talk)
    assert [f.code for f in original_sound.speech_findings(talk, probe(talk, LIMITS))] == ["original_sound_speech"]
