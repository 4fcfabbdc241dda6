"""What x264 is asked for, when NVENC is tried, and what becomes of a file in the end."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from heygemd.config.schema import Limits, Render
from heygemd.errors import InfrastructureError, LocalDiskError
from heygemd.render.audio.load import load_voice
from heygemd.render.cache import Cache
from heygemd.render.video import decode, encode_mux
from heygemd.render.video.decode import Picture
from heygemd.render.video.encode_mux import EncodePlan, Encoder, x264

from ... import media_factory

FRAMES, SECONDS = 40, Fraction(8, 5)
NTSC = {"matrix": "smpte170m", "primaries": "smpte170m", "transfer": "smpte170m"}


@pytest.fixture
def source(tmp_path: Path) -> Picture:
    return decode.describe_video(media_factory.video(tmp_path / "v.mp4", 2, size="320x180"), Limits())


def encode(source: Picture, folder: Path, output: Path) -> None:
    """Encode forty frames, and a voice cut to their length."""
    with closing(Encoder(plan(source, folder), output)) as encoder:
        for frame in decode.frames(source, FRAMES):
            encoder.write(frame)
        encoder.finish()


def plan(source: Picture, folder: Path) -> EncodePlan:
    voice = load_voice(
        media_factory.audio(folder / "v.wav", 2), "v", Limits(), Cache(folder / "cache", 0), folder / "l"
    )
    return EncodePlan(source, voice, Render(), FRAMES, SECONDS)


@pytest.mark.parametrize("settings", [{}, {"preset": "veryfast"}, {"quality": "high"}])
def test_no_lookahead_thread(settings: dict[str, str]) -> None:
    """With one, x264's result depends on timing; whether two encodes differ is chance, so the options are looked at."""
    assert "sync-lookahead=0" in str(x264(Render(**settings))["x264-params"]).split(":")


def test_superfast_gets_macroblock_tree() -> None:
    assert "mbtree=1" in str(x264(Render())["x264-params"]).split(":")


def test_a_quality_fixes_preset_and_crf() -> None:
    draft, high = (x264(Render(quality=quality, preset="veryfast", crf=20)) for quality in ("draft", "high"))
    assert (draft["preset"], draft["crf"]) == ("ultrafast", 26)
    assert (high["preset"], high["crf"]) == ("medium", 15)


@pytest.mark.parametrize("driver", [False, True])
def test_nvenc_is_tried_only_where_the_driver_is(driver: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial takes up to a second."""
    tried = []

    def refuse(argv: list[str]) -> None:
        tried.append("h264_nvenc" in argv)
        raise InfrastructureError("ffmpeg_missing")

    monkeypatch.setattr(encode_mux, "Writer", refuse)
    monkeypatch.setattr(encode_mux, "NVIDIA", tmp_path if driver else tmp_path / "none")
    assert not encode_mux.nvenc_works.__wrapped__() and tried == [True] * driver


@pytest.mark.parametrize("tags", [{}, {**NTSC, "full_range": True}, NTSC])
@pytest.mark.parametrize("name", ["out.mp4", "it's a | [f=avi] test\\.mp4"])
def test_a_file_is_what_is_said_of_it(name: str, tags: dict[str, Any], source: Picture, tmp_path: Path) -> None:
    source, out = replace(source, **tags), tmp_path / name
    encode(source, tmp_path, out)
    made, described = decode.describe_video(out, Limits()), decode.describe_encoded(source, FRAMES, out)
    with closing(decode.small_frames(made)) as images:
        assert len(list(images)) == FRAMES
    stream = replace(made.stream, range=made.stream.range or "tv")
    assert replace(described, cut_short=made.cut_short, info=made.info) == replace(made, stream=stream)


@pytest.mark.parametrize("frames", [0, 5])
def test_an_encode_that_is_given_up_leaves_nothing(frames: int, source: Picture, tmp_path: Path) -> None:
    with closing(Encoder(plan(source, tmp_path), tmp_path / "out.mp4")) as encoder:
        for frame in decode.frames(source, frames):
            encoder.write(frame)
    assert not list(tmp_path.glob("out*"))


def test_a_full_disk_is_told(source: Picture, tmp_path: Path) -> None:
    full = tmp_path / "out.mp4"
    full.with_name("out.mp4.part").symlink_to("/dev/full")
    with pytest.raises(LocalDiskError):
        encode(source, tmp_path, full)
