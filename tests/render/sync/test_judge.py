"""What is judged while it is encoded are the finished file's frames, and a judge changes nothing in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heygemd.config.schema import Limits, Render
from heygemd.errors import LocalDiskError
from heygemd.protocol import SubtitleFile
from heygemd.render.audio.load import load_voice
from heygemd.render.cache import Cache
from heygemd.render.scene import F32
from heygemd.render.subtitles.track import load_tracks
from heygemd.render.sync.judge import Judge
from heygemd.render.video import decode
from heygemd.render.video.decode import Picture
from heygemd.render.video.encode_mux import EncodePlan, Encoder

from ... import media_factory

FRAMES, SECONDS = 40, Fraction(8, 5)
SRT = "1\n00:00:00,100 --> 00:00:01,000\nGood morning\n"

Track = Callable[[Picture], F32]


@pytest.fixture
def source(tmp_path: Path) -> Picture:
    return decode.describe_video(media_factory.video(tmp_path / "v.mp4", 2, size="320x180"), Limits())


def plan(source: Picture, folder: Path, voice: str = "voice.wav", seconds: float = 2, **more: Any) -> EncodePlan:
    """Forty frames and a voice, cut or padded to their length."""
    file = media_factory.audio(folder / voice, seconds)
    loaded = load_voice(file, voice, Limits(), Cache(folder / "cache", 0), folder / "loaded")
    return EncodePlan(source, loaded, Render(), FRAMES, SECONDS, **more)


def encode(plan: EncodePlan, output: Path, track: Track | None = None) -> F32 | None:
    """Encode; return what a judge who tracks like this has seen."""
    if track is None:
        _encode(Encoder(plan, output), plan)
        return None
    with closing(Judge(decode.describe_encoded(plan.picture, plan.frames, output), track)) as judge:
        _encode(Encoder(plan, output, packets=judge.packets), plan)
        return judge.result()


def _encode(encoder: Encoder, plan: EncodePlan) -> None:
    with closing(encoder):
        for frame in decode.frames(plan.picture, plan.frames):
            encoder.write(frame)
        encoder.finish()


def pixels(made: Picture) -> F32:
    """All small frames, in place of lips."""
    with closing(decode.small_frames(made, FRAMES)) as images:
        return np.stack(list(images)).astype(np.float32)


def give_up(made: Picture) -> F32:
    raise RuntimeError("too slow")


def one_frame(made: Picture) -> F32:
    with closing(decode.small_frames(made, FRAMES)) as images:
        return np.asarray(next(images), np.float32)


NTSC = {"matrix": "smpte170m", "primaries": "smpte170m", "transfer": "smpte170m"}


@pytest.mark.parametrize("tags", [{}, {**NTSC, "full_range": True}, NTSC])
@pytest.mark.parametrize("name", ["out.mp4", "it's a | [f=avi] test\\.mp4"])
def test_the_judge_sees_the_finished_files_frames(
    name: str, tags: dict[str, Any], source: Picture, tmp_path: Path
) -> None:
    source = replace(source, **tags)
    planned, out = plan(source, tmp_path), tmp_path / name
    seen = encode(planned, out, pixels)
    made = decode.describe_video(out, Limits())
    assert seen is not None and len(seen) == FRAMES
    np.testing.assert_array_equal(seen, pixels(made))
    described = decode.describe_encoded(source, FRAMES, out)
    stream = replace(made.stream, range=made.stream.range or "tv")
    assert replace(described, cut_short=made.cut_short, info=made.info) == replace(made, stream=stream)


@pytest.mark.parametrize("track", [pixels, one_frame, give_up])
@pytest.mark.parametrize(("voice", "seconds"), [("v.wav", 2), ("v.wav", 1.2), ("v.m4a", 2), ("v.m4a", 1.2)])
def test_the_file_is_the_same(track: Track, voice: str, seconds: float, source: Picture, tmp_path: Path) -> None:
    planned = plan(source, tmp_path, voice, seconds)
    encode(planned, tmp_path / "alone.mp4")
    encode(planned, tmp_path / "judged.mp4", track)
    assert (tmp_path / "judged.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_the_file_is_the_same_with_subtitles(source: Picture, tmp_path: Path) -> None:
    names = ("v.en.srt", "v.de.srt")
    files = [SubtitleFile(path=tmp_path / name, digest=name, name=name) for name in names]
    for file in files:
        file.path.write_text(SRT)
    tracks, _ = load_tracks(files, SECONDS)
    assert len(tracks) == 2
    planned = plan(source, tmp_path, subtitles=tracks)
    encode(planned, tmp_path / "alone.mp4")
    encode(planned, tmp_path / "judged.mp4", pixels)
    assert (tmp_path / "judged.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()


def test_a_judge_who_gives_up_leaves_it_to_the_finished_file(source: Picture, tmp_path: Path) -> None:
    assert encode(plan(source, tmp_path), tmp_path / "out.mp4", give_up) is None


@pytest.mark.parametrize("frames", [0, 5])
def test_an_encode_that_fails_ends_the_judge(frames: int, source: Picture, tmp_path: Path) -> None:
    planned, out = plan(source, tmp_path), tmp_path / "out.mp4"
    judge = Judge(decode.describe_encoded(source, FRAMES, out), pixels)
    with closing(judge), closing(Encoder(planned, out, packets=judge.packets)) as one:
        for frame in decode.frames(source, frames):
            one.write(frame)
    assert not list(tmp_path.glob("out*"))


def test_a_full_disk_is_told(source: Picture, tmp_path: Path) -> None:
    full = tmp_path / "out.mp4"
    full.with_name("out.mp4.part").symlink_to("/dev/full")
    with pytest.raises(LocalDiskError):
        encode(plan(source, tmp_path), full, pixels)
