"""Reads SubRip, WebVTT and Advanced SubStation files into plain cues, without styles, positions, drawings and fonts.

Nothing of the file reaches another program: a clean one is written of the cues. Sizes are bounded everywhere.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from ...config import staff_text
from ...errors import InputError

MAX_CUES = 20_000
MAX_TEXT_CHARS = 1000
MAX_LINE_CHARS = 20_000
MAX_HOURS = 99

_CLOCK = r"\d{1,4}:\d{1,2}:\d{1,2}"
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[,.](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_ASS_TIME = re.compile(r"\s*(\d{1,4}):(\d{1,2}):(\d{1,2})[.,](\d{1,3})\s*")
_LIKE_TIMES = re.compile(rf"^\s*[-\d:.,]{{0,20}}\s*-->|^\s*{_CLOCK}\S{{0,9}}\s*\S{{1,3}}\s*{_CLOCK}")
_TAG = re.compile(r"<(/?)([A-Za-z\d][^<>]{0,200})?>")
_OVERRIDES = re.compile(r"\{([^{}]*)\}")
_SWITCH = re.compile(r"\\(i|b|p)(\d{1,4})(?![\w&])")
_MARKUP = re.compile("</?[ib]>")
UNSHOWN = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
REPLACED = str.maketrans({"{": "｛", "}": "｝", "\\": "＼", "<": "＜"})
"""Characters that have a meaning in the files that are written, and what stands for them there."""


@dataclass(frozen=True)
class Cue:
    """A subtitle and when it is shown; the text is plain but for <i> and <b>, which are balanced."""

    start_ms: int
    end_ms: int
    text: str


@dataclass
class Parsed:
    """The cues of a file by their start, and the numbers of the lines that were left out."""

    cues: list[Cue] = field(default_factory=list)
    unreadable: list[int] = field(default_factory=list)
    reversed: list[int] = field(default_factory=list)

    def add(self, line: int, start_ms: int, end_ms: int, text: str) -> None:
        """Take in a cue whose times are in a line."""
        if end_ms <= start_ms:
            self.reversed.append(line)
        elif len(text) > MAX_TEXT_CHARS:
            self.unreadable.append(line)
        elif text:
            self.cues.append(Cue(start_ms, end_ms, text))


def parse(data: bytes) -> Parsed:
    """Return the cues of a subtitle file in any of the three formats, known by its content.

    Raises InputError("subtitles_encoding" | "subtitles_too_many" | "subtitles_empty" | "subtitles_all_reversed"),
    without the file's name.
    """
    try:
        content = staff_text.decode_strictly(data)
    except UnicodeDecodeError:
        raise InputError("subtitles_encoding") from None
    lines = content.translate({2: None, 3: None}).split("\n")
    if any(line.strip() in ("[Script Info]", "[Events]") for line in lines[:50]):
        read = _read_ass
    else:
        read = _read_vtt if content.lstrip().startswith("WEBVTT") else _read_srt
    parsed = Parsed()
    for _ in read(lines, parsed):
        if len(parsed.cues) + len(parsed.unreadable) + len(parsed.reversed) > MAX_CUES:
            raise InputError("subtitles_too_many", limit=MAX_CUES)
    if not parsed.cues:
        if parsed.reversed:
            raise InputError("subtitles_all_reversed")
        raise InputError("subtitles_empty")
    parsed.cues.sort(key=lambda cue: (cue.start_ms, cue.end_ms))
    return parsed


def _read_srt(lines: list[str], parsed: Parsed) -> Iterator[None]:
    """Read SubRip. A cue's text goes on to the next times: editors leave blank lines in it."""
    starts = [number for number, line in enumerate(lines) if _LIKE_TIMES.search(line[:MAX_LINE_CHARS])]
    before = [line.strip() for line in lines[: starts[0] if starts else 0]]
    parsed.unreadable += [n for n, line in enumerate(before, 1) if line and not line.isdigit()][:MAX_CUES]
    for number, stop in pairwise([*starts, len(lines)]):
        body = lines[number + 1 : stop]
        while stop < len(lines) and body and not body[-1].strip():
            body.pop()
        if stop < len(lines) and body and body[-1].strip().isdigit():
            body.pop()  # the next cue's number
        _add_timed(parsed, number + 1, lines[number], body)
        yield


def _read_vtt(lines: list[str], parsed: Parsed) -> Iterator[None]:
    """Read WebVTT: blocks between blank lines. STYLE, REGION and NOTE are dropped."""
    number = 0
    while number < len(lines):
        block = number
        while number < len(lines) and lines[number].strip():
            number += 1
        timed = next((n for n in range(block, min(block + 2, number)) if "-->" in lines[n]), None)
        head = lines[block].split()[:1] if number > block else []
        if timed is not None and head not in (["STYLE"], ["REGION"], ["NOTE"]):
            body = [html.unescape(_without_tags(line)) for line in lines[timed + 1 : number]]
            _add_timed(parsed, timed + 1, lines[timed], body, tagged=False)
        elif head and head[0].lstrip("\ufeff") not in ("WEBVTT", "STYLE", "REGION", "NOTE"):
            parsed.unreadable.append(block + 1)
        number += 1
        yield


