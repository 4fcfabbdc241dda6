# ruff: noqa: E501  a table
"""Malicious and broken inputs. Each attack puts files into a job folder that has a voice and needs a video."""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from tests.media_factory import audio, ffmpeg

Attack = Callable[[Path, SimpleNamespace], object]
"""Called with the job's folder and the media. `media.secret` must not be read, and nobody may connect to `media.port`."""

X264 = ["-c:v", "libx264", "-preset", "ultrafast"]


def text(content: str, name: str = "anna.mp4") -> Attack:
    def attack(folder: Path, media: SimpleNamespace) -> None:
        filled = content.replace("{secret}", str(media.secret)).replace("{port}", str(media.port))
        (folder / name).write_text(filled)

    return attack


def generated(*arguments: str, name: str = "anna.mp4") -> Attack:
    return lambda folder, media: ffmpeg(*arguments, folder / name)


def data(content: bytes, name: str = "anna.mp4") -> Attack:
    return lambda folder, media: (folder / name).write_bytes(content)


def device(folder: Path, media: SimpleNamespace) -> None:
    os.mknod(folder / "anna.mp4", 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def unix_socket(folder: Path, media: SimpleNamespace) -> None:
    where = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:  # by its descriptor, because socket paths are limited in length
        server.bind(f"/proc/self/fd/{where}/anna.mp4")
    os.close(where)


def external_reference(folder: Path, media: SimpleNamespace) -> None:
    """A QuickTime file whose data reference names another file."""
    plain = media.face.read_bytes()
    at = plain.index(b"dref")
    url = struct.pack(">I4sI", 12, b"url ", 1)
    other = f"file://{media.secret}".encode() + b"\0"
    forged = struct.pack(">I4sI", 12 + len(other), b"url ", 0) + other
    grown = bytearray(plain.replace(url, forged, 1))
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = at - 4 if box == b"dref" else plain.rindex(box, 0, at) - 4
        size = struct.unpack_from(">I", grown, place)[0]
        struct.pack_into(">I", grown, place, size + len(other))
    (folder / "anna.mov").write_bytes(grown)


def stream_flood(folder: Path, media: SimpleNamespace) -> None:
    ffmpeg("-i", media.face, "-i", media.voice, "-map", "0:v", *["-map", "1:a"] * 60, "-c", "copy", folder / "anna.mkv")


def attachment_flood(folder: Path, media: SimpleNamespace) -> None:
    (folder / "font.tmp").write_bytes(os.urandom(9999))
    attach = ["-attach", str(folder / "font.tmp")] * 300
    kind = ["-metadata:s:t", "mimetype=application/x-truetype-font"]
    ffmpeg("-i", media.face, "-c", "copy", *attach, *kind, folder / "anna.mkv")
    (folder / "font.tmp").unlink()


def silence_bomb(folder: Path, media: SimpleNamespace) -> None:
    (folder / "anna.mp4").write_bytes(media.face.read_bytes())
    (folder / "voice.m4a").unlink()
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "90000", folder / "voice.flac")


def cover_art(folder: Path, media: SimpleNamespace) -> None:
    """A song whose only picture is its cover art. It counts as a second sound file, not as a video."""
    cover = folder / "cover.jpg"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", cover)
    maps = ["-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic"]
    ffmpeg("-i", audio(folder / "x.wav"), "-i", cover, *maps, folder / "song.mp3")
    (folder / "x.wav").unlink()


def nested(folder: Path, media: SimpleNamespace) -> None:
    deep = folder / "more" / "and" / "more"
    deep.mkdir(parents=True)
    (deep / "anna.mp4").write_bytes(media.face.read_bytes())


def many(folder: Path, media: SimpleNamespace) -> None:
    for number in range(200):
        (folder / f"{number:03d}.mp4").write_bytes(b"x")


def toml(content: str) -> Attack:
    def attack(folder: Path, media: SimpleNamespace) -> None:
        (folder / "anna.mp4").write_bytes(media.face.read_bytes())
        (folder / "job.toml").write_text(content)

    return attack


def second_voice(folder: Path, media: SimpleNamespace) -> None:
    (folder / "anna.mp4").write_bytes(media.face.read_bytes())
    audio(folder / "second.wav")


