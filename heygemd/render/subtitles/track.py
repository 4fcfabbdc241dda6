"""Makes one clean subtitle track of each file that people put beside the voice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from ...errors import InputError
from ...protocol import SubtitleFile
from ..scene import Finding
from . import language
from .language import Language
from .parse import Cue, Parsed, parse

MAX_NAMED_LINES = 20
MAX_NAME_CHARS = 200
MAX_AT_ONCE = 4
SLIP_MS = 100
CLOCK_MS = 3_600_000, 60_000, 1000


@dataclass(frozen=True)
class Track:
    """The subtitles of one file: in order, none over another, none beyond the end.

    name  the file's, for people
    """

    name: str
    language: Language
    cues: tuple[Cue, ...]

    def __str__(self) -> str:
        """Return the file's name and the language, for people."""
        language = f" ({self.language.title})" if self.language.title else ""
        return self.name[: MAX_NAME_CHARS - len(language)] + language


def load_tracks(files: Sequence[SubtitleFile], sound_s: Fraction) -> tuple[list[Track], list[Finding]]:
    """Return the tracks of the files that can be used, and what people should know about all of them.

    sound_s  length of the sound; what is shown later is cut
    """
    tracks, findings = [], []
    for file in files:
        try:
            parsed = parse(file.path.read_bytes())
        except InputError as error:
            findings.append(Finding(error.code, {**error.fields, "name": file.name}))
            continue
        findings += _findings(file.name, parsed, sound_s)
        cues = tuple(_apart(parsed.cues, int(sound_s * 1000)))
        if cues:
            spoken = language.of_file(file.name, (cue.text for cue in cues))
            tracks.append(Track(file.name, spoken, cues))
    return tracks, findings


def _findings(name: str, parsed: Parsed, sound_s: Fraction) -> Iterator[Finding]:
    if parsed.unreadable:
        yield Finding("subtitles_lines", {"name": name, "lines": sorted(parsed.unreadable)[:MAX_NAMED_LINES]})
    if parsed.reversed:
        yield Finding("subtitles_reversed", {"name": name, "lines": parsed.reversed[:MAX_NAMED_LINES]})
    end_s = max(cue.end_ms for cue in parsed.cues) / 1000
    if end_s > float(sound_s) + 1:
        yield Finding("subtitles_beyond", {"name": name, "end_s": round(end_s, 1), "voice_s": round(float(sound_s), 1)})


def _apart(cues: Sequence[Cue], end_ms: int) -> Iterator[Cue]:
    """Yield cues one after the other until `end_ms`: of those shown at the same time is made one, a line for each.

    MP4 can show only one at a time.
    """
    cues = [_ended(cue, later) for cue, later in zip(cues, [*cues[1:], None], strict=True)]
    edges = sorted({edge for cue in cues for edge in (cue.start_ms, cue.end_ms) if edge < end_ms} | {end_ms})
    coming, shown = deque(cues), list[Cue]()
    for start_ms, stop_ms in pairwise(edges):
        shown = [cue for cue in shown if cue.end_ms > start_ms]
        while coming and coming[0].start_ms <= start_ms:
            shown.append(coming.popleft())
        shown = shown[-MAX_AT_ONCE:]
        if shown:
            yield Cue(start_ms, stop_ms, "\n".join(dict.fromkeys(cue.text for cue in shown)))


def _ended(cue: Cue, later: Cue | None) -> Cue:
    """Return a cue that ends where the next one begins, if they overlap so shortly that nobody meant it."""
    overlaps = later is not None and 0 < cue.end_ms - later.start_ms <= SLIP_MS and cue.start_ms < later.start_ms
    return replace(cue, end_ms=later.start_ms) if later is not None and overlaps else cue


def write_srt(track: Track, path: Path) -> None:
    """Write a track as SubRip."""
    blocks = (
        f"{number}\n{_clock(cue.start_ms)} --> {_clock(cue.end_ms)}\n{cue.text}\n"
        for number, cue in enumerate(track.cues, 1)
    )
    path.write_text("\n".join(blocks), "utf-8")


def _clock(ms: int) -> str:
    hour, minute, second = CLOCK_MS
    return f"{ms // hour:02d}:{ms % hour // minute:02d}:{ms % minute // second:02d},{ms % second:03d}"
