"""Tracks: their language by the file's name, cues one after the other, and what people are told."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.protocol import SubtitleFile
from heygemd.render.subtitles import language
from heygemd.render.subtitles.track import MAX_AT_ONCE, load_tracks, write_srt


def load(folder: Path, *texts: str, sound_s: int = 10):
    paths = [folder / f"{number}.srt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return load_tracks([SubtitleFile(path=p, digest="", name=p.name) for p in paths], Fraction(sound_s))


def srt(*cues: tuple[float, float, str]) -> str:
    return "\n".join(f"00:00:{a:06.3f} --> 00:00:{b:06.3f}\n{text}\n" for a, b, text in cues)


@pytest.mark.parametrize(
    ("name", "texts", "code", "title"),
    [
        ("text.zh.srt", [], "zho", "中文"),
        ("text.zh-CN.srt", [], "zho", "中文 (简体)"),
        ("演讲.繁體.ass", [], "zho", "中文 (繁體)"),
        ("text.chs.srt", [], "zho", "中文 (简体)"),
        ("Spring promo (English).vtt", [], "eng", "English"),
        ("text.zh (2).srt", [], "zho", "中文"),
        ("talk_en.srt", [], "eng", "English"),
        ("en.srt", [], "eng", "English"),
        ("x.pt-BR.forced.srt", [], "por", "português"),
        ("x.ger.srt", [], "deu", "Deutsch"),
        ("x.法语.srt", [], "fra", "français"),
        ("字幕.srt", ["大家好"], "zho", "中文"),
        ("字幕.srt", ["こんにちは、世界"], "jpn", "日本語"),
        ("final.srt", ["안녕하세요"], "kor", "한국어"),
        ("final.srt", ["Hello, how are you"], "und", ""),
        ("final v2.srt", ["Bonjour"], "und", ""),
    ],
)
def test_the_language_comes_from_the_name_or_the_script(name: str, texts: list[str], code: str, title: str) -> None:
    assert language.of_file(name, texts) == (code, title)


def test_cues_that_overlap_are_shown_together_one_after_the_other(tmp_path: Path) -> None:
    (track,), findings = load(tmp_path, srt((1, 4, "a"), (2, 3, "b"), (5, 6.05, "c"), (6, 7, "d"), (6, 7, "d")))
    assert [(c.start_ms, c.end_ms, c.text) for c in track.cues] == [
        (1000, 2000, "a"), (2000, 3000, "a\nb"), (3000, 4000, "a"), (5000, 6000, "c"), (6000, 7000, "d"),
    ]  # fmt: skip
    assert findings == []
    (track,), _ = load(tmp_path, srt(*((0, 9, f"line {n}") for n in range(2000))))
    assert [len(cue.text.split("\n")) for cue in track.cues] == [MAX_AT_ONCE]
    write_srt(track, tmp_path / "clean.srt")
    assert (tmp_path / "clean.srt").read_text().startswith("1\n00:00:00,000 --> 00:00:09,000\nline ")


def test_what_is_wrong_is_told_with_the_files_name(tmp_path: Path) -> None:
    tracks, findings = load(
        tmp_path,
        "",
        srt((1, 2, "a"), (9, 30, "b"), (20, 40, "c")),
        "?\n" + srt((3, 2, "back"), (2, 3, "x")),
        srt((11, 12, "late")),
        srt((3, 2, "all"), (5, 4, "back")),
    )
    assert [(f.code, f.fields) for f in findings] == [
        ("subtitles_empty", {"name": "0.srt"}),
        ("subtitles_beyond", {"name": "1.srt", "end_s": 40.0, "voice_s": 10.0}),
        ("subtitles_lines", {"name": "2.srt", "lines": [1]}),
        ("subtitles_reversed", {"name": "2.srt", "lines": [2]}),
        ("subtitles_beyond", {"name": "3.srt", "end_s": 12.0, "voice_s": 10.0}),
        ("subtitles_all_reversed", {"name": "4.srt"}),
    ]
    assert [[(c.start_ms, c.end_ms) for c in track.cues] for track in tracks] == [
        [(1000, 2000), (9000, 10_000)],
        [(2000, 3000)],
    ]