def link_to(target: str, name: str) -> Attack:
    def attack(folder: Path, media: SimpleNamespace) -> None:
        (folder / name).symlink_to(target.replace("{outside}", str(media.secret.parent)))

    return attack


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{where}\n#EXT-X-ENDLIST\n"
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
DASH = '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation id="1"><BaseURL>{where}</BaseURL></Representation></AdaptationSet></Period></MPD>'
HOST = "http://127.0.0.1:{port}/x"

REFUSED_FORMAT = {"media_unreadable", "format_unsupported"}
"""The second where ffmpeg knows what it is."""
REFUSED: dict[str, tuple[Attack, set[str]]] = {
    "hls file": (text(PLAYLIST.replace("{where}", "file://{secret}")), REFUSED_FORMAT),
    "hls host": (text(PLAYLIST.replace("{where}", HOST + ".ts")), REFUSED_FORMAT),
    "hls concat": (text(PLAYLIST.replace("{where}", "concat:" + HOST + "|file:///etc/passwd")), REFUSED_FORMAT),
    "hls as m3u8": (text(PLAYLIST.replace("{where}", "{secret}"), "anna.m3u8"), {"needs_usable_video"}),
    "ffconcat": (text("ffconcat version 1.0\nfile {secret}\n"), REFUSED_FORMAT),
    "ffconcat host": (text("ffconcat version 1.0\nfile " + HOST + "\n"), REFUSED_FORMAT),
    "sdp": (text(SDP), REFUSED_FORMAT),
    "dash": (text(DASH.replace("{where}", HOST)), REFUSED_FORMAT),
    "dash file": (text(DASH.replace("{where}", "{secret}")), REFUSED_FORMAT),
    "image list": (text("{secret}\n" * 50, "%03d.mp4"), REFUSED_FORMAT),
    "plain text": (text("hello " * 5000), REFUSED_FORMAT),
    "svg": (text('<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{secret}"/></svg>'), REFUSED_FORMAT),
    "html": (text("<script>fetch('" + HOST + "')</script>"), REFUSED_FORMAT),
    "avisynth": (text('AviSource("{secret}")\n'), REFUSED_FORMAT),
    "rtsp text": (text("[reference]\nref1=rtsp://127.0.0.1:{port}/x\n", "anna.asf"), {"needs_usable_video", *REFUSED_FORMAT}),
    "empty": (data(b""), {"file_incomplete"}),
    "one byte": (data(b"\0"), {"file_incomplete", "media_unreadable"}),
    "zeros": (data(bytes(300_000)), {"file_incomplete", "media_unreadable"}),
    "noise": (lambda folder, media: (folder / "anna.mp4").write_bytes(os.urandom(200_000)), {"media_unreadable"}),
    "picture as video": (generated("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", "-f", "image2", "-c:v", "png"),
                         {"format_unsupported"}),
    "zip bomb as video": (data(b"PK\3\4" + bytes(50_000)), {"media_unreadable", "file_incomplete"}),
    "pixel bomb": (generated("-f", "lavfi", "-i", "color=s=16000x9000:d=0.1", *X264), {"too_many_pixels"}),
    "thin picture": (generated("-f", "lavfi", "-i", "testsrc2=s=16384x2:d=0.2", "-c:v", "ffv1", "-f", "matroska"),
                     {"no_face", "engine_error", "picture_too_small", "no_face_found", "face_too_small"}),
    "duration bomb": (generated("-f", "lavfi", "-i", "color=s=16x16:r=1/20:d=18000", *X264), {"video_too_long"}),
    "rate bomb": (generated("-f", "lavfi", "-i", "color=s=16x16:r=1000:d=0.2", *X264), {"frame_rate_too_high"}),
    "silence bomb": (silence_bomb, {"audio_too_long"}),
    "stream flood": (stream_flood, {"too_many_streams"}),
    "pipe": (lambda folder, media: os.mkfifo(folder / "anna.mp4"), {"needs_usable_video"}),
    "socket": (unix_socket, {"needs_usable_video"}),
    "device": (device, {"needs_usable_video"}),
    "folder as video": (lambda folder, media: (folder / "anna.mp4").mkdir(), {"needs_video"}),
    "link to a file": (link_to("{outside}/secret.mp4", "anna.mp4"), {"needs_usable_video"}),
    "link to a folder": (link_to("{outside}", "more"), {"needs_usable_video"}),
    "link as our folder": (link_to("{outside}", ".heygemd"), {"shortcut"}),
    "link as originals": (link_to("{outside}", "originals"), {"shortcut"}),
    "file as our folder": (data(b"x", ".heygemd"), {"name_taken"}),
    "file as originals": (data(b"x", "originals"), {"name_taken"}),
    "shortcut": (data(b"L\0\0\0", "anna.mp4.lnk"), {"needs_usable_video"}),
    "audio as mp4": (lambda folder, media: audio(folder / "anna.mp4"), {"too_many_audio"}),
    "cover art": (cover_art, {"too_many_audio"}),
    "two voices": (second_voice, {"too_many_audio"}),
    "only a voice": (lambda folder, media: None, {"needs_video"}),
    "200 files": (many, {"too_many_files"}),
    "nested": (nested, {"needs_usable_video"}),
    "toml path": (toml('engine = "/bin/sh"\n'), {"job_toml_invalid"}),
    "toml section": (toml('[paths]\nshare = "/etc"\n[command]\nargv = ["/bin/sh"]\n'), {"job_toml_invalid"}),
    "toml huge number": (toml(f"priority = {'9' * 5000}\n"), {"job_toml_invalid"}),
    "toml huge key": (toml(f"{'k' * 60000} = 1\n"), {"job_toml_invalid"}),
    "toml deep": (toml("priority = " + "[" * 30000), {"job_toml_invalid"}),
    "toml dotted": (toml(".".join("a" * 20000) + " = 1\n"), {"job_toml_invalid"}),
    "toml binary": (lambda folder, media: (toml("")(folder, media), (folder / "job.toml").write_bytes(os.urandom(9999))),
                    {"job_toml_invalid"}),
    "deep manifest": (lambda folder, media: _manifest(folder, "[" * 200_000), {"needs_video"}),
    "wrong manifest": (lambda folder, media: _manifest(folder, json.dumps({"made": [None], "voice": 3})), {"needs_video"}),
}  # fmt: skip
"""By name: the attack, and the codes of which one must be the reason."""


