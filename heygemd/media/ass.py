"""Advanced SubStation files of our own, which libass draws, and the characters for which this machine has no font."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from . import ffmpeg
from .process import Writer

TRIAL_SIZE = 64
_LACKING = re.compile(r"failed to find any fallback with glyph 0x([0-9A-Fa-f]{1,6})")
MANY_LACKING = 8
"""So many missing characters mean that the font is missing. ffmpeg's last lines, which are kept, name as many."""


@dataclass(frozen=True)
class Style:
    """How subtitles look: white with a dark outline, at the bottom in the middle. All sizes are in pixels.

    size  of a line, from the top of the highest letter to the bottom of the lowest
    """

    font: str
    size: int
    side_margin: int
    bottom_margin: int


def document(width: int, height: int, style: Style, events: Iterable[tuple[int, int, str]]) -> str:
    """Return a file for pictures of that size; `events`: (start, end in milliseconds, text with libass's own codes)."""
    outline, shadow = style.size * 0.05, style.size * 0.02
    look = f"{style.font},{style.size},&H00FFFFFF,&H00101010,&H80000000,0,0,1,{outline:.1f},{shadow:.1f},2"
    margins = f"{style.side_margin},{style.side_margin},{style.bottom_margin}"
    return "\n".join(
        (
            f"[Script Info]\nScriptType: v4.00+\nPlayResX: {width}\nPlayResY: {height}\nWrapStyle: 0",
            "ScaledBorderAndShadow: yes\n\n[V4+ Styles]",
            "Format: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, Italic, BorderStyle, "
            "Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding",
            f"Style: Default,{look},{margins},1\n\n[Events]\nFormat: Layer, Start, End, Style, Text",
            *(f"Dialogue: 0,{_clock(start)},{_clock(end)},Default,{text}" for start, end, text in events),
            "",
        )
    )


def _clock(ms: int) -> str:
    seconds, hundredths = divmod(round(ms / 10), 100)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{hundredths:02d}"


def lacking(text: str, font: str, scratch: Path) -> tuple[str, bool]:
    """Return characters of `text` that no font on this machine has, and whether there are too many to list.

    libass itself is asked, with `font` and all fonts that it falls back to. Raises the errors of `Writer`.
    """
    path = scratch / "characters.ass"
    characters = "".join(sorted({c for c in text if not c.isspace()}))
    style = Style(font, TRIAL_SIZE // 4, 0, 0)
    path.write_text(document(TRIAL_SIZE, TRIAL_SIZE, style, [(0, 1000, characters)]), "utf-8")
    source = drawn(ffmpeg.raw_video(TRIAL_SIZE, TRIAL_SIZE, Fraction(25)), path)
    with Writer(ffmpeg.command(ffmpeg.to_pipe(source, format="null"), log="warning")) as trial:
        trial.write(memoryview(bytes(TRIAL_SIZE * TRIAL_SIZE * 3 // 2)))
        trial.finish()
        found = {chr(int(code, 16)) for code in _LACKING.findall(trial.tail)}
    return "".join(sorted(found)), len(found) >= MANY_LACKING


def drawn(video: ffmpeg.Stream, path: Path) -> ffmpeg.Stream:
    """Return frames with the subtitles of a file of ours drawn onto them."""
    return video.filter("ass", str(path.absolute()))


def available() -> bool:
    """Return whether this ffmpeg was built with libass."""
    return ffmpeg.has_filter("ass")
