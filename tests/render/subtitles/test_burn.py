"""Subtitles in the picture: wrapped lines, their place and size, and fonts that are missing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from heygemd.media import ass, ffmpeg
from heygemd.media.process import Writer
from heygemd.render.subtitles import burn
from heygemd.render.subtitles.burn import DEFAULT_FONT, MAX_LINES, font_for, wrapped
from heygemd.render.subtitles.language import of_file
from heygemd.render.subtitles.parse import Cue
from heygemd.render.subtitles.track import Track

NEWS = "大家好，欢迎收看今天的新闻，我们将为您介绍公司在过去一年中所取得的（重要）成果，以及未来的发展计划。"


def track(*texts: str, name: str = "text.zh.srt") -> Track:
    cues = tuple(Cue(1000 * number, 1000 * (number + 1), text) for number, text in enumerate(texts))
    return Track(name, of_file(name, texts), cues)


@pytest.mark.parametrize("room", range(4, 40))
def test_lines_break_where_they_may(room: int) -> None:
    for text in (NEWS, "Hello, (world): <i>100% of what</i> we said, “today”. 中文mixed与English混排。"):
        lines = wrapped(text, room)
        assert "".join("".join(lines).split()) == "".join(text.split())
        for line in lines[1:]:
            assert line.lstrip("<>ib/")[0] not in burn.NEVER_FIRST, lines
        for line in lines[:-1]:
            assert line[-1] not in burn.NEVER_LAST, lines
    assert all("ello" not in line or "Hello" in line for line in wrapped("Hello you there", room))


def test_long_texts_get_smaller_and_stay_on_the_picture() -> None:
    assert burn._fitted("短", 20, 80) == "短"
    text = burn._fitted(NEWS * 3, 20, 80)
    assert text.startswith("{\\fs") and text.count("\\N") < 2 * MAX_LINES
    assert burn._fitted("<b>a</b> <i>b</i>", 20, 80) == "{\\b1}a{\\b0} {\\i1}b{\\i0}"


@pytest.mark.parametrize("size", [(640, 360), (360, 640)])
def test_white_letters_at_the_bottom_within_the_margins(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    burn.write_ass(track("Subtitles of two lines: " * 3), DEFAULT_FONT, width, height, tmp_path / "x.ass")
    source = ass.drawn(ffmpeg.raw_video(width, height, Fraction(25)), tmp_path / "x.ass")
    made = tmp_path / "frame.yuv"
    output = ffmpeg.to_file(source, path=made, max_bytes=1 << 30, format="rawvideo", pix_fmt="yuv420p")
    with Writer(ffmpeg.command(output)) as writer:
        grey = np.full(width * height * 3 // 2, 128, np.uint8)
        writer.write(memoryview(grey))
        writer.finish()
    luma = np.fromfile(made, np.uint8)[: width * height].reshape(height, width)
    rows, columns = np.nonzero(np.abs(luma.astype(int) - 128) > 20)
    assert luma.max() > 225
    assert height * 0.6 < rows.min() and rows.max() < height * (0.97 if width > height else 0.92)
    assert columns.min() > width * 0.04 and columns.max() < width * 0.96
    assert abs((columns.min() + columns.max()) / 2 - width / 2) < width * 0.03


def test_each_language_has_its_variant_of_the_usual_font() -> None:
    names = {"a.zh-TW.srt": "TC", "a.ja.srt": "JP", "a.ko.srt": "KR", "a.zh.srt": "SC", "a.en.srt": "SC"}
    assert {name: font_for(track("x", name=name), DEFAULT_FONT)[-2:] for name in names} == names
    assert font_for(track("x", name="a.ja.srt"), "My Font") == "My Font"


def test_boxes_are_never_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single characters without a font go, and are told; without a font for the text it is not drawn at all.

    DejaVu comes with every ffmpeg of Debian and Ubuntu.
    """
    drawable, findings = burn.drawable(track("a\U00013000b"), DEFAULT_FONT, tmp_path)
    assert drawable is not None and drawable.cues[0].text == "ab"
    assert [(f.code, f.fields["characters"]) for f in findings] == [("subtitles_characters", "\U00013000")]

    (tmp_path / "fonts.conf").write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig><dir>/usr/share/fonts/truetype/dejavu</dir><cachedir>{tmp_path}/cache</cachedir></fontconfig>"
    )
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    drawable, findings = burn.drawable(track(NEWS), DEFAULT_FONT, tmp_path)
    assert drawable is None
    assert [(f.code, f.fields) for f in findings] == [("subtitles_not_burnt", {"name": "text.zh.srt"})]
