"""Frames are counted by gray levels drawn into them, so that order and completeness are exact."""

import itertools
import struct
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from heygemd.config.schema import Limits
from heygemd.errors import EngineError, InfrastructureError
from heygemd.i18n import catalog
from heygemd.render.scene import Timeline
from heygemd.render.video import compositing, frame_order, timeline
from heygemd.render.video import decode as video

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
    small = video.small_frames(picture)
    assert small.ended is None
    assert sum(1 for _ in small) == 50
    assert small.ended is not None
    assert small.ended.status == 0


def test_closing_small_frames_ends_their_thread_and_ffmpeg(tmp_path: Path) -> None:
    picture = describe(numbered(tmp_path / "v.mp4", 500, "25"))
    before = set(threading.enumerate())
    small = video.small_frames(picture)
    next(small)
    assert set(threading.enumerate()) - before
    small.close()
    assert set(threading.enumerate()) == before
    assert not psutil.Process().children()


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
    assert sum(1 for _ in video.small_frames(picture)) == 5


def hdr_greys(path: Path, transfer: str, signals: list[float]) -> list[float]:
    """A frame of each HDR grey, as a share of SDR white after tone mapping."""
    levels = "+".join(f"eq(N,{n})*{round(64 + 876 * signal)}" for n, signal in enumerate(signals))
    tags = ["-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", transfer, "-color_range", "tv"]
    grey = f"nullsrc=s=64x64:r=25,format=yuv420p10le,geq=lum='{levels}':cb=512:cr=512,format=yuv420p10le"
    lossless = ["-c:v", "ffv1", "-frames:v", str(len(signals))]
    media_factory.ffmpeg("-f", "lavfi", "-i", grey, *lossless, *tags, path)
    picture = describe(path)
    return [(float(video.planes(f, 64, 64)[0].mean()) - 16) / 219 for f in video.frames(picture)]


@pytest.mark.parametrize(("transfer", "white"), [("arib-std-b67", 0.75), ("smpte2084", 0.58)])
def test_reference_white_stays_white_and_highlights_are_rolled_off(tmp_path: Path, transfer: str, white: float) -> None:
    """ITU-R BT.2408: HLG's reference white is 75 %, PQ's 58 %. Nothing brighter clips: each step stays a step."""
    above = [white + step * (1 - white) / 4 for step in range(5)]
    shares = hdr_greys(tmp_path / "v.mkv", transfer, [0.0, 0.2, 0.4, *above])
    assert 0.85 <= shares[3] <= 1.0
    assert shares[0] == pytest.approx(0, abs=0.01)
    assert np.all(np.diff(shares[:-1]) > 0.004) and shares[-2] <= shares[-1] <= 1.0


TRANSPARENT = {
    "webm VP9": ("v.webm", ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-deadline", "realtime", "-cpu-used", "8"]),
    "webm VP8": ("v.webm", ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "2M"]),
    "ProRes 4444": ("v.mov", ["-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"]),
    "QuickTime animation": ("v.mov", ["-c:v", "qtrle", "-pix_fmt", "argb"]),
    "FFV1, full range": (
        "v.mkv",
        ["-vf", "scale=out_range=full,format=yuva420p", "-c:v", "ffv1", "-color_range", "pc"],
    ),
    "PNG": ("v.mov", ["-c:v", "png", "-pix_fmt", "rgba"]),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparent_parts_become_white_and_that_is_told(tmp_path: Path, kind: str) -> None:
    """Left a transparent green, in the middle half of a red, right an opaque blue."""
    name, codec = TRANSPARENT[kind]
    third = "if(lt(X,64),{},if(lt(X,128),{},{}))"
    shares = {"r": (0, 255, 0), "g": (255, 0, 0), "b": (0, 0, 255), "a": (0, 128, 255)}
    drawn = ":".join(f"{key}='{third.format(*values)}'" for key, values in shares.items())
    source = f"nullsrc=s=192x64:r=25:d=0.2,format=gbrap,geq={drawn}"
    media_factory.ffmpeg("-f", "lavfi", "-i", source, *codec, tmp_path / name)
    picture = describe(tmp_path / name)
    assert "transparent_on_white" in {f.code for f in video.findings(picture)}
    full = compositing.crop(next(video.frames(picture)), picture, (0, 0, 192, 64))
    small = next(video.small_frames(picture))
    for image in (full, small):
        seen = [image[8:56, x + 16 : x + 48].mean((0, 1)) for x in (0, 64, 128)]
        assert np.abs(np.array(seen) - [[255, 255, 255], [127, 127, 255], [255, 0, 0]]).max() < 12


def test_transparency_that_ffmpeg_cannot_decode_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video.ffmpeg, "has_decoder", lambda name: False)
    options = ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-deadline", "realtime"]
    media_factory.video(tmp_path / "v.webm", 0.2, filters="format=yuva420p", options=options)
    picture = describe(tmp_path / "v.webm")
    assert "transparency_not_read" in {f.code for f in video.findings(picture)}
    assert len(list(video.frames(picture))) == 5


