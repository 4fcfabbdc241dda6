"""A day of folders that ask for more than a plain job, each with a bad part, and every page that staff see of them.

With HEYGEMD_SCREENS set to a folder it saves a screenshot of each page in each width and language, light and dark.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page

from heygemd.daemon.intake.filename_rules import WHY_NOTE
from heygemd.demo import clips
from tests.e2e.conftest import site
from tests.e2e.harness import Site, wait_for
from tests.media_factory import VOICE, ffmpeg
from tests.photos import heic, jpeg, png, save
from tests.render.anna import pair
from tests.render.engines.test_recipes import Installed

from .conftest import Open, assert_accessible

__all__ = ["site"]
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
WIDTHS = (390, 1280)
PATIENCE_S = 900
OTHER = {
    "en": re.compile(r"[㐀-鿿]{2}"),
    "zh": re.compile(r"\b(?:the|is|are|was|to|of|and|not|for|with)\b", re.IGNORECASE),
}
"""What shows that a line is in the other language; names of files and settings have none of these words."""
NAMES = ("中文", WHY_NOTE)
SUBTITLES = "1\r\n00:00:00,000 --> 00:00:02,000\r\n{}\r\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Recordings and videos of some seconds, as large as is needed to look like what staff have."""
    folder = tmp_path_factory.mktemp("made")

    def voice(name: str, *options: str) -> Path:
        ffmpeg("-i", VOICE, *options, "-t", "2.5", folder / name)
        return folder / name

    for name, width, height, seconds in (("anna.mp4", 640, 360, 2), ("large.mp4", 1280, 720, 4)):
        clip = dataclasses.replace(clips.CLIPS[0], name=name, width=width, height=height, seconds=seconds)
        clips.write(clip, clips.frames(clip, clips.portrait()), folder)
    music = folder / "music.mp4"
    ffmpeg("-i", folder / "anna.mp4", "-f", "lavfi", "-i", "sine=300:d=2", "-c:v", "copy", "-c:a", "aac", music)
    return SimpleNamespace(
        anna=folder / "anna.mp4",
        large=folder / "large.mp4",
        music=music,
        pair=pair(folder / "pair.mp4", 2.5, 360),
        face=next(iter(clips.frames(clips.PHOTO, clips.portrait()))),
        voice=voice("voice.m4a"),
        first=voice("first.wav", "-af", "volume=0:enable='gte(t,1.2)'"),
        second=voice("second.wav", "-af", "volume=0:enable='lt(t,1.2)'"),
    )


def drop_all(site: Site, made: SimpleNamespace, media: SimpleNamespace) -> dict[str, str]:
    """Drop a folder for each feature; return where each is to end."""
    photos = site.drop("photos", voice__m4a=made.voice)
    save(photos / "anna.jpg", jpeg(made.face, 6))
    save(photos / "susan.png", png(made.face, transparent_rows=60))
    save(photos / "wall.jpg", jpeg(np.full((480, 640, 3), 90, np.uint8)))
    save(photos / "poster.png", png(np.zeros((10_000, 10_000, 3), np.uint8)))
    save(photos / "phone.heic", heic(made.face))
    save(photos / "cut.heic", heic(made.face)[:-5000])

    subtitles = site.drop("subtitles", voice__m4a=made.voice, anna__mp4=made.anna)
    save(subtitles / "text.zh.srt", SUBTITLES.format("大家好").encode("gbk"))
    save(subtitles / "text.en.srt", SUBTITLES.format("Hello").replace(":02,", ":09,").encode())
    save(subtitles / "text.ja.srt", SUBTITLES.format("こんにちは、みなさん").encode("shift-jis"))
    save(subtitles / "empty.srt", b"")

    burn = site.drop("burnt subtitles", voice__m4a=made.voice, anna__mp4=made.anna)
    save(burn / "text.zh.srt", SUBTITLES.format("大家好，欢迎收看").encode("gbk"))
    save(burn / "text.en.srt", b"1\n00:00:01,000 --> 00:00:00,500\nHello\n\n2\n00:00:01,000 --> 00:00:02,000\nHello\n")
    (burn / "job.toml").write_text('subtitles = "burn"\n')

    sound = site.drop("sound", voice__m4a=made.voice, music__mp4=made.music, silent__mp4=made.anna)
    shutil.copyfile(made.first, sound / "voice.lips.wav")
    (sound / "job.toml").write_text('original_sound = "keep"\nloudness = "-16 LUFS"\n')

    face = site.drop("right face", voice__m4a=made.voice, pair__mp4=made.pair, other__mp4=made.pair)
    (face / "job.toml").write_text('face = "right"\n[videos."other.mp4"]\nface = 3\n')

    site.drop("two people", left__wav=made.first, right__wav=made.second, pair__mp4=made.pair, alone__mp4=made.anna)

    batch = site.drop("languages", anna__mp4=made.anna)
    for part, recording in (("zh", made.voice), ("client 17", made.first), ("broken", media.broken)):
        (batch / part).mkdir()
        shutil.copyfile(recording, batch / part / "voice.wav")
    (batch / "empty").mkdir()
    shutil.copyfile(made.anna, batch / "empty" / "chloe.mp4")
    (batch / "READY").touch()
    flat = site.drop("messages", anna__mp4=media.face, anna_1__m4a=media.voice, anna_2__wav=media.broken)
    (flat / "BATCH").touch()

    for engine in ("heygem", "bad"):
        folder = site.drop(f"engine {engine}", voice__m4a=media.voice, anna__mp4=media.face)
        (folder / "job.toml").write_text(f'engine = "{engine}"\n')
    wish = site.drop("misspelt", voice__m4a=media.voice, anna__mp4=media.face)
    (wish / "job.toml").write_text('face = "upper"\nsubtitle = "burn"\n')
    site.drop("two voices", a__m4a=media.voice, b__m4a=made.voice, anna__mp4=media.face)
    return {
        "photos": "done", "subtitles": "done", "burnt subtitles": "done", "sound": "done",
        "right face": "done", "two people": "done", "languages": "done", "messages": "done",
        "engine heygem": "done", "engine bad": "failed", "misspelt": "failed",
    }  # fmt: skip


