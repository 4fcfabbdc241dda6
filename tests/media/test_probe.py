"""Every container and codec that staff may drop, and every disguise that must not get through."""

from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.config.schema import Limits
from heygemd.errors import HeygemdError, InputError
from heygemd.i18n import catalog
from heygemd.media.probe import probe

from .. import media_factory

VIDEOS = {
    "mp4": ["-c:v", "libx264", "-preset", "ultrafast"],
    "m4v": ["-c:v", "libx264", "-preset", "ultrafast"],
    "mov": ["-c:v", "mjpeg"],
    "mkv": ["-c:v", "libx264", "-preset", "ultrafast"],
    "webm": ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"],
    "avi": ["-c:v", "mpeg4"],
    "flv": ["-c:v", "flv", "-c:a", "libmp3lame"],
    "ts": ["-c:v", "mpeg2video"],
    "mpg": ["-c:v", "mpeg1video"],
    "wmv": ["-c:v", "wmv2", "-c:a", "wmav2"],
    "asf": ["-c:v", "msmpeg4", "-c:a", "wmav2"],
    "mxf": ["-c:v", "mpeg2video", "-ar", "48000"],
    "gif": ["-an"],
    "3gp": ["-c:v", "h263", "-s", "352x288", "-c:a", "aac"],
    "ogv": ["-c:v", "libtheora", "-c:a", "libvorbis"],
    "mts": ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "ac3"],
    "m2ts": ["-f", "mpegts", "-mpegts_m2ts_mode", "1", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "ac3"],
}
AUDIOS = {
    **dict.fromkeys(["wav", "mp3", "m4a", "aac", "flac", "ogg", "opus", "wma", "caf", "aiff", "ac3", "mka"], ()),
    "m4b": ["-f", "ipod"],
    "weba": ["-f", "webm"],
    "amr": (),
}


@pytest.mark.parametrize("ext", VIDEOS)
def test_a_video_is_known_by_content_whatever_its_name(tmp_path: Path, ext: str) -> None:
    made = media_factory.video(tmp_path / f"v.{ext}", options=VIDEOS[ext], sound=True)
    disguised = made.rename(tmp_path / "holiday.txt")
    info = probe(disguised, Limits())
    assert info.kind == "video"
    size = (352, 288) if ext == "3gp" else (320, 180)
    assert info.video is not None and (info.video.width, info.video.height) == size
    assert info.duration_s == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("ext", AUDIOS)
def test_a_sound_is_known_by_content_whatever_its_name(tmp_path: Path, ext: str) -> None:
    made = tmp_path / f"a.{ext}"
    if ext == "amr":  # Debian's ffmpeg cannot write it
        media_factory.amr(made)
    else:
        media_factory.audio(made, options=AUDIOS[ext])
    disguised = made.rename(tmp_path / "voice.mp4")
    info = probe(disguised, Limits())
    assert info.kind == "audio" and info.audio is not None
    assert info.duration_s == pytest.approx(1, abs=0.15)


@pytest.mark.fault("F21")
@pytest.mark.parametrize("ext", ["mp3", "m4a", "flac"])
def test_a_cover_picture_is_no_video(tmp_path: Path, ext: str) -> None:
    cover, sound = tmp_path / "cover.png", media_factory.audio(tmp_path / "a.wav")
    media_factory.ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", cover)
    song = tmp_path / f"song.{ext}"
    maps = ["-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic"]
    media_factory.ffmpeg("-i", sound, "-i", cover, *maps, song)
    assert probe(song, Limits()).kind == "audio"


def test_facts_of_the_picture(tmp_path: Path) -> None:
    plain = media_factory.video(tmp_path / "p.mp4", rate="30000/1001", filters="setsar=4/3")
    turned = tmp_path / "t.mp4"
    media_factory.ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v", "rotate=90", turned)
    stream = probe(turned, Limits()).video
    assert stream is not None
    assert stream.rotation in (90, 270)
    assert stream.sample_aspect == Fraction(4, 3)
    assert stream.avg_fps == Fraction(30000, 1001) and not stream.variable_rate
    deep = media_factory.video(
        tmp_path / "d.mkv", options=["-c:v", "ffv1", "-pix_fmt", "yuv420p10le", "-color_trc", "smpte2084"]
    )
    stream = probe(deep, Limits()).video
    assert stream is not None and stream.bit_depth == 10 and stream.hdr


