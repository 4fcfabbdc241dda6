"""Words for people, made from codes and facts at the edge: gettext catalogues, one file for each language in locale/.

A message is known by its code. Where it has two lines, the first says what happened and the second what to do.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from ..errors import printable

CATALOGUES = Path(__file__).parent / "locale"
FALLBACK = "en"
SHOWN_ITEMS = 8
SAME = dict.fromkeys(
    [
        "decode_changed",
        "encode_failed",
        "engine_broken",
        "ffmpeg_cpu_limit",
        "ffmpeg_crashed",
        "ffmpeg_memory",
        "frames_missing",
        "scratch_copy_broken",
        "tracker_unknown",
    ],
    "engine_error",
) | {"asset_damaged": "asset_missing", "engine_unknown": "plugin_broken"}
"""Codes that share their words with another: staff need not tell them apart, the log does."""

Text = dict[str, str]
"""The same words in several languages, by language."""


@cache
def languages() -> tuple[str, ...]:
    """Return the languages there are words in."""
    return tuple(sorted(path.stem for path in CATALOGUES.glob("*.po")))


@cache
def catalogue(language: str) -> gettext.GNUTranslations:
    """Return a language's catalogue, read from its text form: there is nothing to compile when words change."""
    from babel.messages import mofile, pofile  # here, because most commands say nothing

    with (CATALOGUES / f"{language}.po").open("rb") as source:
        parsed = pofile.read_po(source, locale=language)
    compiled = io.BytesIO()
    mofile.write_mo(compiled, parsed)
    compiled.seek(0)
    translations = gettext.GNUTranslations(compiled)
    if language != FALLBACK:
        translations.add_fallback(catalogue(FALLBACK))
    return translations


def parts(code: str, fields: Mapping[str, Any], language: str = "en") -> tuple[str, str]:
    """Return (what happened, what to do or "") for a code; an unknown code or missing fact still says something."""
    template = _template(SAME.get(code, code), fields.get("count"), language)
    if template is None:
        facts = ", ".join(f"{k}: {_show(k, v, language)}" for k, v in fields.items())
        return (f"{code} ({facts})" if facts else code), ""
    shown = {name: _show(name, fields[name], language) if name in fields else "?" for name in _named(template)}
    what, _, todo = template.partition("\n")
    return what.format(**shown), todo.format(**shown)


def known(code: str) -> bool:
    """Return whether there are words for a code."""
    return _template(SAME.get(code, code), None, FALLBACK) is not None


def text(code: str, fields: Mapping[str, Any], language: str = "en") -> str:
    """Return the words for a code on one line."""
    what, todo = parts(code, fields, language)
    space = "" if what.endswith("。") else " "
    return f"{what}{space}{todo}" if todo else what


def named(code: str, fields: Mapping[str, Any], language: str = "en") -> str:
    """Return the words for a code, beginning with the file's name (`fields["name"]`) unless they have it."""
    why, name = text(code, fields, language), printable(str(fields.get("name", "")))
    return why if name in why else text("page_named", {"name": name, "why": why}, language)


def texts(code: str, fields: Mapping[str, Any], wanted: Iterable[str]) -> Text:
    """Return the words for a code in each of the wanted languages."""
    return {language: text(code, fields, language) for language in wanted}


def starting(prefix: str, language: str) -> dict[str, str]:
    """Return the templates of all codes that start with `prefix`, for a page that fills them in itself."""
    known = {**vars(catalogue(FALLBACK))["_catalog"], **vars(catalogue(language))["_catalog"]}
    return {code: words for code, words in known.items() if isinstance(code, str) and code.startswith(prefix)}


def note(code: str, fields: Mapping[str, Any], wanted: Sequence[str]) -> bytes:
    """Return a short text file for a folder: the words in each language, readable in Windows' Notepad."""
    return lines([text(code, fields, language) for language in wanted])


def lines(paragraphs: Sequence[str]) -> bytes:
    """Return paragraphs as a text file with a byte-order mark and CRLF, which every staff computer reads."""
    return ("\ufeff" + "\r\n\r\n".join(paragraphs) + "\r\n").encode("utf-8", "replace")


@cache
def _named(template: str) -> frozenset[str]:
    """Return the facts that a template speaks of."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


def _template(code: str, count: object, language: str) -> str | None:
    """Return the words for a code, in the form for `count` things where it has several."""
    known = catalogue(language)
    words = known.ngettext(code, code, count) if isinstance(count, int) else code
    words = words if words != code else known.gettext(code)
    return words if words != code else None


def _show(name: str, value: object, language: str) -> str:
    """Return a fact as people write it: shares in percent, lists with "and", decimals as the language has them."""
    if isinstance(value, str):
        return printable(value)
    from babel import lists, numbers

    if isinstance(value, (list, tuple)):
        items = [_span(item) for item in value[:SHOWN_ITEMS]]
        if len(value) > SHOWN_ITEMS or any(", " in item for item in items):
            return "; ".join(items) + " …" * (len(value) > SHOWN_ITEMS)
        return lists.format_list(items, locale=language)
    if isinstance(value, float) and name == "share":
        return numbers.format_percent(value, "0.#%", language)
    if isinstance(value, float):
        return numbers.format_decimal(value, locale=language)
    return printable(str(value))


def _span(value: object) -> str:
    """A pair of numbers is a stretch of time in seconds."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return "–".join(clock(seconds) for seconds in value)
    return printable(str(value))


def clock(seconds: float) -> str:
    """Return a time within a video as people read it from a player."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
