"""The voices of several speakers in one sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from heygemd.config.schema import Limits
from heygemd.render.audio.load import load_voice
from heygemd.render.audio.mix import PEAK, PlacedVoice, gains, mix_voices
from heygemd.render.cache import Cache
from tests import media_factory


def load(path: Path, folder: Path) -> PlacedVoice:
    voice = load_voice(path, str(path), Limits(), Cache(folder / "cache", 1 << 30), folder / path.stem)
    return PlacedVoice(voice, Fraction(0))


def test_a_mix_never_clips_and_keeps_the_times(tmp_path: Path) -> None:
    tone = [f"aevalsrc=0.9*sin(2*PI*440*t):s={rate}:d=1" for rate in (44100, 16000)]
    files = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for file, source in zip(files, tone, strict=True):
        media_factory.ffmpeg("-f", "lavfi", "-i", source, file)
    one, other = (load(file, tmp_path) for file in files)
    placed = [one, PlacedVoice(other.voice, Fraction(1, 2))]
    mix_voices(placed, gains(2, "middle"), tmp_path / "mix.wav")
    mixed = load(tmp_path / "mix.wav", tmp_path).voice
    assert (mixed.duration_s, mixed.stream.rate, mixed.stream.channels) == (Fraction(3, 2), 44100, 1)
    alone, together = mixed.samples[2000:6000], mixed.samples[9000:15000]
    assert np.abs(together).max() == pytest.approx(PEAK, abs=0.02)
    assert together.std() > 1.7 * alone.std()


def test_speakers_are_spread_from_left_to_right() -> None:
    assert np.allclose(gains(2, "own"), [[1, 0], [0, 1]], atol=1e-6)
    assert np.allclose((gains(4, "own") ** 2).sum(1), 1) and (np.diff(gains(4, "own")[:, 1]) > 0).all()