def test_a_recording_without_a_duration_is_measured(tmp_path: Path) -> None:
    live = media_factory.video(tmp_path / "live.webm", seconds=2, size="64x64", options=[*VIDEOS["webm"], "-live", "1"])
    assert probe(live, Limits()).duration_s == pytest.approx(2, abs=0.1)


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{secret}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile secret.mp4\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


@pytest.mark.fault("F23")
@pytest.mark.parametrize("text", [PLAYLIST, CONCAT, SDP], ids=["hls", "concat", "sdp"])
def test_a_playlist_disguised_as_a_video_reads_nothing(tmp_path: Path, text: str) -> None:
    secret = media_factory.video(tmp_path / "secret.mp4")
    trap = tmp_path / "presenter.mp4"
    trap.write_text(text.format(secret=secret))
    with pytest.raises(InputError) as caught:
        probe(trap, Limits())
    assert caught.value.code in ("media_unreadable", "format_unsupported")


@pytest.mark.parametrize(
    ("limit", "code", "said"),
    [
        ({"max_pixels": 1000}, "too_many_pixels", "The resolution is too high."),
        ({"max_fps": 20}, "frame_rate_too_high", "too high (25 fps). Export the video at 20 fps or less."),
        ({"max_video_s": 0.5}, "video_too_long", "too long: 1 s, the limit is 0.5 s."),
    ],
)
def test_limits_of_a_video(tmp_path: Path, limit: dict[str, float], code: str, said: str) -> None:
    with pytest.raises(HeygemdError) as caught:
        probe(media_factory.video(tmp_path / "v.mp4"), Limits(**limit))
    assert caught.value.code == code
    assert said in catalog.text(code, caught.value.fields)