@pytest.mark.parametrize("rate", ["1", "5", "7.5"])
def test_a_photograph_as_a_video_has_frames_enough_for_lips(tmp_path: Path, rate: str) -> None:
    made = media_factory.video(tmp_path / "v.mp4", 2, rate=rate, options=["-c:v", "libx264", "-preset", "ultrafast"])
    picture = describe(made)
    assert picture.fps == 25
    assert len(list(video.frames(picture))) == picture.expected_frames == 50


@pytest.mark.parametrize(("name", "codec"), [("v.mov", ["-c:v", "qtrle", "-pix_fmt", "argb"]), ("v.gif", [])])
def test_an_opaque_picture_is_not_called_transparent(tmp_path: Path, name: str, codec: list[str]) -> None:
    picture = describe(media_factory.video(tmp_path / name, 0.4, options=codec))
    assert picture.alpha
    assert "transparent_on_white" not in {f.code for f in video.findings(picture)}


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
    ("typical", "constant"), [("2987/100", "30000/1001"), ("1423/100", "25"), ("0", "25"), ("40", "40"), ("500", "240")]
)
def test_variable_rates(typical: str, constant: str) -> None:
    assert video.variable_rate(Fraction(typical), 240) == Fraction(constant)


def recorded(path: Path, seconds: int) -> Path:
    """A browser's recording at 30 fps: no duration, no rate, times in milliseconds that jitter."""
    jitter = "settb=1/1000,setpts='round(N*1000/30+random(1)*33)'"
    options = [*CODECS["webm"], "-vsync", "passthrough", "-enc_time_base", "1/1000", "-live", "1"]
    return media_factory.video(path, seconds, "64x64", "30", options, jitter)


def test_the_rate_of_a_recording_is_that_of_its_frames(tmp_path: Path) -> None:
    picture = describe(recorded(tmp_path / "r.webm", 3))
    assert picture.stream.real_fps == 1000
    assert picture.fps in (30, Fraction(30000, 1001))
    assert sum(1 for _ in video.frames(picture)) == pytest.approx(90, abs=2)


def two_sizes(folder: Path, ext: str, options: list[str], turned: bool) -> Path:
    """A call whose picture grows after 20 of 50 frames, which are numbered."""
    parts = [numbered(folder / f"{size}.ts", count, size=size, options=[*X264, "-g", "10"])
             for size, count in (("64x48", 20), ("128x96", 30))]  # fmt: skip
    (folder / "list").write_text("".join(f"file {part}\n" for part in parts))
    path = folder / f"call.{ext}"
    media_factory.ffmpeg("-f", "concat", "-safe", "0", "-i", folder / "list", "-c", "copy", *options, path)
    if not turned:
        return path
    media_factory.ffmpeg("-i", path, "-c", "copy", "-metadata:s:v", "rotate=90", folder / f"turned.{ext}")
    return folder / f"turned.{ext}"


@pytest.mark.parametrize(
    ("ext", "options", "turned"), [("ts", [], False), ("mkv", [], False), ("mp4", [], True), ("flv", [], False)]
)
def test_a_size_that_changes_midway_loses_nothing(tmp_path: Path, ext: str, options: list[str], turned: bool) -> None:
    picture = describe(two_sizes(tmp_path, ext, options, turned))
    assert (picture.width, picture.height) == ((96, 128) if turned else (128, 96))
    assert picture.expected_frames == 50
    decode = video.frames(picture)
    assert levels(decode) == [*range(20), *range(30)]
    assert decode.ended is not None and not decode.ended.lines


def test_a_sound_that_runs_on_promises_no_frames(tmp_path: Path) -> None:
    """Matroska tells one duration for both: that of the longer."""
    media_factory.audio(tmp_path / "a.wav", 9)
    media_factory.ffmpeg("-i", numbered(tmp_path / "v.mp4", 20), "-i", tmp_path / "a.wav", tmp_path / "both.mkv")
    assert describe(tmp_path / "both.mkv").expected_frames == 20