def _manifest(folder: Path, content: str) -> None:
    (folder / ".heygemd").mkdir()
    (folder / ".heygemd" / "manifest.json").write_text(content)


def subtitles_and_tags(folder: Path, media: SimpleNamespace) -> None:
    """Scripts and escape sequences in everything that is not picture or sound."""
    script = "<script>alert(1)</script>\x1b]0;owned\x07"
    (folder / "x.srt").write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{script}\n")
    tags = ["-metadata", f"title={script}", "-metadata", f"comment={'A' * 100_000}"]
    inputs = ["-i", media.face, "-i", folder / "x.srt"]
    ffmpeg(*inputs, "-map", "0:v", "-map", "1", "-c:v", "copy", "-c:s", "srt", *tags, folder / "anna.mkv")


def hard_link(folder: Path, media: SimpleNamespace) -> None:
    os.link(media.face_beside, folder / "anna.mp4")


def folder_named_as_the_result(folder: Path, media: SimpleNamespace) -> None:
    (folder / "anna.mov").write_bytes(media.face.read_bytes())
    (folder / "anna.mp4").mkdir()
    (folder / "anna.mp4" / "notes.txt").write_text("mine")


def our_names(folder: Path, media: SimpleNamespace) -> None:
    (folder / "anna.mp4").write_bytes(media.face.read_bytes())
    (folder / "report.html").write_text("<h1>our sales report</h1>")


SERVED: dict[str, Attack] = {
    "subtitles and tags": subtitles_and_tags,
    "external reference": external_reference,
    "hard link": hard_link,
    "attachment flood": attachment_flood,
    "folder named as the result": folder_named_as_the_result,
    "our names": our_names,
}
"""Unusual but valid videos, which are rendered."""
