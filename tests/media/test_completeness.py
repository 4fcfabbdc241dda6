"""Half-copied files of every kind, and complete files of every container."""

import os
from pathlib import Path

import pytest

from heygemd.errors import NotReady
from heygemd.media.completeness import Completeness, examine, is_cut_short

from .. import media_factory


def code_of(path: Path) -> str:
    with pytest.raises(NotReady) as caught:
        examine(path)
    return caught.value.code


def preallocate_half(source: Path, copy: Path) -> Path:
    data = source.read_bytes()
    copy.write_bytes(data[: len(data) // 2].ljust(len(data), b"\0"))
    return copy


def cut_half(source: Path, copy: Path) -> Path:
    data = source.read_bytes()
    copy.write_bytes(data[: len(data) // 2])
    return copy


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """A fast-start MP4 of more than 128 KiB."""
    options = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "5", "-movflags", "+faststart"]
    return media_factory.video(tmp_path / "complete.mp4", 2, "640x360", options=options)


@pytest.mark.parametrize("ext", ["mp4", "mov", "mkv", "webm", "avi", "flv", "ts", "mpg", "wmv"])
def test_whole_videos(tmp_path: Path, ext: str) -> None:
    assert not examine(media_factory.video(tmp_path / f"v.{ext}")).zero_tail


@pytest.mark.parametrize("ext", ["wav", "mp3", "m4a", "aac", "flac", "ogg", "opus", "wma"])
def test_whole_sounds(tmp_path: Path, ext: str) -> None:
    assert not examine(media_factory.audio(tmp_path / f"a.{ext}")).zero_tail


def test_a_fragmented_mp4_is_whole(tmp_path: Path) -> None:
    options = ["-movflags", "frag_keyframe+empty_moov", "-g", "5", "-c:v", "libx264", "-preset", "ultrafast"]
    assert examine(media_factory.video(tmp_path / "f.mp4", 2, options=options)).container == "mp4"


def test_a_cut_mp4(tmp_path: Path, movie: Path) -> None:
    assert code_of(cut_half(movie, tmp_path / "cut.mp4")) == "still_copying"


@pytest.mark.fault("F2")
def test_a_preallocated_fast_start_mp4_has_a_zero_tail(tmp_path: Path, movie: Path) -> None:
    assert examine(preallocate_half(movie, tmp_path / "half.mp4")).zero_tail


def test_an_mp4_whose_moov_has_not_come(tmp_path: Path) -> None:
    late = media_factory.video(tmp_path / "late.mp4", options=["-c:v", "libx264", "-movflags", "-faststart"])
    data = late.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: data.index(b"moov") - 4])
    assert code_of(tmp_path / "cut.mp4") == "moov_missing"
    late.write_bytes(data[: data.index(b"moov") - 4].ljust(len(data), b"\0"))
    assert code_of(late) == "moov_missing"


@pytest.mark.fault("F2")
def test_half_a_wav(tmp_path: Path) -> None:
    complete = media_factory.audio(tmp_path / "a.wav", 3)
    assert code_of(cut_half(complete, tmp_path / "cut.wav")) == "still_copying"
    assert examine(preallocate_half(complete, tmp_path / "half.wav")).zero_tail


def with_size(data: bytes, at: int, size: int) -> bytes:
    return data[:at] + size.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000, 1_000_000_000])
def test_a_streamed_wav_has_a_placeholder_for_its_size(tmp_path: Path, size: int) -> None:
    data = media_factory.audio(tmp_path / "a.wav").read_bytes()
    (tmp_path / "streamed.wav").write_bytes(with_size(with_size(data, data.index(b"data") + 4, size), 4, size))
    assert examine(tmp_path / "streamed.wav").end == "open"
    assert examine(tmp_path / "a.wav").end == "whole"


