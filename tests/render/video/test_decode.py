"""Frames are counted by gray levels drawn into them, so that order and completeness are exact."""

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from heygemd.config.schema import Limits
from heygemd.errors import EngineError, InfrastructureError
from heygemd.media.probe import probe
from heygemd.render.scene import Timeline
from heygemd.render.video import decode as video
from heygemd.render.video import frame_order, timeline

from ... import media_factory

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0"]


def numbered(path: Path, frames: int, rate: str = "25", size: str = "64x64", options: list[str] = X264) -> Path:
    """Frame n has the gray level 16 + 4n (limited range)."""
    gray = f"nullsrc=s={size}:r={rate}:d=60,geq=lum='16+4*N':cb=128:cr=128,format=yuv420p"
    media_factory.ffmpeg("-f", "lavfi", "-i", gray, "-frames:v", str(frames), *options, path)
    return path


def levels(frames: object) -> list[int]:
    return [round((float(np.median(f[: f.size * 2 // 3])) - 16) / 4) for f in frames]  # type: ignore[attr-defined]


def describe(path: Path) -> video.Picture:
    return video.describe_video(path, Limits())


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "50", "60000/1001", "60"])
@pytest.mark.parametrize("ext", ["mp4", "mkv"])
def test_every_frame_comes_once(tmp_path: Path, rate: str, ext: str) -> None:
    picture = describe(numbered(tmp_path / f"v.{ext}", 50, rate))
    assert picture.fps == Fraction(rate)
    assert levels(video.frames(picture)) == list(range(50))
    small, _ = video.small_frames(picture)
    assert sum(1 for _ in small) == 50


CODECS = {
    "mov": ["-c:v", "prores_ks"],
    "avi": ["-c:v", "mpeg4", "-q:v", "1"],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-crf", "4", "-b:v", "8M"],
    "flv": ["-c:v", "flv", "-q:v", "1"],
    "ts": ["-c:v", "mpeg2video", "-q:v", "1", "-bf", "2"],
    "mpg": ["-c:v", "mpeg2video", "-q:v", "1", "-bf", "2"],
    "wmv": ["-c:v", "wmv2", "-q:v", "1"],
    "m4v": X264,
}


@pytest.mark.parametrize("ext", CODECS)
def test_every_container_gives_every_frame(tmp_path: Path, ext: str) -> None:
    picture = describe(numbered(tmp_path / f"v.{ext}", 50, "25", options=CODECS[ext]))
    assert picture.fps == 25
    seen = levels(video.frames(picture))
    assert len(seen) == 50 and max(abs(a - b) for a, b in enumerate(seen)) <= 1


def test_the_first_frames_only(tmp_path: Path) -> None:
    assert levels(video.frames(describe(numbered(tmp_path / "v.mp4", 30)), 7)) == list(range(7))


def test_chosen_frames(tmp_path: Path) -> None:
    picture = describe(numbered(tmp_path / "v.mp4", 50, "30000/1001"))
    wanted = [0, 3, 4, 17, 48, 49]
    got = list(video.chosen_frames(picture, wanted))
    assert [number for number, _ in got] == wanted == levels(frame for _, frame in got)
    assert list(video.chosen_frames(picture, [])) == []


def test_many_chosen_frames(tmp_path: Path) -> None:
    picture = describe(numbered(tmp_path / "v.mp4", 150))
    for wanted in ([*range(0, 128, 2)], [*range(140)]):
        assert [number for number, _ in video.chosen_frames(picture, wanted)] == wanted


def test_untouched_bits(tmp_path: Path) -> None:
    """An ordinary video's planes are what the decoder gave, in either range."""
    for pix_fmt in ("yuv420p", "yuvj420p"):
        path = media_factory.video(tmp_path / f"{pix_fmt}.mp4", 0.4, options=[*X264, "-pix_fmt", pix_fmt])
        media_factory.ffmpeg("-i", path, "-f", "rawvideo", tmp_path / "raw")
        ours = b"".join(f.tobytes() for f in video.frames(describe(path)))
        assert ours == (tmp_path / "raw").read_bytes()
        assert describe(path).full_range == (pix_fmt == "yuvj420p")


def test_rotation_is_applied(tmp_path: Path) -> None:
    plain = media_factory.video(tmp_path / "p.mp4", 0.2, "320x180")
    media_factory.ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v", "rotate=90", tmp_path / "t.mp4")
    picture = describe(tmp_path / "t.mp4")
    assert (picture.width, picture.height) == (180, 320)
    media_factory.ffmpeg("-i", tmp_path / "t.mp4", "-pix_fmt", "yuv420p", "-f", "rawvideo", tmp_path / "raw")
    assert b"".join(f.tobytes() for f in video.frames(picture)) == (tmp_path / "raw").read_bytes()


def test_odd_sizes_lose_a_pixel_and_keep_the_rest(tmp_path: Path) -> None:
    path = media_factory.video(tmp_path / "o.mkv", 0.2, "321x181", options=["-c:v", "ffv1", "-pix_fmt", "yuv444p"])
    picture = describe(path)
    assert (picture.width, picture.height) == (320, 180)
    media_factory.ffmpeg(
        "-i", path, "-vf", "crop=320:180:0:0", "-pix_fmt", "yuv420p", "-f", "rawvideo", tmp_path / "raw"
    )
    assert b"".join(f.tobytes() for f in video.frames(picture)) == (tmp_path / "raw").read_bytes()


def test_pixels_become_square(tmp_path: Path) -> None:
    wide = describe(media_factory.video(tmp_path / "w.mp4", 0.2, "720x576", filters="setsar=64/45"))
    assert (wide.width, wide.height) == (1024, 576)
    tall = describe(media_factory.video(tmp_path / "t.mp4", 0.2, "320x180", filters="setsar=1/2"))
    assert (tall.width, tall.height) == (320, 360)
    for picture in (wide, tall):
        assert [f.size for f in video.frames(picture)] == [picture.frame_bytes] * 5


def test_ten_bits_become_eight(tmp_path: Path) -> None:
    tags = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    options = ["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-preset", "ultrafast", *tags]
    picture = describe(media_factory.video(tmp_path / "v.mp4", 0.2, options=options))
    assert picture.stream.bit_depth == 10 and picture.matrix == "bt709"
    assert sum(1 for _ in video.frames(picture)) == 5


def test_high_dynamic_range_is_tone_mapped(tmp_path: Path) -> None:
    tags = ["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "smpte2084"]
    options = ["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-preset", "ultrafast", *tags]
    picture = describe(media_factory.video(tmp_path / "v.mp4", 0.2, options=options))
    assert (picture.matrix, picture.transfer) == ("bt709", "bt709")
    assert {f.code for f in video.findings(picture)} >= {"hdr_tone_mapped"}
    assert sum(1 for _ in video.frames(picture)) == 5
    assert sum(1 for _ in video.small_frames(picture)[0]) == 5


def test_rgb_becomes_bt709(tmp_path: Path) -> None:
    options = ["-c:v", "png", "-pix_fmt", "rgb24"]
    path = media_factory.video(tmp_path / "v.mov", 0.2, filters="geq=r=255:g=0:b=0,format=rgb24", options=options)
    picture = describe(path)
    y, u, v = video.planes(next(video.frames(picture)), picture.width, picture.height)
    assert picture.matrix == "bt709"
    assert (round(y.mean()), round(u.mean()), round(v.mean())) == (63, 102, 240)


def test_a_variable_rate_becomes_the_nearest_standard_one(tmp_path: Path) -> None:
    """Every ninth frame dropped from 30 fps: time goes on evenly, the gaps are filled with copies."""
    numbered(tmp_path / "c.mp4", 54, "30")
    drop = ["-vf", "select='mod(n,9)'", "-vsync", "vfr", *X264]
    media_factory.ffmpeg("-i", tmp_path / "c.mp4", *drop, tmp_path / "v.mp4")
    picture = describe(tmp_path / "v.mp4")
    assert picture.stream.variable_rate
    seen = levels(video.frames(picture))
    times = [n / 30 for n in seen]
    assert seen == sorted(seen)
    assert len(seen) == pytest.approx(53 / 30 * picture.fps, abs=1.5)
    assert all(abs(t - (i / float(picture.fps) + times[0])) < 0.07 for i, t in enumerate(times))


@pytest.mark.parametrize(
    ("avg", "real", "constant"),
    [
        ("2987/100", "30", "30000/1001"),
        ("30", "30", "30"),
        ("1423/100", "30", "25"),
        ("0", "0", "25"),
        ("40", "90", "40"),
    ],
)
def test_constant_rates(tmp_path: Path, avg: str, real: str, constant: str) -> None:
    import dataclasses

    stream = probe(media_factory.video(tmp_path / "v.mp4", 0.2), Limits()).video
    assert stream is not None
    changed = dataclasses.replace(stream, avg_fps=Fraction(avg), real_fps=Fraction(real))
    assert video.constant_rate(changed) == Fraction(constant)


def test_a_damaged_tail_gives_what_decodes(tmp_path: Path) -> None:
    options = [*X264, "-movflags", "+faststart"]
    path = media_factory.video(tmp_path / "v.mp4", 2, options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    decode = video.frames(describe(path))
    assert 25 <= sum(1 for _ in decode) < 45
    assert decode.ended is not None and decode.ended.lines > 0


# --- playing in a timeline's order ----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["pingpong", "loop", "hold", "trim"])
@pytest.mark.parametrize("chunk_frames", [4, 6, 1000])
def test_order_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, chunk_frames: int) -> None:
    picture = describe(numbered(tmp_path / "v.mp4", 23, "30000/1001"))
    monkeypatch.setattr(frame_order, "CHUNK_BYTES", chunk_frames * picture.frame_bytes)
    line, _ = timeline.build_timeline(23, picture.fps, 60 / picture.fps, policy, "cut")  # type: ignore[arg-type]
    assert levels(frame_order.ordered_frames(picture, line, tmp_path)) == line.source.tolist()


def test_backward_frames_are_the_forward_ones_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media_factory.video(tmp_path / "v.mp4", 1, options=[*X264, "-pix_fmt", "yuvj420p"])
    picture = describe(path)
    monkeypatch.setattr(frame_order, "CHUNK_BYTES", 7 * picture.frame_bytes)
    source = np.array([*range(25), *range(23, -1, -1), 1], np.int32)
    played = [f.tobytes() for f in frame_order.ordered_frames(picture, Timeline(picture.fps, source), tmp_path)]
    assert all(played[i] == played[source[i]] for i in range(len(source)))
    assert len(set(played)) == 25


def test_a_full_disk_is_said_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = describe(numbered(tmp_path / "v.mp4", 10))
    monkeypatch.setattr(frame_order, "CHUNK_BYTES", 1)
    source = np.array([*range(10), *range(8, -1, -1)], np.int32)
    with pytest.raises(InfrastructureError) as caught:
        next(frame_order.ordered_frames(picture, Timeline(picture.fps, source), tmp_path, spare_bytes=1 << 60))
    assert caught.value.code == "scratch_full"


def test_frames_that_no_longer_come_are_an_error(tmp_path: Path) -> None:
    picture = describe(numbered(tmp_path / "v.mp4", 10))
    with pytest.raises(EngineError):
        list(frame_order.ordered_frames(picture, Timeline(picture.fps, np.arange(20, dtype=np.int32)), tmp_path))


def test_an_abandoned_playback_leaves_no_process(tmp_path: Path) -> None:
    picture = describe(media_factory.video(tmp_path / "v.mp4", 10))
    playing = frame_order.ordered_frames(picture, Timeline(picture.fps, np.arange(250, dtype=np.int32)), tmp_path)
    assert len(list(itertools.islice(playing, 3))) == 3
    playing.close()  # type: ignore[attr-defined]
