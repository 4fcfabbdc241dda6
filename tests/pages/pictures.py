"""Makes the HOW-TO page's images from the demo: python -m tests.pages.pictures [DEMO_FOLDER]

Runs the demo, takes screenshots of the status page in each language while it renders, and the mouths of a report.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser, sync_playwright

from heygemd.daemon.pages.html_page import PICTURES
from heygemd.i18n import catalog

from .conftest import CHROMIUM, OPTIONS

SIZE = {"width": 620, "height": 640}
PATIENCE_S = 300
QUALITY = 70


def main(folder: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    for name in ("mouths", *(f"status-{language}" for language in catalog.languages())):
        if not (PICTURES / f"{name}.webp").exists():  # the HOW-TO page of the demo needs the files
            keep(name, np.full((2, 2, 3), 127, np.uint8))
    demo = subprocess.Popen([sys.executable, "-m", "heygemd", "demo", "--folder", str(folder)])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        until_rendering(folder / "share" / "status.json")
        for language in catalog.languages():
            shoot(browser, folder / "share" / "status.html", language)
        browser.close()
    assert demo.wait(PATIENCE_S) == 0
    preview = json.loads(next((folder / "share" / "done").glob("*/.heygemd/astronaut-wide.mp4.json")).read_text())
    keep("mouths", cv2.imdecode(np.frombuffer(base64.b64decode(preview["strip"]), np.uint8), cv2.IMREAD_COLOR))


def until_rendering(status: Path) -> None:
    """Wait until one video is done and another has a picture and a remaining time."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if status.exists():
            videos = (json.loads(status.read_text())["current"] or {"videos": []})["videos"]
            if videos and videos[0]["state"] == "done" and any(v["eta_s"] and v["picture"] for v in videos):
                return
        time.sleep(0.2)
    raise SystemExit("the demo does not get to its second video")


def shoot(browser: Browser, page_file: Path, language: str) -> None:
    page = browser.new_context(locale=language, viewport=SIZE, device_scale_factor=1).new_page()
    page.goto(page_file.as_uri())
    page.locator("#now li").first.wait_for()
    keep(f"status-{language}", cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR))


def keep(name: str, image: np.ndarray) -> None:
    cv2.imwrite(str(PICTURES / f"{name}.webp"), image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-share").resolve())
