"""A user who knows only the share: a first result, a corrected mistake, and a failure that is tried again.

With HEYGEMD_SCREENS=docs/walkthrough it saves its screenshots there, for docs/walkthrough.md.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import Page, expect

from heygemd.daemon.intake.filename_rules import WAITING_NOTE
from heygemd.demo import clips
from tests.e2e.conftest import site
from tests.e2e.harness import PATIENCE, Site, wait_for
from tests.media_factory import ffmpeg

from .conftest import Open, assert_accessible

__all__ = ["site"]
PATIENCE_MS = 120_000 * PATIENCE
TALLEST = 1400
HALF_WAY = "(document.querySelector('#now progress')?.value ?? 0) > 30"


def sees(page: Page, *words: str) -> None:
    for text in words:
        expect(page.locator("main")).to_contain_text(text, timeout=PATIENCE_MS)


def keep(page: Page, name: str) -> None:
    """Save a screenshot, if HEYGEMD_SCREENS is set."""
    if folder := os.environ.get("HEYGEMD_SCREENS"):
        page.set_viewport_size({"width": 900, "height": TALLEST})
        page.wait_for_timeout(500)
        height = min(TALLEST, page.evaluate("document.body.getBoundingClientRect().bottom"))
        clip = {"x": 0, "y": 0, "width": 900, "height": height}
        page.screenshot(path=f"{folder}/{name}.jpg", type="jpeg", quality=80, clip=clip)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Some seconds of the demo's presenter and voice, long enough to watch the progress."""
    folder = tmp_path_factory.mktemp("speech")
    clip = dataclasses.replace(clips.CLIPS[0], name="anna.mp4", width=640, height=360)
    clips.write(clip, clips.frames(clip, clips.portrait()), folder)
    voice = folder / "voice.m4a"
    ffmpeg("-t", "6", "-i", Path(clips.__file__).with_name("voice.m4a"), "-c:a", "aac", voice)
    return SimpleNamespace(face=folder / "anna.mp4", voice=voice)


def read_the_report(page: Page) -> None:
    sees(page, "1 of 1 videos done", "Lips and voice")
    player = page.locator("video")
    player.evaluate("video => { video.preload = 'metadata'; video.load(); }")
    page.wait_for_function("document.querySelector('video').duration > 5")
    assert page.locator("img.strip").evaluate("image => image.naturalWidth") > 0
    assert_accessible(page)
    keep(page, "6-report")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_day_of_somebody_who_knows_only_the_share(
    site: Site, media: SimpleNamespace, speech: SimpleNamespace, open_page: Open
) -> None:
    site.start()
    wait_for((site.share / "status.html").exists, "the page")
    page = open_page(site.share / "status.html")
    sees(page, "Nothing to do. Put a folder with one voice recording and the videos into inbox.")
    keep(page, "1-empty")
    page.get_by_role("link", name="How to").click()
    sees(page, "Create a new folder on your computer", "drag it from done or failed back into inbox")
    assert_accessible(page)
    keep(page, "2-how-to")
    page.go_back()

    # A mistake: two sound files. The page and a note in the folder say so; one is deleted.
    folder = site.drop("spring", a__m4a=speech.voice, b__m4a=media.voice, anna__mp4=speech.face)
    sees(page, "spring", "There are 2 audio files: a.m4a and b.m4a. Keep exactly one voice recording")
    keep(page, "3-mistake")
    note = folder / WAITING_NOTE
    wait_for(note.exists, "a note")
    assert "There are 2 audio files" in note.read_text("utf-8-sig")
    (folder / "b.m4a").unlink()

    # It is rendered while the page is open, and the report opens from it.
    expect(page.get_by_role("progressbar", name="anna.mp4")).to_be_visible(timeout=PATIENCE_MS)
    sees(page, "In progress: spring")
    page.wait_for_function(HALF_WAY, timeout=PATIENCE_MS)
    keep(page, "4-working")
    sees(page, "1 of 1 videos done")
    expect(page.locator(".thumbs img")).to_have_js_property("naturalHeight", 180, timeout=PATIENCE_MS)
    keep(page, "5-done")
    page.get_by_role("link", name="spring", exact=True).click()
    read_the_report(page)
    page.go_back()

    # A failure: nobody in the video. The report says what to do; the folder is corrected and dragged back.
    site.drop("summer", voice__m4a=media.voice, empty__mp4=media.no_face)
    sees(page, "empty.mp4: No face was found in the video. Use a video that shows the presenter's face.")
    page.get_by_role("link", name="summer", exact=True).click()
    sees(page, "What to do", "move the whole folder back into inbox")
    keep(page, "7-failed")
    page.go_back()
    failed = site.finished("summer", "failed")
    (failed / "empty.mp4").unlink()
    (failed / "anna.mp4").write_bytes(speech.face.read_bytes())
    failed.rename(site.share / "inbox" / "summer")
    done: Path = site.finished("summer", patience_s=PATIENCE_MS / 1000)
    assert (done / "anna.mp4").exists()
    expect(page.locator("#recent li").first).to_contain_text("Done", timeout=PATIENCE_MS)
    # The first attempt is still listed, without a link: its folder is no longer there.
    before = page.locator("#recent li").nth(1)
    expect(before).to_contain_text("Failed")
    expect(before).to_contain_text("The folder has since been moved away.", timeout=PATIENCE_MS)
    expect(before.get_by_role("link")).to_have_count(0)
    keep(page, "8-tried-again")
