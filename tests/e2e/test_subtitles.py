"""Subtitles beside the voice, as staff drop them."""

import json
import subprocess

import numpy as np

from .test_render_one import render

HOSTILE = (
    "[Script Info]\nPlayResX: 1\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: D,Wingdings,99999\n\n"
    "[Fonts]\nfontname: a.ttf\nM!!\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:00.00,0:00:00.50,D,,0,0,0,,{\\p1\\fscx1e9}m 0 0 l 1e9 1e9{\\p0}plain\n"
)


def streams(path):
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", path], capture_output=True, check=True
    )
    return json.loads(shown.stdout)["streams"]


def tracks(path):
    """(language, text) of each subtitle track."""
    found = []
    for number, stream in enumerate(s for s in streams(path) if s["codec_type"] == "subtitle"):
        text = ["ffmpeg", "-v", "error", "-i", path, "-map", f"0:s:{number}", "-f", "srt", "-"]
        srt = subprocess.run(text, capture_output=True, check=True).stdout.decode()
        found.append((stream["tags"]["language"], srt.split("\n", 2)[2].strip()))
    return found


def test_each_file_is_a_track_of_every_result_and_a_changed_one_is_made_anew(site, media):
    folder = site.drop("news", voice__m4a=media.voice, anna__mp4=media.face)
    (folder / "text.zh.srt").write_bytes("1\r\n00:00:00,000 --> 00:00:05,000\r\n大家好\r\n".encode("gbk"))
    (folder / "text.en.vtt").write_text("WEBVTT\n\nSTYLE\n::cue { color: red }\n\n00:00.100 --> 00:00.900\nHello\n")
    (folder / "z.ass").write_text(HOSTILE, "utf-16")
    (folder / "empty.srt").write_bytes(b"")
    (folder / "japanese.srt").write_bytes("00:00:00,000 --> 00:00:01,000\nこんにちは、みなさん\n".encode("shift-jis"))
    site.start()
    done = site.finished("news")
    assert tracks(done / "anna.mp4") == [("eng", "Hello"), ("zho", "大家好"), ("und", "plain")]
    assert {p.name for p in (done / "originals").iterdir()} >= {"text.zh.srt", "empty.srt", "z.ass"}
    report = (done / "report.html").read_text()
    assert "text.zh.srt (中文)" in report
    assert "empty.srt contains no subtitles" in report and "无法识别 japanese.srt 的文字编码" in report
    assert "go on until 5 s, but the sound ends at 1 s" in report

    first = (done / "anna.mp4").stat().st_ino
    for name in ("empty.srt", "japanese.srt", "text.en.vtt"):
        (done / "originals" / name).unlink()
    (done / "text.zh.srt").write_text("1\n00:00:00,000 --> 00:00:00,500\n新的字幕\n")
    done.rename(site.share / "inbox" / "news")
    done = site.finished("news")
    assert tracks(done / "anna.mp4") == [("zho", "新的字幕"), ("und", "plain")]
    assert (done / "anna.mp4").stat().st_ino != first
    done.rename(site.share / "inbox" / "news")
    assert "left unchanged" in (site.finished("news") / "report.html").read_text()


def test_the_first_is_written_into_the_picture_and_the_others_are_tracks(site, media, tmp_path):
    first, second, out = tmp_path / "a.zh.srt", tmp_path / "b.en.srt", tmp_path / "out.mp4"
    first.write_text("00:00:00,000 --> 00:00:01,000\nBurnt in\n")
    second.write_text("00:00:00,000 --> 00:00:01,000\nHello\n")
    more = ("--set", "subtitles=burn", "--subtitles", str(first), "--subtitles", str(second))
    done = render(site, media.voice, media.face, out, *more)
    assert done.returncode == 0, done.stderr
    assert tracks(out) == [("eng", "Hello")]
    frames = []
    for path in (out, media.face):
        raw = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
            capture_output=True,
            check=True,
        )
        frames.append(np.frombuffer(raw.stdout, np.uint8).reshape(160, 160).astype(int))
    changed = np.abs(frames[0] - frames[1]) > 60
    assert changed[135:].sum() > 20 and changed[:40].sum() == 0
