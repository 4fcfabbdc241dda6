import itertools
import shutil
import subprocess
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest

from heygemd.errors import NotInstalled
from heygemd.render.audio import mel
from heygemd.render.engines.mesh import speech_encoder, viseme_net
from heygemd.render.face.mouth_params import OPEN, WIDTH
from heygemd.training import real_clips
from heygemd.weights import bundled

from .... import media_factory

needs_voice = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")


def say(text: str, folder: Path, voice: str = "en-us+f3", level: float = 0.1) -> np.ndarray:
    """Speak at 16 kHz and a given loudness, half a second of silence on either side."""
    said = folder / "said.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "-w", str(said), text], check=True)
    with wave.open(str(said)) as file:
        rate, sound = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    at = np.arange(0, len(sound), rate / 16_000)
    sound = np.interp(at, np.arange(len(sound)), sound)
    loud = sound[np.abs(sound) > 0.02]
    pad = np.zeros(8_000)
    return np.concatenate([pad, sound * level / np.sqrt(np.mean(loud**2)), pad]).astype(np.float32)


@needs_voice
def test_bilabials_close_between_vowels(tmp_path: Path) -> None:
    spoken = viseme_net.predict_visemes(say("mama mama", tmp_path))[:, OPEN]
    peaks = [k for k in range(1, len(spoken) - 1) if spoken[k - 1] < spoken[k] >= spoken[k + 1] and spoken[k] > 0.03]
    assert len(peaks) >= 2
    dips = [spoken[a:b].min() for a, b in itertools.pairwise(peaks) if b - a > 3]
    assert min(dips) < 0.02


@needs_voice
def test_ee_is_wide_and_oo_narrow(tmp_path: Path) -> None:
    see, soon, far = (
        viseme_net.predict_visemes(say(text, tmp_path)) for text in ("see see see", "woo woo woo", "far far far")
    )
    said = [rows[rows[:, OPEN] > 0.02] for rows in (see, soon, far)]
    assert np.percentile(said[0][:, WIDTH], 75) > 0.015
    assert np.percentile(said[1][:, WIDTH], 25) < -0.03
    assert np.percentile(said[2][:, OPEN], 90) > 1.4 * np.percentile(said[0][:, OPEN], 90)


@needs_voice
@pytest.mark.parametrize("voice", ["cmn-latn-pinyin", "de"])
def test_pause_closes_the_mouth_and_holds_it(voice: str, tmp_path: Path) -> None:
    word = say("mama papa", tmp_path, voice)
    spoken = viseme_net.predict_visemes(np.concatenate([word, np.zeros(16_000, np.float32), word]))
    middle = len(spoken) // 2
    assert np.abs(spoken[middle - 20 : middle + 20]).max() == 0
    assert spoken[:, OPEN].max() > 0.06


def test_silence_and_nothing_give_a_closed_mouth() -> None:
    assert not viseme_net.predict_visemes(np.zeros(16_000, np.float32)).any()
    assert viseme_net.predict_visemes(np.zeros(10, np.float32)).shape == (0, 5)


def test_the_tongue_is_heard_with_the_lips() -> None:
    voice = real_clips.load_sound(media_factory.VOICE)[: 16_000 * 3]
    visemes, tongue = viseme_net.predict_mouth(voice)
    assert np.array_equal(visemes, viseme_net.predict_visemes(voice))
    assert tongue.shape == (150,) and tongue.dtype == np.float32 and 0 <= tongue.min() < 0.1 < 0.5 < tongue.max() <= 1
    assert not viseme_net.predict_mouth(np.zeros(16_000, np.float32))[1].any()
    assert viseme_net.predict_mouth(np.zeros(10, np.float32))[1].shape == (0,)


def test_windows_join(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = real_clips.load_sound(media_factory.VOICE)[: 16_000 * 9]
    net = viseme_net.load()
    at_once = speech_encoder.encode(net, voice)
    monkeypatch.setattr(speech_encoder, "WINDOW", 200)
    parts = speech_encoder.encode(net, voice)
    assert parts.shape == at_once.shape == (450, 5)
    assert np.corrcoef(parts[:, OPEN], at_once[:, OPEN])[0, 1] > 0.97


def test_memory_does_not_follow_the_sound() -> None:
    voice = np.random.default_rng(0).standard_normal(16_000 * 240).astype(np.float32) * 0.1
    tracemalloc.start()
    mel.log_mel(voice)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


def test_a_damaged_file_is_told_before_anything_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundled.SHA256, speech_encoder.FILE, "0" * 64)
    bundled.asset.cache_clear()
    with pytest.raises(NotInstalled, match=speech_encoder.FILE):
        viseme_net.check()
