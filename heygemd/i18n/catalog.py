"""Messages for people in every language, from a code and its fields: one gettext file for each language in locale/.

A message is known by its code. Where it has two lines, the first says what happened and the second what to do.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, reduce
from pathlib import Path
from string import Formatter
from typing import Any

from ..errors import printable

LOCALE_FOLDER = Path(__file__).parent / "locale"
FALLBACK_LANGUAGE = "en"
MAX_LIST_ITEMS = 8
ALIASES = dict.fromkeys(
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
"""Codes that use another code's message: staff need not tell them apart, the log does."""

Text = dict[str, str]
"""One message in several languages, by language."""
Message = tuple[str, Mapping[str, Any]]
"""A message's code and fields."""


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that have a file in locale/, sorted."""
    return tuple(sorted(path.stem for path in LOCALE_FOLDER.glob("*.po")))


@cache
def translations(language: str) -> gettext.GNUTranslations:
    """Return the messages of a language, with English where it lacks one.

    They are read from the .po file itself, so there is nothing to compile when a message changes.
    """
    from babel.messages import mofile, pofile  # here, because most commands show no message

    with (LOCALE_FOLDER / f"{language}.po").open("rb") as source:
        parsed = pofile.read_po(source, locale=language)
    compiled = io.BytesIO()
    mofile.write_mo(compiled, parsed)
    compiled.seek(0)
    found = gettext.GNUTranslations(compiled)
    if language != FALLBACK_LANGUAGE:
        found.add_fallback(translations(FALLBACK_LANGUAGE))
    return found


def has_message(code: str) -> bool:
    """Return whether there is a message for a code."""
    return _template(code, None, FALLBACK_LANGUAGE) is not None


def what_and_advice(code: str, fields: Mapping[str, Any], language: str = "en") -> tuple[str, str]:
    """Return (what happened, what to do or "").

    A code without a message, or one whose message needs a field that `fields` lacks, is shown with its fields.
    """
    what, _, advice = (_template(code, fields.get("count"), language) or "").partition("\n")
    return _filled(what, fields, language) or _unworded(code, fields, language), _filled(advice, fields, language)


def _filled(template: str, fields: Mapping[str, Any], language: str) -> str:
    """Return a sentence with its fields, "" if one is missing: people are shown no gaps."""
    needed = _placeholders(template)
    if not needed <= fields.keys():
        return ""
    return template.format(**{name: _format(name, fields[name], language) for name in needed})


def _unworded(code: str, fields: Mapping[str, Any], language: str) -> str:
    facts = ", ".join(f"{name}: {_format(name, value, language)}" for name, value in fields.items())
    return f"{code} ({facts})" if facts else code


def text(code: str, fields: Mapping[str, Any], language: str = "en") -> str:
    """Return the message on one line."""
    return joined(part for part in what_and_advice(code, fields, language) if part)


def joined(sentences: Iterable[str]) -> str:
    """Return sentences as one paragraph."""
    return reduce(lambda before, after: f"{before}{'' if before.endswith('。') else ' '}{after}", sentences)


def text_with_file_name(code: str, fields: Mapping[str, Any], language: str = "en") -> str:
    """Return the message on one line, after the file's name (`fields["name"]`) unless it contains the name already."""
    why, name = text(code, fields, language), printable(str(fields.get("name", "")))
    return why if name in why else text("page_named", {"name": name, "why": why}, language)


def texts(code: str, fields: Mapping[str, Any], wanted: Iterable[str]) -> Text:
    """Return the message on one line in each of the wanted languages."""
    return {language: text(code, fields, language) for language in wanted}


def templates_with_prefix(prefix: str, language: str) -> dict[str, str]:
    """Return the templates, by code, of all codes that start with `prefix`, for a page that fills them in itself."""
    found = {**vars(translations(FALLBACK_LANGUAGE))["_catalog"], **vars(translations(language))["_catalog"]}
    return {code: words for code, words in found.items() if isinstance(code, str) and code.startswith(prefix)}


def note_file(messages: Sequence[Message], wanted: Sequence[str]) -> bytes:
    """Return the content of a text file for a folder: the messages in each language, readable in Windows' Notepad."""
    lines = {language: [text(code, fields, language) for code, fields in messages] for language in wanted}
    return text_file(["\r\n".join(lines[language]) for language in wanted])


def paragraph(messages: Sequence[Message], wanted: Iterable[str]) -> Text:
    """Return several messages on one line in each of the wanted languages."""
    return {language: joined(text(code, fields, language) for code, fields in messages) for language in wanted}


def text_file(paragraphs: Sequence[str]) -> bytes:
    """Return paragraphs as UTF-8 with a byte-order mark and CRLF, which every staff computer reads."""
    return ("\ufeff" + "\r\n\r\n".join(paragraphs) + "\r\n").encode("utf-8", "replace")


def clock(seconds: float) -> str:
    """Return a time within a video as players show it, such as 2:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@cache
def _placeholders(template: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


def _template(code: str, count: object, language: str) -> str | None:
    """Return the message of a code before its fields are filled in, in the plural form for `count`."""
    code = ALIASES.get(code, code)
    known = translations(language)
    words = known.ngettext(code, code, count) if isinstance(count, int) else code
    words = words if words != code else known.gettext(code)
    return words if words != code else None


def _format(name: str, value: object, language: str) -> str:
    """Return a field as people write it: shares in percent, lists with "and", decimals as the language has them.

    A mapping with a code and fields is a message of its own.
    """
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return text(value["code"], value["fields"], language)
    from babel import lists, numbers

    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], Mapping):
            return joined(_format(name, item, language) for item in value)
        items = [_format_item(item) for item in value[:MAX_LIST_ITEMS]]
        if len(value) > MAX_LIST_ITEMS or any(", " in item for item in items):
            return "; ".join(items) + " …" * (len(value) > MAX_LIST_ITEMS)
        return lists.format_list(items, locale=language)
    if isinstance(value, float) and name == "share":
        return numbers.format_percent(value, "0.#%", language)
    if isinstance(value, float):
        return numbers.format_decimal(value, locale=language)
    return printable(str(value))


def _format_item(value: object) -> str:
    """Return an item of a list; a pair of numbers is a span of time in seconds."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return "–".join(clock(seconds) for seconds in value)
    return printable(str(value))
