from pathlib import Path

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.render.audio import mel, speaker_count, vad
from heygemd.render.engines.mesh import viseme_net
from heygemd.training import real_clips

RATE = mel.VOICE_RATE_HZ
Sound = NDArray[np.float32]


def music(seconds: float, level: float = 0.1) -> Sound:
    """Plucked chords over a bass and a drum."""
    t = np.arange(int(seconds * RATE)) / RATE
    since_beat = t % 0.5
    roots = np.array([220.0, 174.6, 196.0, 261.6])[(t // 1.0).astype(int) % 4]
    phase = 2 * np.pi * np.cumsum(roots) / RATE
    chord = sum(np.sin(phase * step * k) / k for step in (1, 1.25, 1.5, 2) for k in range(1, 6)) * np.exp(
        -3 * since_beat
    )
    drum = np.random.default_rng(0).standard_normal(len(t)) * np.exp(-40 * since_beat)
    sound = chord + np.sin(phase / 4) + 2 * drum
    return (level * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


@pytest.fixture(scope="module")
def voice() -> Sound:
    said = real_clips.load_sound(Path(viseme_net.__file__).parents[3] / "demo" / "voice.m4a")
    return said[: 6 * RATE] * np.float32(0.1 / np.sqrt(np.mean(said**2)))


def test_a_voice_is_speech(voice: Sound) -> None:
    loud = mel.energy_vad(mel.log_mel(voice))
    assert vad.detect_speech(voice)[loud].mean() > 0.95
    assert vad.findings(voice) == []


def test_music_is_no_speech_and_is_reported(voice: Sound) -> None:
    assert vad.detect_speech(music(6)).mean() < 0.3 * mel.energy_vad(mel.log_mel(music(6))).mean()
    t = np.arange(6 * RATE) / RATE
    tone = (0.1 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    assert [finding.code for finding in vad.findings(tone)] == ["no_speech"]
    [finding] = vad.findings(np.concatenate([voice, music(4), voice]))
    assert finding.code == "no_speech_ranges"
    [[start, end]] = finding.fields["ranges"]
    assert abs(start - 6) < 0.8 and abs(end - 10) < 0.8


def test_the_mouth_rests_in_the_music_between_sentences(voice: Sound) -> None:
    spoken = viseme_net.predict_visemes(np.concatenate([voice, music(4), voice]))
    second = viseme_net.RATE_HZ
    assert not spoken[round(6.6 * second) : round(9.4 * second)].any()
    assert spoken[: 6 * second].max() > 0.05 and spoken[10 * second :].max() > 0.05


def test_silence_gives_no_findings() -> None:
    assert vad.findings(np.zeros(RATE, np.float32)) == [] == vad.findings(np.zeros(0, np.float32))


def test_chunks_join_without_a_trace(voice: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    features = mel.normalised_mel(voice)
    at_once = vad.speech_probability(vad.load(), features)
    monkeypatch.setattr(vad, "CHUNK_S", 1)
    assert np.allclose(vad.speech_probability(vad.load(), features), at_once, atol=1e-5)


def test_two_voices_are_reported(voice: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    long = np.concatenate([voice, voice])
    with monkeypatch.context() as without_librosa:
        without_librosa.delattr(librosa, "yin")
        assert vad.findings(long) == []
    low = librosa.effects.pitch_shift(long, sr=RATE, n_steps=-11).astype(np.float32)
    assert [finding.code for finding in vad.findings(np.concatenate([long, low]))] == ["two_voices"]


def test_coarse_pitches_are_librosas(voice: Sound) -> None:
    theirs = librosa.yin(voice, fmin=60, fmax=450, sr=RATE, frame_length=1024, hop_length=320)
    semitones = 12 * np.abs(np.log2(speaker_count.coarse_pitch(voice) / theirs))
    assert np.percentile(semitones, 98) < 0.3
    silence = np.zeros(RATE, np.float32)
    assert (speaker_count.coarse_pitch(silence) > 440).all()
