import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest

from heygemd.render.audio import mel
from heygemd.weights import bundled

RATE = mel.VOICE_RATE_HZ


def hum(seconds: float, level: float = 0.1) -> np.ndarray:
    """A buzzing voice-like sound."""
    t = np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20))
    return (level * tones).astype(np.float32)


def test_one_row_every_ten_milliseconds() -> None:
    assert mel.log_mel(hum(1.234)).shape == (123, mel.BANDS)
    for samples in (0, 1, 159, 160, 161):
        assert mel.log_mel(np.zeros(samples, np.float32)).shape == (samples // 160, mel.BANDS)
        mel.normalised_mel(np.zeros(samples, np.float32))


@pytest.mark.parametrize(("fft", "bands", "low", "high"), mel.FILTER_BANKS)
def test_the_mel_filters_are_librosas(fft: int, bands: int, low: float, high: float) -> None:
    theirs = librosa.filters.mel(sr=RATE, n_fft=fft, n_mels=bands, fmin=low, fmax=high)
    assert np.allclose(mel.mel_filters(fft, bands, low, high), theirs, atol=1e-8)


def test_the_bundled_filters_are_what_their_command_makes(tmp_path: Path) -> None:
    made = tmp_path / "made.safetensors"
    subprocess.run([sys.executable, "-m", "heygemd.training", "mel-filters", "--out", str(made)], check=True)
    ours = bundled.tensors("mel_filters.safetensors")
    assert {name: rows.tolist() for name, rows in bundled.load_file(made).items()} == {
        name: rows.tolist() for name, rows in ours.items()
    }


def test_log_mel_is_librosas() -> None:
    voice = hum(1.0) + np.random.default_rng(0).normal(0, 0.01, RATE).astype(np.float32)
    first = 2 * mel.HOP + mel.HOP // 2 - mel.FFT // 2  # where the third row's samples begin
    theirs = np.abs(librosa.stft(voice[first:], n_fft=512, win_length=400, hop_length=160, center=False)) ** 2
    theirs = np.log(librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40, fmin=60, fmax=7600) @ theirs + mel.FLOOR).T
    assert np.allclose(mel.log_mel(voice)[2 : 2 + len(theirs)], theirs, atol=1e-4)


def test_chunks_join_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    voice = (np.random.default_rng(0).standard_normal(RATE * 5) * 0.1).astype(np.float32)
    at_once = mel.log_mel(voice)
    monkeypatch.setattr(mel, "CHUNK_S", 1)
    assert np.allclose(mel.log_mel(voice), at_once, atol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.0003, 0.003])
def test_speech_is_told_from_silence(noise: float) -> None:
    quiet = np.zeros(RATE, np.float32)
    voice = np.concatenate([quiet, hum(1.0), np.zeros(int(0.06 * RATE), np.float32), hum(1.0), quiet])
    voice = voice + np.random.default_rng(0).normal(0, noise, len(voice)).astype(np.float32)
    speech = mel.energy_vad(mel.log_mel(voice))
    assert not speech[:95].any() and not speech[-95:].any()
    assert speech[105:300].all()


def test_silence_is_silence() -> None:
    assert not mel.energy_vad(mel.log_mel(np.zeros(RATE, np.float32))).any()


def test_level_does_not_matter() -> None:
    sound = np.concatenate([hum(1.0), hum(1.0, 0.03)])
    sound += np.random.default_rng(0).normal(0, 0.003, len(sound)).astype(np.float32)
    loud, soft = (mel.normalised_mel(sound * gain) for gain in (np.float32(2), np.float32(0.2)))
    assert np.abs(loud - soft).max() < 0.1
