"""Subtitles written into the picture: lines wrapped where Chinese and English may break, sized by the picture."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ...media import ass
from ...media.ass import Style
from ..scene import Finding
from .track import Track

DEFAULT_FONT = "Noto Sans CJK SC"
REGIONS = {"jpn": "JP", "kor": "KR"}
LINE_SHARE_OF_HEIGHT, LINE_SHARE_OF_WIDTH = 0.075, 0.085
"""Height of a line, as a share of the picture's height, but not more than this share of its width."""
SIDE_SHARE, BOTTOM_SHARE, UPRIGHT_BOTTOM_SHARE = 0.06, 0.05, 0.1
"""Margins. On upright videos, apps cover more of the bottom."""
WIDE, NARROW = 0.72, 0.37
"""Width of a Chinese character, and of a Latin one on average, as shares of the line's height in Noto Sans CJK."""
MAX_LINES, SIZES = 4, (1.0, 0.75, 0.5)
NEVER_FIRST = set("，。、；：？！）」』】》〉”’…—·ー々％,.;:?!)]}%")
NEVER_LAST = set("（「『【《〈“‘([{¥$￥＄")
_TOKENS = re.compile(r"</?[ib]>|\s+|[^\s<]")
_CODES = {f"<{slash}{tag}>": f"{{\\{tag}{0 if slash else 1}}}" for tag in "ib" for slash in ("", "/")}


def font_for(track: Track, font: str) -> str:
    """Return the font for a track: of the usual one, the variant of the track's region."""
    traditional = "繁" in track.language.title
    region = REGIONS.get(track.language.code, "TC" if traditional else "SC")
    return f"{DEFAULT_FONT[:-2]}{region}" if font == DEFAULT_FONT else font


def drawable(track: Track, font: str, scratch: Path) -> tuple[Track | None, list[Finding]]:
    """Return the track without characters that no font has, None if the font itself is missing; and what to tell."""
    if not ass.available():
        return None, [Finding("subtitles_not_burnt", {"name": track.name})]
    text = re.sub("</?[ib]>", "", "".join(cue.text for cue in track.cues))
    missing, many = ass.lacking(text, font, scratch)
    if many:
        return None, [Finding("subtitles_not_burnt", {"name": track.name})]
    if not missing:
        return track, []
    dropped = str.maketrans(dict.fromkeys(missing))
    cues = tuple(replace(cue, text=cue.text.translate(dropped)) for cue in track.cues)
    return replace(track, cues=cues), [Finding("subtitles_characters", {"name": track.name, "characters": missing})]


def write_ass(track: Track, font: str, width: int, height: int, path: Path) -> None:
    """Write a track as a file for libass, for pictures of that size."""
    size = round(min(LINE_SHARE_OF_HEIGHT * height, LINE_SHARE_OF_WIDTH * width))
    bottom = round(height * (UPRIGHT_BOTTOM_SHARE if height > width else BOTTOM_SHARE))
    style = Style(font_for(track, font), max(8, size), round(width * SIDE_SHARE), bottom)
    room = (width - 2 * style.side_margin) / style.size
    events = ((cue.start_ms, cue.end_ms, _fitted(cue.text, room, style.size)) for cue in track.cues)
    path.write_text(ass.document(width, height, style, events), "utf-8")


def _fitted(text: str, room: float, size: int) -> str:
    """Return a cue for libass, in smaller letters if it has too many lines; `room`: width over the height of a line."""
    for share in SIZES:
        lines = [line for part in text.split("\n") for line in wrapped(part, room / share)]
        if len(lines) <= MAX_LINES:
            break
    shown = re.sub("</?[ib]>", lambda tag: _CODES[tag[0]], "\\N".join(lines))
    return shown if share == 1 else f"{{\\fs{round(size * share)}}}{shown}"


def wrapped(text: str, room: float) -> list[str]:
    """Return the lines of a text, about equally long; `room`: greatest width over the height of a line."""
    words = list(_words(text))
    total = sum(width for _, width in words)
    lines = max(1, math.ceil(total / room))
    target = min(room, total / lines * 1.08 + NARROW)
    made, line, used = [], "", 0.0
    for word, width in words:
        if line.strip() and used + width > target and word.strip():
            made.append(line.strip())
            line, used = "", 0.0
        line, used = line + word, used + width
    return [*made, line.strip()] if line.strip() else made or [""]


def _words(text: str) -> Iterator[tuple[str, float]]:
    """Yield what must not be broken, with its width: Latin words, Chinese characters with their punctuation, spaces."""
    word, width, previous = "", 0.0, ""
    for token in _TOKENS.findall(text):
        tag, wide = len(token) > 2 and token[0] == "<", _is_wide(token)
        joins = tag or not previous or token in NEVER_FIRST or previous in NEVER_LAST
        if not joins and (token.isspace() or previous.isspace() or wide or _is_wide(previous)):
            yield word, width
            word, width = "", 0.0
        word += token
        if not tag:
            width += WIDE if wide else NARROW * len(token)
            previous = token
    if word:
        yield word, width


def _is_wide(token: str) -> bool:
    return unicodedata.east_asian_width(token[0]) in "WF"
