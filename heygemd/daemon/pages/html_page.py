"""Self-contained HTML pages in all configured languages; the browser shows the reader's. No server, no network."""

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
"""Made from the demo by tests/pages/pictures.py."""


@cache
def _templates() -> Environment:
    """Every value is escaped: users choose the file names."""
    return Environment(
        loader=PackageLoader("heygemd.daemon.pages"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        auto_reload=False,  # an upgrade under a running daemon must not mix versions
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(template: str, languages: Iterable[str], **facts: Any) -> bytes:
    """Render a page.

    The template may use `say(code, **fields)`, `show(text)`, `picture(name)`, `languages`, `words`, `version`.
    Raises EngineError("asset_missing") if the installation is incomplete.
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
                say=_say_in(known),
                show=_show,
                picture=_picture,
                version=__version__,
                **facts,
            )
        )
    except OSError as error:  # jinja's errors too; untyped, it would count as a fault of a disk
        raise EngineError("asset_missing", describe(error)) from None
    return html.encode("utf-8", "replace")


@cache
def _picture(name: str) -> str:
    """Return a bundled picture as a data URI, because a page is one file."""
    data = (PICTURES / f"{name}.webp").read_bytes()
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _words(language: str) -> dict[str, str]:
    """Return the texts that the page's script fills in itself, by code without the prefix."""
    return {code.removeprefix(PREFIX): words for code, words in catalog.templates_with_prefix(PREFIX, language).items()}


def _say_in(languages: tuple[str, ...]) -> Callable[..., Markup]:
    def say(code: str, /, **fields: object) -> Markup:
        return _show(catalog.texts(code, fields, languages))

    return say


def _show(text: Text) -> Markup:
    """Return a text in all its languages; style.css shows one of them."""
    return Markup("").join(
        Markup('<span class="l" lang="{}">{}</span>').format(language, escape(words))
        for language, words in text.items()
    )
