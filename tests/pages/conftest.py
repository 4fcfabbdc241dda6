from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.e2e.harness import PATIENCE

OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
Open = Callable[..., Page]
expect.set_options(timeout=5_000 * PATIENCE)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser that ends with this package: while it runs, its event loop occupies the thread that other tests use."""
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "chromium is missing: .ci/setup installs it"
        pytest.skip("needs chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a file in a language, a colour scheme and a width; the test fails if the page reports an error."""
    errors: list[str] = []
    contexts = []

    def opened(path: Path, language: str = "en-GB", scheme: str = "light", width: int = 1100) -> Page:
        context = browser.new_context(
            locale=language, color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True
        )
        contexts.append(context)
        context.set_default_timeout(30_000 * PATIENCE)
        page = context.new_page()
        page.on("console", lambda message: None if missing_thumbnail(message) else errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def missing_thumbnail(message: ConsoleMessage) -> bool:
    """Whether the browser reports a thumbnail that is not there: the page works without it."""
    return message.location.get("url", "").endswith(".jpg")


def assert_accessible(page: Page) -> None:
    """axe-core finds nothing, and nothing is wider than the window."""
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