@pytest.mark.parametrize("matrix", list(itertools.product([1, -1], [1, -1], [False, True])))
def test_every_orientation_is_as_players_show_it(tmp_path: Path, matrix: tuple[int, int, bool]) -> None:
    first, second, sideways = matrix
    rows = (0, first, 0, second, 0, 0) if sideways else (first, 0, 0, 0, second, 0)
    path = media_factory.video(tmp_path / "v.mp4", 0.2, "320x180", options=X264)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44  # ISO 14496-12: the box's name and 40 bytes before the matrix
    assert data[at : at + 4] == b"\0\1\0\0"
    path.write_bytes(data[:at] + struct.pack(">6i", *(n << 16 for n in rows)) + data[at + 24 :])
    picture = describe(path)
    assert (picture.width, picture.height) == ((180, 320) if sideways else (320, 180))
    media_factory.ffmpeg("-i", path, "-pix_fmt", "yuv420p", "-f", "rawvideo", tmp_path / "raw")
    assert b"".join(f.tobytes() for f in video.frames(picture)) == (tmp_path / "raw").read_bytes()


def cut_from(path: Path, frames: int, *codec: str) -> Path:
    """40 numbered frames, of which the first `frames` are missing: a recording of a running broadcast."""
    dropped = ["-bsf:v", f"noise=drop='lt(n,{frames})'"]
    return numbered(path, 40, options=[*codec, "-bf", "0", *dropped])


@pytest.mark.parametrize(
    ("ext", "codec"),
    [
        ("ts", X264),
        ("ts", ["-c:v", "mpeg2video", "-q:v", "1"]),
        ("mpg", ["-c:v", "mpeg2video", "-q:v", "1"]),
        ("mkv", X264),
    ],
)
def test_a_recording_that_begins_between_two_keyframes(tmp_path: Path, ext: str, codec: list[str]) -> None:
    """What precedes the first keyframe, the 21st frame, cannot be decoded; the picture's clock goes on."""
    picture = describe(cut_from(tmp_path / f"v.{ext}", 8, *codec, "-g", "20"))
    assert levels(video.frames(picture)) == list(range(20, 40))
    assert ext == "mpg" or picture.expected_frames == 20  # it has too few times to tell
    near = pytest.approx(12 / 25, abs=0.04 if ext == "mpg" else 0.01)
    assert picture.stream.start_s == picture.stream.undecodable_s == near
    (told,) = [f.fields for f in video.findings(picture) if f.code == "video_begins_late"]
    assert catalog.text("video_begins_late", told).startswith("The first 0.5 s of the video cannot be shown")


def test_a_recording_that_begins_with_a_keyframe_says_nothing(tmp_path: Path) -> None:
    picture = describe(cut_from(tmp_path / "v.ts", 20, *X264, "-g", "20"))
    assert picture.stream.undecodable_s == 0 and picture.expected_frames == 20
    assert {f.code for f in video.findings(picture)} == {"below_720p"}


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


@pytest.mark.parametrize("chunk_frames", [4, 1000])
@pytest.mark.parametrize(
    ("source", "shared"),
    [
        ([0, 1, 2, 3], []),
        ([0, 1, 2, 2, 2], [2, 3, 4]),
        ([2, 2, 2], [0, 1, 2]),
        ([*range(7), *range(5, -1, -1), 0, 0], [12, 13, 14]),
    ],
)
def test_frames_that_are_shown_again_are_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: list[int], shared: list[int], chunk_frames: int
) -> None:
    picture = describe(numbered(tmp_path / "v.mp4", 10))
    monkeypatch.setattr(frame_order, "CHUNK_BYTES", chunk_frames * picture.frame_bytes)
    line = Timeline(picture.fps, np.array(source, np.int32))
    read_only, seen = [], []
    for number, frame in enumerate(frame_order.ordered_frames(picture, line, tmp_path)):
        seen += levels([frame])
        if frame.flags.writeable:
            frame[:] = 0  # whoever gets it may write to it
        else:
            read_only.append(number)
    assert seen == source
    in_memory = len(frame_order.split_runs(line.source)) > 1 and max(source) < chunk_frames
    assert read_only == (list(range(len(source))) if in_memory else shared)


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
