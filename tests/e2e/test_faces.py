"""Several people in one picture, from the folder to the report."""

from __future__ import annotations

import html
import shutil
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.invariants import LedgerSite
from tests.render.anna import pair

from .harness import wait_for


@pytest.mark.timeout(240)
def test_the_report_shows_the_faces_and_how_to_choose(site: LedgerSite, media: SimpleNamespace) -> None:
    clip = pair(site.root / "pair.mp4", 1)
    folder = site.drop("panel", voice__m4a=media.voice, pair__mp4=clip, other__mp4=clip)
    (folder / "job.toml").write_text('face = "right"\n[videos."other.mp4"]\nface = 3\n')
    talk = site.drop("talk", left__m4a=media.voice, pair__mp4=clip)
    shutil.copyfile(media.voice, talk / "右.m4a")
    site.start()
    done = site.finished("panel")
    page = html.unescape((done / "report.html").read_text("utf-8"))
    assert page.count("视频中的人脸") == 2
    for words in (
        "In colour: who speaks (2).",
        '[videos."pair.mp4"]\nface = 1',
        "Face number 3 was asked for, but only 2 faces were found.",
        "The faces are numbered from left to right.",
    ):
        assert words in page, words
    (job,) = [record for record in site.records() if record["folder"] == "panel"]
    assert [video["faces"] for video in job["videos"]] == [2, 2]
    hidden = done / ".heygemd"
    assert (hidden / "pair.mp4.faces.jpg").read_bytes()[:2] == b"\xff\xd8"

    def listed() -> list[dict[str, Any]]:
        return [job for job in site.status()["recent"] if job["name"] == "panel"]

    (recent,) = wait_for(listed, "the job on the status page")
    shown = {video["name"]: video["faces"] for video in recent["videos"]}
    assert shown == {"pair.mp4": "done/panel/.heygemd/pair.mp4.faces.jpg", "other.mp4": ""}
    (done / "job.toml").write_text('face = "right"\n')
    done.rename(site.share / "inbox" / "panel")
    site.finished("panel")
    talked = site.finished("talk")
    page = html.unescape((talked / "report.html").read_text("utf-8"))
    assert "left.m4a, 右.m4a" in page and "<b>右.m4a:</b>" in page and "In colour: who speaks (1 and 2)." in page
    assert '[[speakers]]\nvoice = "left.m4a"\nface = 2\n\n[[speakers]]\nvoice = "右.m4a"\nface = 1' in page
    assert {path.name for path in (talked / "originals").iterdir()} == {"left.m4a", "右.m4a", "pair.mp4"}
    assert site.log().count(": rendered") == 3