@pytest.mark.fault("F24")
def test_limits_of_a_sound_and_of_streams(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        probe(media_factory.audio(tmp_path / "a.wav", 2), Limits(max_audio_s=1))
    assert caught.value.code == "audio_too_long"
    assert "too long: 2 s, the limit is 1 s." in catalog.text("audio_too_long", caught.value.fields)
    many = tmp_path / "many.mkv"
    media_factory.ffmpeg("-i", tmp_path / "a.wav", *["-map", "0"] * 40, "-c", "copy", many)
    with pytest.raises(InputError) as caught:
        probe(many, Limits())
    assert caught.value.code == "too_many_streams"


@pytest.mark.fault("F24")
def test_a_huge_picture_in_a_small_file_is_refused(tmp_path: Path) -> None:
    bomb = media_factory.video(
        tmp_path / "b.mkv", 0.05, "9000x6000", options=["-c:v", "libx264", "-preset", "ultrafast"]
    )
    with pytest.raises(InputError) as caught:
        probe(bomb, Limits())
    assert caught.value.code == "too_many_pixels"


def unmarked_cover(path: Path) -> None:
    """A picture of one frame as the first track, as some programs write covers."""
    cover, film = path.with_name("cover.jpg"), media_factory.video(path.with_name("film.mp4"))
    media_factory.ffmpeg("-f", "lavfi", "-i", "color=red:s=640x640", "-frames:v", "1", cover)
    media_factory.ffmpeg("-i", cover, "-i", film, "-map", "0", "-map", "1", "-c", "copy", path)


def test_a_cover_beside_a_video_is_not_shown(tmp_path: Path) -> None:
    unmarked_cover(tmp_path / "v.mkv")
    stream = probe(tmp_path / "v.mkv", Limits()).video
    assert stream is not None and (stream.index, stream.width) == (1, 320)


@pytest.mark.parametrize(("name", "entry", "encrypted"), [("v.mp4", b"avc1", b"encv"), ("v.m4a", b"mp4a", b"drms")])
def test_a_protected_file_is_called_so(tmp_path: Path, name: str, entry: bytes, encrypted: bytes) -> None:
    key = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76" * 16, "-encryption_kid", "a7" * 16]
    if name == "v.mp4":
        path = media_factory.video(tmp_path / name, options=[*VIDEOS["mp4"], *key])
    else:
        path = media_factory.audio(tmp_path / name, options=key)
    data = path.read_bytes()
    at = data.index(entry, data.index(b"stsd"))
    path.write_bytes(data[:at] + encrypted + data[at + 4 :])  # ffmpeg encrypts, but writes the plain name
    with pytest.raises(InputError) as caught:
        probe(path, Limits())
    assert caught.value.code == "protected"


def test_a_video_is_of_use_without_its_sound(tmp_path: Path) -> None:
    """A codec of which ffmpeg knows nothing, such as those that phones write spatial sound in."""
    path = media_factory.video(tmp_path / "v.mkv", options=[*VIDEOS["mkv"], "-c:a", "aac"], sound=True)
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_ACA"))
    info = probe(path, Limits())
    assert info.kind == "video" and info.audio is None and info.tracks == ()


@pytest.mark.parametrize("sound", [False, True])
def test_a_video_of_which_nothing_can_be_decoded_is_no_sound(tmp_path: Path, sound: bool) -> None:
    dropped = [*VIDEOS["mp4"], "-g", "250", "-bsf:v", "noise=drop='lt(n,5)'", "-c:a", "aac"]
    path = media_factory.video(tmp_path / "v.ts", options=dropped, sound=sound)
    with pytest.raises(InputError) as caught:
        probe(path, Limits())
    assert caught.value.code == "no_picture"


def test_a_still_picture_is_no_video(tmp_path: Path) -> None:
    for name in ("a.gif", "a.png", "a.jpg", "a.webp"):
        media_factory.ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1", tmp_path / name)
    assert probe(tmp_path / "a.gif", Limits()).kind is None
    for name in ("a.png", "a.jpg", "a.webp"):
        with pytest.raises(InputError, match="format_unsupported"):
            probe(tmp_path / name, Limits())


@pytest.mark.parametrize(("name", "known_as"), [("v.nut", "nut"), ("v.ape.wv", "wv"), ("v.au", "au"), ("v.ivf", "ivf")])
def test_a_format_that_is_not_used_is_called_so(tmp_path: Path, name: str, known_as: str) -> None:
    if name.endswith((".wv", ".au")):
        path = media_factory.audio(tmp_path / name)
    else:
        path = media_factory.video(tmp_path / name, options=["-c:v", "libvpx", "-deadline", "realtime"])
    with pytest.raises(InputError) as caught:
        probe(path.rename(tmp_path / "renamed.mp4"), Limits())
    assert (caught.value.code, caught.value.fields) == ("format_unsupported", {"format": known_as})


@pytest.mark.parametrize(
    ("name", "codec", "unknown", "known_as"),
    [("raw.mov", b"apcn", b"brxq", "brxq"), ("raw.mkv", b"V_PRORES", b"V_BRXRAW", "matroska,webm")],
)
def test_a_codec_that_ffmpeg_does_not_know_is_no_damage(
    tmp_path: Path, name: str, codec: bytes, unknown: bytes, known_as: str
) -> None:
    """Such as Blackmagic RAW: the container is known, its codec is not."""
    path = media_factory.video(tmp_path / name, options=["-c:v", "prores_ks", "-profile:v", "standard"])
    path.write_bytes(path.read_bytes().replace(codec, unknown))
    with pytest.raises(InputError) as caught:
        probe(path, Limits())
    assert (caught.value.code, caught.value.fields) == ("format_unsupported", {"format": known_as})


@pytest.mark.parametrize("default", [0, 1])
def test_of_several_videos_the_default_one_is_shown(tmp_path: Path, default: int) -> None:
    small, large = (media_factory.video(tmp_path / f"{w}.mp4", size=f"{w}x64") for w in (64, 128))
    both = tmp_path / "both.mkv"
    chosen = ["-disposition:v:0", "0", "-disposition:v:1", "0", f"-disposition:v:{default}", "default"]
    media_factory.ffmpeg("-i", small, "-i", large, "-map", "0:v", "-map", "1:v", "-c", "copy", *chosen, both)
    stream = probe(both, Limits()).video
    assert stream is not None and (stream.index, stream.width) == (default, (64, 128)[default])


def test_noise_is_no_media(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(InputError):
        probe(tmp_path / "x.mp4", Limits())
