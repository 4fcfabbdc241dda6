"""The mono that drives the lips is the channel, or the mean of channels, that carries the speech."""

from pathlib import Path

import numpy as np
import pytest

from heygemd.config.schema import Limits
from heygemd.media.probe import probe
from heygemd.render.audio import downmix, vad
from heygemd.render.audio.load import Voice, load_voice
from heygemd.render.cache import Cache

from ... import media_factory

NOISE = "anoisesrc=r=48000:a=0.3:seed=1"
MUSIC = "aevalsrc='0.15*(sin(440*PI*t)+sin(554*PI*t)+sin(660*PI*t))*(0.6+0.4*sin(5*t))':s=48000"


def load(path: Path) -> Voice:
    return load_voice(path, path.name, Limits(), Cache(path.parent / "cache", 1 << 30), path.parent / "scratch")


def mix(path: Path) -> list[float]:
    stream = probe(path, Limits()).audio
    assert stream is not None
    return [round(float(share), 3) for share in downmix.choose_mix(path, stream)]


VOICE, NOTHING, OTHER = (1, 0), (0, 0), (0, 1)


@pytest.mark.parametrize(
    ("channels", "other", "expected"),
    [
        pytest.param([VOICE] * 2, "", [0.5, 0.5], id="the same twice"),
        pytest.param([VOICE, (-1, 0)], "", [1, 0], id="one cable reversed"),
        pytest.param([NOTHING, VOICE], "", [0, 1], id="the voice on one side only"),
        pytest.param([(0.01, 0), OTHER], NOISE, [1, 0], id="a lavalier at -40 dB beside loud noise"),
        pytest.param([OTHER, (0.03, 0)], MUSIC, [0, 1], id="a lavalier at -30 dB beside loud music"),
        pytest.param([VOICE, (1, 0.02)], NOISE, [0.5, 0.5], id="two microphones"),
        pytest.param([NOTHING] * 4 + [VOICE] + [NOTHING] * 5, "", [0] * 4 + [1] + [0] * 5, id="one of ten"),
        pytest.param([VOICE] * 4, "", [0.25] * 4, id="four alike"),
        pytest.param([(0, 0.001)] * 7 + [VOICE], NOISE, [0] * 7 + [1], id="the last of eight"),
    ],
)
def test_the_channel_with_the_speech_is_heard(
    tmp_path: Path, channels: list[tuple[float, float]], other: str, expected: list[float]
) -> None:
    path = media_factory.speech(tmp_path / "v.wav", channels=channels, other=other)
    assert mix(path) == expected


def test_two_people_on_a_channel_each_are_both_heard(tmp_path: Path) -> None:
    path = media_factory.speech(tmp_path / "v.wav", [VOICE, VOICE])
    muted = "volume='gte(t,3)':eval=frame[l];[b]volume='lt(t,3)':eval=frame[r]"
    both = f"[0:a]channelsplit=stereo[a][b];[a]{muted};[l][r]join=2:stereo"
    media_factory.ffmpeg("-i", path, "-filter_complex", both, tmp_path / "both.wav")
    assert mix(tmp_path / "both.wav") == [0.5, 0.5]


def test_the_voice_is_heard_in_a_long_recording_whose_start_is_silent(tmp_path: Path) -> None:
    """Longer than all windows together: they are spread over it."""
    late = "adelay=100000:all=1,apad=whole_dur=160"
    path = media_factory.speech(tmp_path / "s.wav", [VOICE, (-1, 0)], seconds=40)
    media_factory.ffmpeg("-i", path, "-af", late, tmp_path / "v.flac")
    assert mix(tmp_path / "v.flac") == [1, 0]


def test_antiphase_and_ten_channels_sound_like_the_mono_voice(tmp_path: Path) -> None:
    mono = load(media_factory.speech(tmp_path / "mono.wav"))
    spoken = vad.detect_speech(mono.samples)
    cables = {"anti": [VOICE, (-1, 0)], "ten": [VOICE] + [NOTHING] * 9, "alike": [VOICE] * 6}
    for name, channels in cables.items():
        voice = load(media_factory.speech(tmp_path / f"{name}.wav", channels))
        assert np.abs(voice.samples - mono.samples).max() < 1e-3, name
        assert (vad.detect_speech(voice.samples) == spoken).all(), name
        assert {f.code for f in voice.findings} == ({"audio_mixed_down"} if name == "ten" else set()), name


NO_SOUND = "anullsrc=r=48000"


@pytest.mark.parametrize(
    ("ending", "tracks", "default", "used"),
    [
        pytest.param("mkv", [NO_SOUND, "voice"], 0, 1, id="a recorder's first source is off"),
        pytest.param("mp4", [NO_SOUND, "voice"], 0, 1, id="a camera's first microphone is off"),
        pytest.param("mka", ["voice", NO_SOUND], 1, 0, id="the silent one is the default"),
        pytest.param("mkv", [NOISE, "voice"], 0, 1, id="the first has noise only"),
        pytest.param("mkv", [NO_SOUND, NOISE, "voice"], 0, 2, id="the third"),
        pytest.param("mkv", ["empty", "voice"], 0, 1, id="the first is empty"),
        pytest.param("vob", [NO_SOUND, "voice"], 0, 1, id="a DVD"),
        pytest.param("mka", ["voice", "voice"], 1, 1, id="both speak: the default"),
        pytest.param("mka", ["voice", NOISE], 0, 0, id="the first speaks"),
        pytest.param("mka", [NO_SOUND, NO_SOUND], 0, 0, id="nobody speaks"),
        pytest.param("mka", [NO_SOUND, "sine=440:r=48000"], 0, 1, id="a tone beside nothing"),
    ],
)
def test_the_track_with_the_speech_is_the_voice(
    tmp_path: Path, ending: str, tracks: list[str], default: int, used: int
) -> None:
    speech, path = media_factory.speech(tmp_path / "v.wav"), tmp_path / f"tracks.{ending}"
    sources: list[str | Path] = []
    options: list[str | Path] = ["-c:a", "ac3" if ending == "vob" else "aac", "-t", "6"]
    for number, track in enumerate(tracks):
        sources += ["-i", speech] if track in ("voice", "empty") else ["-f", "lavfi", "-i", track]
        options += ["-map", str(number), f"-disposition:a:{number}", "default" if number == default else "0"]
        options += [f"-bsf:a:{number}", "noise=drop=1"] if track == "empty" else []
    media_factory.ffmpeg(*sources, *options, path)
    heard = load(path)
    streams = probe(path, Limits()).tracks
    assert heard.stream == streams[used]
    told = [finding for finding in heard.findings if finding.code == "voice_track"]
    expected = {"number": used + 1, "count": len(tracks)}
    assert [finding.fields for finding in told] == ([] if used == default else [expected])
    if tracks[used] == "voice":
        assert abs(media_factory.lag_ms(heard.samples, media_factory.samples(speech))) <= 35  # a codec's own delay