def test_a_wav_of_which_half_has_come_is_no_streamed_one(tmp_path: Path) -> None:
    data = media_factory.audio(tmp_path / "a.wav", 2, rate=48000).read_bytes()
    at = data.index(b"data") + 4
    for times in (2, 100, 3000):  # up to nearly two hours
        (tmp_path / "cut.wav").write_bytes(with_size(with_size(data, at, times * len(data)), 4, times * len(data)))
        assert code_of(tmp_path / "cut.wav") == "still_copying"
    (tmp_path / "wrong.wav").write_bytes(with_size(data, at, 2 * len(data)))
    assert examine(tmp_path / "wrong.wav").end == "whole", "the size of the whole file is right"


@pytest.mark.parametrize("more", [1000, 0x60000000])
def test_an_avi_may_promise_more_than_its_chunks_hold(tmp_path: Path, more: int) -> None:
    data = media_factory.video(tmp_path / "v.avi").read_bytes()
    size = int.from_bytes(data[4:8], "little") + more
    (tmp_path / "large.avi").write_bytes(with_size(data, 4, size))
    assert examine(tmp_path / "large.avi").end == "open"
    (tmp_path / "cut.avi").write_bytes(with_size(data, 4, size)[: len(data) // 2])
    assert code_of(tmp_path / "cut.avi") == "still_copying"


def test_a_streamed_avi_has_placeholders(tmp_path: Path) -> None:
    pipe = media_factory.video(tmp_path / "v.avi").read_bytes()
    pipe = with_size(with_size(pipe, 4, 0xFFFFFFFF), pipe.index(b"movi") - 4, 0xFFFFFFFF)
    (tmp_path / "pipe.avi").write_bytes(pipe)
    assert examine(tmp_path / "pipe.avi").end == "open"


@pytest.mark.parametrize("trailer", [b"!\x06\xf0\x84" * 999, b"\x7f\xff\xff\xffXYZW" + b"a" * 5000, b"\0" * 5000])
@pytest.mark.parametrize("flags", ["+faststart", "-faststart"])
def test_cameras_append_data_to_an_mp4(tmp_path: Path, trailer: bytes, flags: str) -> None:
    path = media_factory.video(tmp_path / "v.mp4", options=["-c:v", "libx264", "-movflags", flags])
    complete = path.read_bytes()
    path.write_bytes(complete + trailer)
    assert examine(path).container == "mp4"
    path.write_bytes(complete[:-99])
    assert code_of(path) == "still_copying"


def test_an_rf64_is_whole_or_not(tmp_path: Path) -> None:
    complete = media_factory.audio(tmp_path / "a.wav", 2, options=["-rf64", "always"])
    assert complete.read_bytes()[:4] == b"RF64"
    assert examine(complete).container == "wav"
    assert code_of(cut_half(complete, tmp_path / "cut.wav")) == "still_copying"


@pytest.mark.parametrize(("ext", "at", "placeholder"), [("aiff", 4, b"\0" * 4), ("caf", None, b"\xff" * 8)])
def test_a_cut_recording_of_a_mac_is_not_whole_but_a_streamed_one_may_be(
    tmp_path: Path, ext: str, at: int | None, placeholder: bytes
) -> None:
    complete = media_factory.audio(tmp_path / f"v.{ext}")
    data = complete.read_bytes()
    assert examine(complete) == Completeness(ext, len(data), False)
    for share in (0.1, 0.5, 0.99):
        (tmp_path / f"cut.{ext}").write_bytes(data[: int(len(data) * share)])
        assert code_of(tmp_path / f"cut.{ext}") == "still_copying"
    (tmp_path / f"head.{ext}").write_bytes(data[:30])
    assert code_of(tmp_path / f"head.{ext}") == "still_copying"
    at = data.index(b"data") + 4 if at is None else at
    complete.write_bytes(data[:at] + placeholder + data[at + len(placeholder) :])
    assert examine(complete).end == "open"


@pytest.mark.parametrize("ext", ["mkv", "avi", "mxf"])
def test_a_cut_file_of_other_containers(tmp_path: Path, ext: str) -> None:
    assert code_of(cut_half(media_factory.video(tmp_path / f"v.{ext}"), tmp_path / f"cut.{ext}")) == "still_copying"


SOUNDS = ["flac", "ogg", "opus", "mp3", "wma", "w64"]


@pytest.mark.parametrize("ext", [*SOUNDS, "flv", "wmv", "gif", "ogv"])
def test_what_can_be_used_without_its_end_is_known_to_be_cut(tmp_path: Path, ext: str) -> None:
    make = media_factory.audio if ext in SOUNDS else media_factory.video
    complete = make(tmp_path / f"v.{ext}", 8)
    data = complete.read_bytes()
    assert examine(complete).end == "whole" and not is_cut_short(complete)
    for share in (0.1, 0.5, 0.9):
        (tmp_path / f"cut.{ext}").write_bytes(data[: int(len(data) * share)])
        assert examine(tmp_path / f"cut.{ext}").end == "cut", share
        assert is_cut_short(tmp_path / f"cut.{ext}")


@pytest.mark.parametrize("tag", [b"ID3\x04\0\0\0\1\2\0" + bytes(0x4100), b""])
def test_a_cover_before_a_sound_changes_nothing(tmp_path: Path, tag: bytes) -> None:
    blocks = [["-frame_size", "192", "-ar", "8000"], ["-frame_size", "5000", "-ar", "44056"]]
    for options in (*blocks, ["-ac", "1", "-ar", "24000"], ["-b:a", "320k", "-ar", "48000"]):
        path = media_factory.audio(tmp_path / ("v.flac" if options in blocks else "v.mp3"), 12, options=options)
        complete = tag + path.read_bytes()
        for data, end in ((complete, "whole"), (complete + b"TAG" + bytes(125), "whole"), (complete[:-9999], "cut")):
            path.write_bytes(data)
            assert examine(path).end == end, options


def test_flac_with_noise_or_with_silence_at_its_end_is_whole(tmp_path: Path) -> None:
    """Noise holds what looks like a frame; a last frame of silence is a few bytes."""
    for number, source in enumerate(
        ("anoisesrc=r=44100:d=3:seed=1", "anoisesrc=r=44100:d=3:seed=2", "anullsrc=d=3.01")
    ):
        path = tmp_path / f"{number}.flac"
        media_factory.ffmpeg("-f", "lavfi", "-i", source, "-t", "3.01", "-sample_fmt", "s16", "-ac", "1", path)
        assert examine(path).end == "whole", source


def test_a_stream_without_a_last_page_has_an_open_end(tmp_path: Path) -> None:
    path = media_factory.audio(tmp_path / "v.ogg")
    data = bytearray(path.read_bytes())
    data[data.rindex(b"OggS") + 5] &= ~4
    path.write_bytes(data)
    assert examine(path).end == "open" and not is_cut_short(path)


@pytest.mark.fault("F18")
def test_what_is_no_file(tmp_path: Path, movie: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to(movie)
    (tmp_path / "dir.mp4").mkdir()
    for name in ("pipe.mp4", "link.mp4", "dir.mp4"):
        assert code_of(tmp_path / name) == "not_a_file"
    (tmp_path / "empty.mp4").touch()
    assert code_of(tmp_path / "empty.mp4") == "empty"


def test_only_headers_and_tail_are_read(tmp_path: Path) -> None:
    """A sparse file of 40 GiB is classified at once: a whole read would end in the test's timeout."""
    head = media_factory.audio(tmp_path / "a.wav").read_bytes()
    at, size = head.index(b"data") + 4, 3 << 30
    with open(tmp_path / "big.wav", "wb") as file:
        file.write(head[:at] + size.to_bytes(4, "little"))
        file.truncate(40 << 30)
    assert examine(tmp_path / "big.wav").zero_tail


def test_an_mxf_is_whole_once_its_footer_has_come(tmp_path: Path) -> None:
    complete = media_factory.video(tmp_path / "v.mxf")
    data = complete.read_bytes()
    assert examine(complete) == Completeness("mxf", len(data), False)
    footer = int.from_bytes(data[44:52], "big")
    complete.write_bytes(data[:footer])
    assert code_of(complete) == "still_copying"
    complete.write_bytes(data[:44] + bytes(8) + data[52:])
    assert examine(complete).end == "open", "a recorder that never went back to the beginning"
