"""Delivered sound and lips share the voice's own timeline: gaps, late starts and edit lists are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heygemd.config.schema import Limits, Render
from heygemd.errors import EngineError
from heygemd.i18n import catalog
from heygemd.protocol import Message, Notice, SyncRequest
from heygemd.render import measure_sync, pipeline
from heygemd.render.audio import delivery
from heygemd.render.audio.load import load_voice
from heygemd.render.cache import Cache
from heygemd.render.engines import registry
from heygemd.render.sync import av_offset
from heygemd.render.video import decode

from ..media_factory import VOICE, ffmpeg, lag_ms, samples
from .anna import film
from .requests import request

SECONDS = 3
GAP = (1.0, 1.6)
LATE_S = 0.72  # in whole frames
AAC, OPUS = ("-c:a", "aac"), ("-c:a", "libopus")
AAC_MS, OPUS_MS = 33, 8
PICTURE = ("-f", "lavfi", "-i", f"testsrc2=s=64x64:r=25:d={SECONDS}")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    ffmpeg("-ss", "0.4", "-t", str(SECONDS), "-i", VOICE, "-ac", "1", "-ar", "48000", path)
    return path


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("anna") / "anna.mp4", 1, 160)


def plain(speech: Path, path: Path, *codec: str) -> None:
    ffmpeg("-i", speech, *codec, path)


def gap(speech: Path, path: Path, *codec: str) -> None:
    """A paused recorder: the packets of a moment are missing, the others keep their times."""
    ffmpeg("-i", speech, *codec, "-bsf:a", f"noise=drop='between(pts*tb,{GAP[0]},{GAP[1]})'", path)


def late_sound(speech: Path, path: Path, *codec: str) -> None:
    ffmpeg(*PICTURE, "-itsoffset", str(LATE_S), "-i", speech, "-map", "0:v", "-map", "1:a", *codec, path)


def late_picture(speech: Path, path: Path, *codec: str) -> None:
    maps = ["-map", "1:v", "-map", "0:a", "-vsync", "passthrough"]  # or the picture's lead is filled with copies
    ffmpeg("-i", speech, "-itsoffset", str(LATE_S), *PICTURE, *maps, *codec, path)


def trimmed(speech: Path, path: Path, *codec: str) -> None:
    """Cut on a phone: an edit list skips the beginning, which stays in the file."""
    whole = path.with_name(f"whole-{path.name}")
    ffmpeg("-i", speech, *codec, whole)
    ffmpeg("-ss", str(LATE_S), "-i", whole, "-c", "copy", path)


CASES: dict[str, tuple[Callable[..., None], tuple[str, ...], float]] = {
    "plain.m4a": (plain, AAC, 0), "plain.mp3": (plain, (), 0), "plain.webm": (plain, OPUS, OPUS_MS),
    "gap.m4a": (gap, AAC, 0), "gap.webm": (gap, OPUS, OPUS_MS), "gap.mkv": (gap, AAC, AAC_MS),
    "late-sound.mp4": (late_sound, AAC, AAC_MS), "late-sound.mkv": (late_sound, OPUS, OPUS_MS),
    "late-sound.ts": (late_sound, AAC, AAC_MS), "late-picture.mp4": (late_picture, AAC, 0),
    "trimmed.m4a": (trimmed, AAC, 0),
}  # fmt: skip
"""How each file is made, and what its encoder or muxer adds ahead of the sound without telling, at most."""


def truth(speech: Path, name: str) -> np.ndarray[Any, Any]:
    """What is heard when: made from the recording itself, not from the file under test."""
    sound = samples(speech).copy()
    if name.startswith("gap"):
        sound[int(GAP[0] * 16000) : int(GAP[1] * 16000)] = 0
    if name.startswith("late-sound"):
        return np.concatenate([np.zeros(int(LATE_S * 16000), np.float32), sound])
    return sound[int(LATE_S * 16000) :] if name.startswith("trimmed") else sound


@pytest.mark.parametrize("name", CASES)
def test_the_sound_lies_where_the_recording_has_it(
    name: str, speech: Path, anna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.ENGINES, "mesh", "tests.render.tint:Tint")
    voice = tmp_path / name
    make, codec, added_ms = CASES[name]
    make(speech, voice, *codec)
    asked = request(tmp_path, voice, anna, Render(quality="draft"))
    result = pipeline.render(asked, lambda event: None)
    lips = np.asarray(load_voice(voice, "", Limits(), Cache(asked.cache, 1 << 30), asked.scratch).samples)
    heard, dropped, true = samples(asked.output), samples(voice), truth(speech, name)
    assert result.frames == pytest.approx(len(true) / 16000 * 25, abs=2.5)
    for piece in [slice(0, 16000), slice(32000, None)] if name.startswith("gap") else [slice(None)]:
        assert abs(lag_ms(heard[piece], dropped[piece])) <= 5
        assert abs(lag_ms(lips[piece], dropped[piece])) <= 5
        assert abs(lag_ms(dropped[piece], true[piece])) <= 5 + added_ms


def test_the_track_that_speaks_is_delivered(
    speech: Path, anna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A screen recorder's first track is that of a source that was off."""
    monkeypatch.setitem(registry.ENGINES, "mesh", "tests.render.tint:Tint")
    voice, told = tmp_path / "tracks.mkv", list[Message]()
    silence = ["-f", "lavfi", "-i", f"anullsrc=r=48000:cl=stereo:d={SECONDS}"]
    ffmpeg(*PICTURE, *silence, "-i", speech, "-map", "0", "-map", "1", "-map", "2", *AAC, voice)
    asked = request(tmp_path, voice, anna, Render(quality="draft"))
    pipeline.render(asked, told.append)
    assert abs(lag_ms(samples(asked.output), samples(speech))) <= 5 + AAC_MS
    (fields,) = [e.fields for e in told if isinstance(e, Notice) and e.code == "voice_track"]
    assert catalog.text("voice_track", fields).endswith("Track 2 of 2 was used instead.")