def _without_tags(line: str) -> str:
    """Return text without its tags; <i> and <b> become marks, which nothing else can look like."""
    return _TAG.sub(_marked, line[:MAX_LINE_CHARS])


def _marked(tag: re.Match[str]) -> str:
    name = (tag[2] or "").casefold().split()[:1]
    return f"\x02{tag[1]}{name[0]}\x03" if name in (["i"], ["b"]) else ""


def _add_timed(parsed: Parsed, line: int, times: str, body: list[str], *, tagged: bool = True) -> None:
    found = _TIMES.fullmatch(times[:MAX_LINE_CHARS])
    if found is None:
        parsed.unreadable.append(line)
        return
    text = "\n".join(body)[:MAX_LINE_CHARS]
    if tagged:
        text = _without_tags(_OVERRIDES.sub(_plain_braces, text)).replace("\\N", "\n")
    start_ms, end_ms = _ms(*found.groups()[:4]), _ms(*found.groups()[4:])
    if start_ms is None or end_ms is None:
        parsed.unreadable.append(line)
    else:
        parsed.add(line, start_ms, end_ms, _clean(text))


def _plain_braces(braces: re.Match[str]) -> str:
    """Drop an override such as {\\an8}, which many programs understand in SubRip too; keep other text in braces."""
    return "" if braces[1].lstrip().startswith("\\") else braces[0]


def _read_ass(lines: list[str], parsed: Parsed) -> Iterator[None]:
    """Read the dialogue of Advanced SubStation; embedded fonts, pictures, styles and drawings are dropped."""
    section, columns = "", ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"]
    for number, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        if line.startswith("["):
            section = line.strip().casefold()
        elif section == "[events]" and colon and key.strip() == "Format":
            columns = [name.strip().casefold() for name in value.split(",")][:50]
        elif section == "[events]" and colon and key.strip() == "Dialogue":
            _add_dialogue(parsed, number, dict(zip(columns, value.split(",", len(columns) - 1), strict=False)))
            yield


def _add_dialogue(parsed: Parsed, line: int, row: dict[str, str]) -> None:
    start, end = (_ASS_TIME.fullmatch(row.get(key, "")) for key in ("start", "end"))
    if start is None or end is None or "text" not in row:
        parsed.unreadable.append(line)
        return
    start_ms, end_ms = _ms(*start.groups()), _ms(*end.groups())
    if start_ms is None or end_ms is None:
        parsed.unreadable.append(line)
    else:
        parsed.add(line, start_ms, end_ms, _clean(_ass_text(row["text"][:MAX_LINE_CHARS])))


def _ass_text(text: str) -> str:
    """Return a dialogue's text with italics and bold marked; what is drawn ({\\p1}) is no text."""
    parts, drawing = [], False
    for number, part in enumerate(_OVERRIDES.split(text)):
        if number % 2 == 0:
            parts.append("" if drawing else part)
            continue
        for switch, value in _SWITCH.findall(part):
            on = value not in ("0", "400")
            if switch == "p":
                drawing = on
            else:
                parts.append(f"\x02{'' if on else '/'}{switch}\x03")
    joined = "".join(parts)
    return joined.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ")


def _ms(hours: str | None, minutes: str, seconds: str, fraction: str) -> int | None:
    """Return a time in milliseconds; None for one that no clock shows."""
    if int(hours or 0) > MAX_HOURS or int(minutes) > 59 or int(seconds) > 59:
        return None
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    return whole * 1000 + int(fraction.ljust(3, "0"))


def _clean(text: str) -> str:
    """Return printable text, without blank lines, with balanced <i> and <b> in place of their marks."""
    lines, tags = [], ""
    for line in text.replace("\t", " ").split("\n"):
        made = ""
        for number, part in enumerate(re.split("\x02(/?[ib])\x03", line)):
            if number % 2:
                tags = "".join(sorted({*tags.replace(part[-1], ""), *part[part[0] == "/" and 2 :]}))
            elif words := _printable(part):
                opened, closed = (f"<{tag}>" for tag in tags), (f"</{tag}>" for tag in reversed(tags))
                made += "".join((*opened, words, *closed))
        if _MARKUP.sub("", made).strip():
            lines.append(made.strip())
    return "\n".join(lines)


def _printable(text: str) -> str:
    shown = "".join(c for c in text if unicodedata.category(c) not in UNSHOWN and c != "\ufeff")
    return shown.translate(REPLACED).replace("-->", "→")
