"""Pages for people: self-contained HTML in all configured languages, shown in the reader's; no server, no network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from ... import __version__
from ...errors import EngineError, describe
from ...i18n import catalog
from ...i18n.catalog import Text

PREFIX = "page_"
PICTURES = Path(__file__).parent / "templates" / "pictures"
"""Taken by tests/pages/pictures.py from the demo."""


@cache
def _templates() -> Environment:
    """Every value is escaped: names of files are chosen by people."""
    return Environment(
        loader=PackageLoader("heygemd.daemon.pages"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        auto_reload=False,  # an upgrade under a running daemon must not mix versions
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, languages: Iterable[str], **facts: Any) -> bytes:
    """Return a page.

    The template may use `say(code, **fields)`, `show(text)`, `picture(name)`, `languages`, `words`, `version`.
    Raises EngineError("asset_missing") where the installation is incomplete.
    """
    known = tuple(languages)
    try:
        html = (
            _templates()
            .get_template(template)
            .render(
                languages=known,
                words={language: _words(language) for language in known},
                names={language: catalog.text("page_language", {}, language) for language in known},
                say=_sayer(known),
                show=_show,
                picture=_picture,
                version=__version__,
                **facts,
            )
        )
    except OSError as error:  # jinja's own too; elsewhere it would pass for a fault of the share
        raise EngineError("asset_missing", describe(error)) from None
    return html.encode("utf-8", "replace")


@cache
def _picture(name: str) -> str:
    """Return a shipped picture as a data URI: a page is one file."""
    data = (PICTURES / f"{name}.webp").read_bytes()
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _words(language: str) -> dict[str, str]:
    """Return the words that the page's script fills in itself, by their codes without the prefix."""
    return {code.removeprefix(PREFIX): words for code, words in catalog.templates_with_prefix(PREFIX, language).items()}


def _sayer(languages: tuple[str, ...]) -> Callable[..., Markup]:
    def say(code: str, /, **fields: object) -> Markup:
        return _show(catalog.texts(code, fields, languages))

    return say


def _show(text: Text) -> Markup:
    """Return a text in all its languages; style.css shows the reader's."""
    return Markup("").join(
        Markup('<span class="l" lang="{}">{}</span>').format(language, escape(words))
        for language, words in text.items()
    )