@pytest.fixture
def concert(anna: Path, tmp_path: Path) -> Path:
    """A film with music of its own."""
    path, music = tmp_path / "concert.mp4", ["-f", "lavfi", "-i", f"sine=330:d={SECONDS}"]
    ffmpeg("-i", anna, *music, "-c:v", "copy", *AAC, path)
    return path


def test_a_voice_over_the_videos_own_sound_is_in_time(
    speech: Path, concert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lips are checked against the voice alone, and the voice against what is delivered."""
    monkeypatch.setitem(registry.ENGINES, "mesh", "tests.render.tint:Tint")
    asked = request(tmp_path, speech, concert, Render(quality="draft", original_sound="keep"))
    pipeline.render(asked, lambda event: None)
    assert abs(lag_ms(samples(asked.output), samples(speech))) <= 5
    mixed = delivery.mixed
    late = (("adelay", (20,), {"all": 1}),)
    monkeypatch.setattr(delivery, "mixed", lambda *given: dataclasses.replace(mixed(*given), filters=late))
    with pytest.raises(EngineError) as caught:
        pipeline.render(asked, lambda event: None)
    assert (caught.value.code, caught.value.fields["reason"]) == ("output_invalid", "sound_lag")
    assert "20" in caught.value.detail


@pytest.mark.parametrize(
    ("late_s", "code", "said"),
    [
        (0.2, "lips_voice_late", "for the lips is 200 ms behind the one that is heard, so the lips are late."),
        (-0.2, "lips_voice_early", "for the lips is 200 ms ahead of the one that is heard, so the lips are early."),
        (0.03, "", ""),
    ],
)
def test_recordings_that_begin_at_different_times_are_told(
    speech: Path, anna: Path, tmp_path: Path, late_s: float, code: str, said: str
) -> None:
    lips = tmp_path / "lips.wav"
    moved = f"adelay={1000 * late_s:.0f}:all=1" if late_s > 0 else f"atrim=start={-late_s},asetpts=PTS-STARTPTS"
    ffmpeg("-i", speech, "-af", f"{moved},apad,atrim=end={SECONDS}", lips)
    cache = Cache(tmp_path / "cache", 1 << 30)
    voice, other = (load_voice(path, path.name, Limits(), cache, tmp_path / path.stem) for path in (speech, lips))
    found = pipeline._differing_times(voice, other, decode.describe_video(anna, Limits()))
    assert [finding.code for finding in found] == ([code] if code else [])
    assert all(said in catalog.text(finding.code, finding.fields) for finding in found)


@pytest.mark.parametrize(("make", "silent_s", "skipped_s"), [(late_sound, LATE_S, 0), (late_picture, 0, LATE_S)])
def test_a_file_is_measured_against_its_pictures_clock(
    make: Callable[..., None], silent_s: float, skipped_s: float, speech: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    shown = tmp_path / "shown.mp4"
    make(speech, shown, *AAC)
    given: list[np.ndarray[Any, Any]] = []
    monkeypatch.setattr(av_offset, "measure_video", lambda picture, hear, *_, **__: (None, given.append(hear())))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    asked = SyncRequest(
        video=shown, voice=shown, scratch=scratch, models=tmp_path, settings=Render(), limits=Limits()
    )  # fmt: skip
    measure_sync.check_sync(asked, lambda event: None)
    silence = np.zeros(int(silent_s * 16000), np.float32)
    expected = np.concatenate([silence, samples(speech)[int(skipped_s * 16000) :]])
    assert abs(lag_ms(given[0], expected)) <= 5
