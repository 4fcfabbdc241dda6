"""Subtitle files as people have them, and as attackers do: what is taken of them, and which lines are left out."""

from __future__ import annotations

import pytest

from heygemd.errors import InputError
from heygemd.render.subtitles.parse import MAX_CUES, Cue, parse

SRT = "1\n00:00:00,000 --> 00:00:01,500\n大家好\n\n2\n00:00:01,500 --> 00:00:03,000\nHello <i>there</i>\nsecond line\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_notepads_encodings(encoding: str, ends: str) -> None:
    parsed = parse(SRT.replace("\n", ends).encode(encoding))
    assert parsed.cues == [Cue(0, 1500, "大家好"), Cue(1500, 3000, "Hello <i>there</i>\nsecond line")]
    assert parsed.unreadable == parsed.reversed == []


@pytest.mark.parametrize(
    "data",
    [
        SRT.replace("大家好", "大家好，這是字幕測試").encode("big5"),
        SRT.replace("大家好", "みなさん、こんにちは").encode("shift-jis"),
        bytes(range(256)) * 40,
        SRT.encode("utf-16-le"),
    ],
)
def test_an_unknown_encoding_is_no_guess(data: bytes) -> None:
    with pytest.raises(InputError, match="subtitles_encoding"):
        parse(data)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"WEBVTT\n\nSTYLE\n::cue{}\n", b"no subtitles\n", b"1\n\n2\n"])
def test_a_file_without_subtitles_says_so(data: bytes) -> None:
    with pytest.raises(InputError, match="subtitles_empty"):
        parse(data)


def test_windows_western_code_page() -> None:
    data = SRT.replace("大家好", "Le café – naïf et français").encode("cp1252")
    assert parse(data).cues[0].text == "Le café – naïf et français"


def test_lines_that_are_wrong_are_known_by_their_numbers() -> None:
    wrong = SRT + "\n3\n00:00:09,000 --> 00:00:08,000\nback\n\n4\n00:00:10,000 -> 00:00:11,000\narrow\n"
    wrong += "\n5\n00:00:61,000 --> 00:01:02,000\nno clock\n\n6\n00:00:12,000 --> 00:00:13,000\n" + "x" * 1001
    parsed = parse(b"junk\n" + wrong.encode())
    assert [cue.text for cue in parsed.cues] == ["大家好", "Hello <i>there</i>\nsecond line"]
    assert parsed.reversed == [12]
    assert parsed.unreadable == [1, 16, 20, 24]


def test_web_vtt_without_its_styles() -> None:
    parsed = parse(
        "WEBVTT - a title\n\nSTYLE\n::cue { color: url(http://x) }\n\nREGION\nid:fred\n\nNOTE a --> b\nmore\n\n"
        "intro\n00:01.000 --> 00:02.000 line:0 position:20%\n<v Anna><b>Fish</b> &amp; &lt;i&gt;chips</v>\n\n"
        "00:00:02.000 --> 01:00:00.000\n<c.red><00:00:02.500>时间</c>\n".encode()
    )
    assert parsed.cues == [Cue(1000, 2000, "<b>Fish</b> & ＜i>chips"), Cue(2000, 3_600_000, "时间")]
    assert parsed.unreadable == []


def test_advanced_substation_without_drawings_fonts_and_overrides() -> None:
    head = "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nStyle: Evil,Wingdings,9999\n\n"
    head += "[Fonts]\nfontname: x.ttf\nM!!\n\n"
    head += "[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    line = "Dialogue: 0,0:00:0{},0:00:0{}.50,Evil,,0,0,0,,{}\n"
    parsed = parse(
        (
            head
            + line.format("1.00", "2", r"{\fs9999\fscx9e9\i1}Hi{\i0}, all\Nof you")
            + line.format("3.00", "4", r"{\p1}m 0 0 l 99 99{\p0}after{\clip(0,0,1,1)}")
            + line.format("5.00", "6", r"{\p4}m 0 0 l 1e9 1e9")
            + line.format("7.00", "8", r"c:\windows} {")
            + "Dialogue: 0,bad,0:00:09.00,Evil,,0,0,0,,text\nComment: 0,0:00:01.00,0:00:02.00,Evil,,0,0,0,,hidden\n"
        ).encode("utf-16")
    )  # fmt: skip
    assert [cue.text for cue in parsed.cues] == ["<i>Hi</i>, all\nof you", "after", "c:＼windows｝ ｛"]
    assert len(parsed.unreadable) == 1


def test_too_many_cues_are_refused_at_once() -> None:
    with pytest.raises(InputError, match=f"subtitles_too_many limit={MAX_CUES}"):
        parse(b"0:00 --> 0:01\na\n" * 3 + b"00:00:00,000 --> 00:00:01,000\na\n" * (MAX_CUES + 1))


def test_nothing_with_a_meaning_elsewhere_is_left() -> None:
    text = r"{\an8}{y:i}a\Nb <font face=x>c</font> <3 and < --> " + "\x00\x07\x1b\u2028\ufeffz\n<i>never closed"
    (cue,) = parse(f"1\n00:00:00,000 --> 00:00:01,000\n{text}".replace("\x00", "").encode()).cues
    assert cue.text == "｛y:i｝a\nb c ＜3 and ＜ → z\n<i>never closed</i>"
