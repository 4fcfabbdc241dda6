"""A day with photographs: what staff drop, and what they find."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from heygemd.demo import clips
from tests.faults.invariants import LedgerSite
from tests.photos import heic, jpeg, png, save

from .harness import wait_for

LIMITS = {"max_pixels": 40_000, "max_photo_pixels": 300_000}


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A portrait of 160 x 200."""
    clip = clips.Clip("anna.mp4", 160, 200, clips.Fraction(25), 0.04, 200)
    return next(iter(clips.frames(clip, clips.portrait())))


def report(folder: Path) -> str:
    return html.unescape((folder / "report.html").read_text("utf-8"))


@pytest.mark.timeout(400)
def test_each_picture_speaks_or_says_why_not(site: LedgerSite, media: SimpleNamespace, face: np.ndarray) -> None:
    site.configure(limits=LIMITS, render={"quality": "draft", "preview_s": 0.2}, pages={"refresh_s": 0.2})
    folder = site.drop("春季 photos", voice__m4a=media.voice)
    save(folder / "anna.JPG", jpeg(np.repeat(np.repeat(face, 2, 0), 2, 1), 6))
    save(folder / "苏珊.png", png(face, transparent_rows=12))
    save(folder / "wall.jpg", jpeg(np.full((120, 120, 3), 90, np.uint8)))
    save(folder / "huge.png", png(np.zeros((600, 600, 3), np.uint8)))
    save(folder / "phone.heic", heic(face))
    save(folder / "damaged.heic", heic(face)[:-100])
    page = site.share / "status.js"
    site.start()
    wait_for(lambda: re.search(r"status-picture-1\.jpg\?", page.read_text("utf-8")), "a picture on the page")
    assert (site.share / "status-picture-1.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    wait_for(lambda: "status-first-seconds-1.mp4?" in page.read_text("utf-8"), "the first seconds")
    done = site.finished("春季 photos")
    assert {path.name for path in done.glob("*.mp4")} == {"anna.mp4", "苏珊.mp4", "phone.mp4"}
    words = report(done)
    for said in (
        "(0 megapixels) was scaled to",
        "Transparent parts of the picture were put on white.",
        "No face was found in the picture.",
        "at most 0 can be used",
        '"damaged.heic" cannot be read as a picture',
        "图片中没有找到人脸。",
        "图片的透明部分已铺上白色背景。",
    ):
        assert said in words, said
    results = {v["output"]: v["result"] for r in site.records() for v in r["videos"] if v["result"]}
    anna = results["anna.mp4"]
    assert anna["width"] < anna["height"] and anna["width"] * anna["height"] <= LIMITS["max_pixels"]
    assert anna["frames"] == 25
    wait_for(lambda: not list(site.share.glob("status-picture*")) + list(site.share.glob("*.mp4")), "both are gone")
    assert {path.name for path in (done / "originals").iterdir()} >= {"anna.JPG", "苏珊.png", "voice.m4a"}


@pytest.mark.timeout(400)
def test_beside_a_video_a_picture_speaks_only_if_it_is_asked_for(
    site: LedgerSite, media: SimpleNamespace, face: np.ndarray
) -> None:
    folder = site.drop("both", voice__m4a=media.voice, ben__mp4=media.face)
    save(folder / "anna.jpg", jpeg(face))
    save(site.share / "templates" / "Susan.webp", png(face))  # known by its content
    shutil.copyfile(media.voice, site.drop("asked") / "voice.m4a")
    (site.share / "inbox" / "asked" / "presenters.txt").write_text("susan\n")
    site.start()
    done = site.finished("both")
    assert [path.name for path in done.glob("*.mp4")] == ["ben.mp4"]
    assert "Not used: anna.jpg (a picture)." in report(done)
    assert [path.name for path in site.finished("asked").glob("*.mp4")] == ["Susan.mp4"]
    (done / "job.toml").write_text('photos = ["anna.jpg"]\n')
    rendered = site.log().count(": rendered")
    done.rename(site.share / "inbox" / "both")
    done = site.finished("both")
    assert {path.name for path in done.glob("*.mp4")} == {"ben.mp4", "anna.mp4"}
    assert site.log().count(": rendered") == rendered + 1
    made = {m["source"]: m for m in json.loads((done / ".heygemd" / "manifest.json").read_bytes())["made"]}
    assert made["anna.jpg"]["settings"]["photo_motion"] == "subtle"
    assert "photo_motion" not in made["ben.mp4"]["settings"]
