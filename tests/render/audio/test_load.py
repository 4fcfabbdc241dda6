"""The voice's length is exact, its resampling has no seams, and its faults are found."""

import shutil
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest

from heygemd.config.schema import Limits
from heygemd.errors import InputError
from heygemd.render.audio import load as audio
from heygemd.render.cache import Cache

from ... import media_factory


def load(path: Path, digest: str = "d") -> audio.Voice:
    folder = path.parent / f"scratch-{path.name}"
    return audio.load_voice(path, digest, Limits(), Cache(path.parent / "cache", 1 << 30), folder)


def lavfi(path: Path, source: str, *options: str) -> Path:
    media_factory.ffmpeg("-f", "lavfi", "-i", source, *options, path)
    return path


def codes(path: Path) -> set[str]:
    """The codes of what is wrong with the recording, except that these tones are no speech."""
    return {f.code for f in load(path, path.name).findings} - {"no_speech", "no_speech_ranges"}


@pytest.mark.parametrize("ext", ["wav", "mp3", "m4a", "aac", "flac", "ogg", "opus", "wma"])
def test_every_kind(tmp_path: Path, ext: str) -> None:
    voice = load(media_factory.audio(tmp_path / f"v.{ext}", 1.5))
    assert float(voice.duration_s) == pytest.approx(1.5, abs=0.1)
    assert len(voice.samples) == round(voice.duration_s * 16000)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 96000])
def test_the_length_is_exact(tmp_path: Path, rate: int) -> None:
    voice = load(media_factory.audio(tmp_path / "v.wav", 1.23, rate))
    assert voice.duration_s == Fraction(round(1.23 * rate), rate)


def test_blocks_leave_no_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lavfi(tmp_path / "v.wav", "anoisesrc=r=44100:d=11.3:seed=3:a=0.3", "-c:a", "pcm_f32le")
    monkeypatch.setattr(audio, "BLOCK_S", 3)
    ours = np.array(load(path).samples)
    raw = tmp_path / "raw"
    media_factory.ffmpeg("-i", path, "-f", "f32le", raw)
    at_once = librosa.resample(np.fromfile(raw, "<f4"), orig_sr=44100, target_sr=16000, res_type="soxr_hq")
    assert np.abs(ours - at_once[: len(ours)]).max() < 1e-4


def test_faults_of_a_recording_are_found(tmp_path: Path) -> None:
    speech = "0.3*sin(2*PI*300*t)*gt(sin(2*PI*1.3*t),-0.3)"
    assert codes(lavfi(tmp_path / "good.wav", f"aevalsrc='{speech}':s=16000:d=6")) == set()
    assert codes(lavfi(tmp_path / "silent.wav", "anullsrc=r=16000", "-t", "3")) == {"audio_silent"}
    assert codes(lavfi(tmp_path / "quiet.wav", f"aevalsrc='0.01*{speech}':s=16000:d=6")) == {"audio_quiet"}
    assert codes(lavfi(tmp_path / "clipped.wav", f"aevalsrc='9*{speech}':s=16000:d=6")) == {"audio_clipped"}
    assert codes(lavfi(tmp_path / "noise.wav", "anoisesrc=r=16000:d=6:a=0.1")) == {"audio_noisy"}


def test_too_short_and_no_sound(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(media_factory.audio(tmp_path / "v.wav", 0.1))
    assert caught.value.code == "audio_too_short" and caught.value.fields == {"seconds": 0.1, "of": "voice"}
    with pytest.raises(InputError) as caught:
        load(media_factory.video(tmp_path / "v.mp4"))
    assert caught.value.code == "no_audio" and caught.value.fields["of"] == "voice"


@pytest.mark.parametrize("name", ["v.wav", "v.m4a"])
def test_a_voice_is_probed_and_decoded_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media_factory.audio(tmp_path / name, 1)
    first = load(path)
    samples = np.array(first.samples)
    shutil.rmtree(tmp_path / f"scratch-{name}")
    for function in ("probe", "_decode"):
        monkeypatch.setattr(audio, function, None)
    again = load(path)
    assert np.array_equal(again.samples, samples) and np.array_equal(again.mix, first.mix)
    for fact in ("container", "stream", "duration_s", "copyable", "findings"):
        assert getattr(again, fact) == getattr(first, fact), fact