SAID = {
    "photos": (
        "No face was found in the picture.", "The picture has 100 megapixels",
        '"cut.heic" cannot be read as a picture', "phone.mp4",
        "Transparent parts of the picture were put on white.",
    ),
    "subtitles": ("encoding of text.ja.srt is not known", "empty.srt contains no subtitles", "go on until 9 s"),
    "burnt subtitles": ("subtitles end before they begin",),
    "sound": ("The video has no sound of its own",),
    "right face": ("Face number 3 was asked for, but only 2 faces were found.",),
    "two people": ("There are 2 voices, but only one face was found.",),
    "languages": ("The voice recording is missing", "broken/voice.wav"),
    "engine bad": ("did not write a video",),
    "misspelt": ('"face" cannot be "upper"', 'there is no setting "subtitle"; possible: subtitles'),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_page_of_a_day_can_be_shown_to_anybody(
    site: Site, media: SimpleNamespace, made: SimpleNamespace, open_page: Open
) -> None:
    recipe = Installed(site.root).recipes["heygem"].model_dump(mode="json")
    engines = {"heygem": recipe, "bad": {**recipe, "environment": {"STANDIN_FAULT": "nothing"}}}
    site.configure(
        limits={"max_photo_pixels": 50_000_000}, attempts={"max_attempts": 1}, inbox={"incomplete_fail_after_h": 1},
        render={"quality": "draft", "preview_s": 1}, **{f"render.command.{name}": c for name, c in engines.items()},
    )  # fmt: skip
    long = site.drop("!long", voice__m4a=VOICE, anna__mp4=made.large)
    (long / "job.toml").write_text('quality = "high"\n')  # rendered for as long as is needed to look at it
    places = drop_all(site, made, media) | {"!long": "done"}
    site.start()
    script = site.share / "status.js"
    wait_for(lambda: "status-first-seconds-1.mp4?" in script.read_text("utf-8"), "the first seconds", PATIENCE_S)
    wrong = inspect(open_page, site.share / "status.html", "status-busy", moving=True)
    for name, place in places.items():
        report = site.finished(name, place, PATIENCE_S) / "report.html"
        wrong += inspect(open_page, report, name, SAID.get(name, ()))
    wait_for(lambda: len(site.status()["recent"]) == len(places), "all of them on the page")
    for name, file in (("status", "status.html"), ("how-to", "HOW-TO.html")):
        wrong += inspect(open_page, site.share / file, name)
    assert not wrong, "\n".join(wrong)


def inspect(open_page: Open, file: Path, name: str, said: Sequence[str] = (), moving: bool = False) -> list[str]:
    """Check a page in each language and width; return what is wrong with its words.

    said    what it says in English
    moving  it shows a video that is being rendered, whose pictures may be gone when they are looked at
    """
    wrong = []
    for (language, locale), width in product(LANGUAGES.items(), WIDTHS):
        scheme = "dark" if (language == "en") == (width == min(WIDTHS)) else "light"
        page = open_page(file, locale, scheme, width)
        page.locator("main .card").first.wait_for()
        page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_timeout(500)  # a chart takes its width, a caption its hint
        keep(page, f"{name}-{language}-{width}-{scheme}")
        assert_accessible(page)
        text = str(page.locator("main").inner_text())
        for chinese in NAMES:
            text = text.replace(chinese, "")
        wrong += [f"{name}, {language}: {line}" for line in text.splitlines() if OTHER[language].search(line)]
        wrong += [f"{name} does not say: {words}" for words in said if language == "en" and words not in text]
        if not moving:
            assert_nothing_missing(page, file)
        page.close()
    return wrong


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("HEYGEMD_SCREENS"):
        page.screenshot(path=f"{folder}/{name}.jpg".replace(" ", "-"), type="jpeg", quality=80, full_page=True)


def assert_nothing_missing(page: Page, file: Path) -> None:
    """Every picture is shown, and every link and video leads to a file, or to a place on the page."""
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth)")
    targets = page.evaluate("[...document.querySelectorAll('a[href], video')].map((e) => e.href ?? e.src)")
    for target in map(urlsplit, targets):
        where = Path(unquote(target.path))
        assert where.exists(), where
        if target.fragment:
            assert where == file and page.locator(f"[id='{target.fragment}']").count() == 1
