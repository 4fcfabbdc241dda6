"""A user who knows only the share: from nothing to a result, a mistake put right, a failure tried again by dragging.

With HEYGEMD_SCREENS=docs/walkthrough it keeps its screens there, for docs/walkthrough.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect

from heygemd.daemon.names import WAITING_NOTE
from tests.e2e.conftest import site
from tests.e2e.harness import PATIENCE, Site, wait_for

from .conftest import Open, assert_accessible

__all__ = ["site"]
PATIENCE_MS = 120_000 * PATIENCE


def sees(page: Page, *words: str) -> None:
    for text in words:
        expect(page.locator("main")).to_contain_text(text, timeout=PATIENCE_MS)


def keep(page: Page, name: str) -> None:
    """Keep what is on the screen now, where that is asked for."""
    if folder := os.environ.get("HEYGEMD_SCREENS"):
        page.screenshot(path=f"{folder}/{name}.jpg", type="jpeg", quality=70)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_day_of_somebody_who_knows_only_the_share(site: Site, media: SimpleNamespace, open_page: Open) -> None:
    site.start()
    wait_for((site.share / "status.html").exists, "the page")
    page = open_page(site.share / "status.html")
    sees(page, "No work. Put a folder with one voice recording and the videos into inbox.")
    keep(page, "1-empty")
    page.get_by_role("link", name="How to").click()
    sees(page, "Make a new folder on your computer", "drag it from done or failed back into inbox")
    assert_accessible(page)
    keep(page, "2-how-to")
    page.go_back()

    # A mistake: two sound files. The page and a note in the folder say so; one is deleted.
    folder = site.drop("spring", a__m4a=media.voice, b__m4a=media.voice, anna__mp4=media.face)
    sees(page, "spring", "There are 2 sound files: a.m4a and b.m4a. Leave exactly one voice recording")
    keep(page, "3-mistake")
    note = folder / WAITING_NOTE
    wait_for(note.exists, "a note")
    assert "There are 2 sound files" in note.read_text("utf-8-sig")
    (folder / "b.m4a").unlink()

    # It is rendered while the page is open, and the report opens from it.
    expect(page.get_by_role("progressbar", name="anna.mp4")).to_be_visible(timeout=PATIENCE_MS)
    sees(page, "Now: spring")
    keep(page, "4-working")
    sees(page, "1 of 1 videos done")
    expect(page.locator(".thumbs img")).to_have_js_property("naturalHeight", 180, timeout=PATIENCE_MS)
    keep(page, "5-done")
    page.get_by_role("link", name="spring", exact=True).click()
    sees(page, "1 of 1 videos done", "Lips and voice")
    player = page.locator("video")
    player.evaluate("video => { video.preload = 'metadata'; video.load(); }")
    page.wait_for_function("document.querySelector('video').duration > 0.9")
    assert page.locator("img.strip").evaluate("image => image.naturalWidth") > 0
    assert_accessible(page)
    keep(page, "6-report")
    page.go_back()

    # A failure: nobody in the video. The report says what to do; the folder is put right and dragged back.
    site.drop("summer", voice__m4a=media.voice, empty__mp4=media.no_face)
    sees(page, "empty.mp4: No face was found in the video. Use a video that shows the presenter's face.")
    page.get_by_role("link", name="summer", exact=True).click()
    sees(page, "What to do", "move the whole folder back into inbox")
    keep(page, "7-failed")
    page.go_back()
    failed = site.finished("summer", "failed")
    (failed / "empty.mp4").unlink()
    (failed / "anna.mp4").write_bytes(media.face.read_bytes())
    failed.rename(site.share / "inbox" / "summer")
    done: Path = site.finished("summer", patience_s=PATIENCE_MS / 1000)
    assert (done / "anna.mp4").exists()
    expect(page.locator("#recent li").first).to_contain_text("Done", timeout=PATIENCE_MS)
    keep(page, "8-tried-again")
