"""report.html in a real browser, made of records as the daemon keeps them."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from heygemd.config.job_toml import JobSettings
from heygemd.config.schema import Config
from heygemd.daemon.pages import html_page
from heygemd.daemon.publish import report as reports
from heygemd.errors import EngineError
from heygemd.job import Job, Media, Problem, Video
from heygemd.protocol import Notice, Preview, Result

from .conftest import Open, assert_accessible

HOSTILE = "<img src=x onerror=alert(1)><b>.mp4"


def picture(height: int, width: int) -> str:
    _, data = cv2.imencode(".jpg", np.full((height, width, 3), 127, np.uint8))
    return base64.b64encode(data.tobytes()).decode()


def preview(seconds: int = 4) -> Preview:
    curve = tuple(round(0.5 + 0.5 * float(np.sin(n / 3)), 3) for n in range(25 * seconds))
    return Preview(
        moments_s=(0.5, 2.0), strip=picture(288, 288), thumbnail=picture(180, 320), curve_hz=25,
        lips=(*curve[:30], *[None] * 20, *curve[50:]), voice=curve,
    )  # fmt: skip


def result(offset_ms: float | None = -20) -> Result:
    return Result(
        frames=100, fps="25/1", duration_s=4, width=1280, height=720, offset_ms=offset_ms, offset_confidence=2,
        control_shift_ms=190,
        engine="mesh", tracker="facemesh", seconds={"analyse": 1.5, "prepare": 0.2, "render": 3.0, "measure": 0.4},
    )  # fmt: skip


def media(name: str) -> Media:
    return Media(name=name, size=1, mtime_ns=1)


def job(*videos: Video, problem: Problem | None = None, language: str | None = None) -> Job:
    return Job(
        id="1", name="spring <b>", arrived=1, folder="spring", voice=media("voice.m4a"), videos=list(videos),
        problem=problem, settings=JobSettings(language=language), finished=1_800_000_000,
    )  # fmt: skip


def mixed() -> Job:
    turned = [
        Notice(code="face_turned", fields={"ranges": [[12.0, 14.0]]}),
        Notice(code="below_720p", fields={"width": 640, "height": 360}),
        Notice(code="voice_longer", fields={"voice_s": 6.8, "video_s": 6.0}),
    ]
    good = Video(source=media("anna.mp4"), output="anna.mp4", state="done", attempts=1, result=result(), notices=turned)
    hostile = Video(source=media(HOSTILE), output="_b_.mp4", state="done", attempts=2, result=result(None))
    bad = Video(source=media("ben.mov"), output="ben.mp4", state="failed", problem=Problem(code="no_face"))
    return job(good, hostile, bad)


@pytest.fixture
def report(tmp_path: Path):
    def made(record: Job) -> Path:
        previews = {video.output: preview() for video in record.videos if video.state == "done"}
        files = reports.make(record, Config(), tmp_path / "log", previews, {})
        (tmp_path / "report.html").write_bytes(files.report)
        return tmp_path / "report.html"

    return made


def test_a_mixed_job_is_explained(report, open_page: Open) -> None:
    page = open_page(report(mixed()))
    for words in (
        "2 of 3 videos done", "No face was found in the video.", "What to do", "Use a video that shows the presenter's",
        "20 ms ahead of the voice", "The face is turned far to the side at 0:12–0:14", "To try again",
        "could not be measured", "longer than the video (6 s).",
        "The video is played forwards and backwards until the voice ends.",
    ):  # fmt: skip
        expect(page.locator("main")).to_contain_text(words)
    expect(page.get_by_text("发生了什么")).to_be_hidden()
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_text("发生了什么")).to_be_visible()
    expect(page.get_by_text("What happened")).to_be_hidden()


def test_it_shows_pictures_chart_and_player(report, open_page: Open) -> None:
    page = open_page(report(mixed()))
    assert page.locator("img.strip").first.evaluate("image => image.naturalWidth") == 288
    assert page.locator("video").first.get_attribute("src") == "anna.mp4"
    curves = page.locator(".chart").first.locator("svg .series path.line")
    assert curves.count() == 3  # the lips' curve has a hole where no face was seen, the voice's has none
    lips, voice = (curves.nth(n).evaluate("path => getComputedStyle(path).stroke") for n in (0, 2))
    assert lips != voice


def test_a_chart_wider_than_the_window_says_that_it_moves(report, open_page: Open) -> None:
    def hint(page: Page) -> Locator:
        return page.locator("section.part").get_by_text("scroll sideways").first

    expect(hint(open_page(report(mixed()), width=1100))).to_be_hidden()
    phone = open_page(report(mixed()), width=360)
    expect(hint(phone)).to_be_visible()
    phone.set_viewport_size({"width": 1100, "height": 900})
    expect(hint(phone)).to_be_hidden()


def test_a_chart_of_the_start_alone_says_so(tmp_path: Path) -> None:
    long = Video(
        source=media("a.mp4"), output="a.mp4", state="done", result=result().model_copy(update={"duration_s": 90})
    )
    start = reports.make(job(long), Config(), tmp_path / "log", {"a.mp4": preview(60)}, {}).report.decode()
    assert "the first 60 s" in start
    complete = reports.make(mixed(), Config(), tmp_path / "log", {"anna.mp4": preview()}, {}).report.decode()
    assert "the first 4 s" not in complete


def test_names_chosen_by_people_are_inert(report, open_page: Open) -> None:
    page = open_page(report(mixed()))
    expect(page).to_have_title("spring <b>")
    expect(page.locator("#v2")).to_contain_text(HOSTILE)


def test_a_failed_folder_says_why_and_shows_no_results(report, open_page: Open) -> None:
    page = open_page(report(job(problem=Problem(code="too_many_files", fields={"count": 99, "limit": 64}))))
    expect(page.locator("main")).to_contain_text("The folder contains 99 media files")
    expect(page.locator("main")).to_contain_text("Split it")
    assert page.locator("video").count() == 0
    assert_accessible(page)


def test_an_incomplete_installation_is_no_fault_of_the_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(html_page, "PICTURES", tmp_path)
    html_page._picture.cache_clear()
    with pytest.raises(EngineError, match="asset_missing"):
        html_page.render_page("how-to.html", ["en"], limit=1, cleared=False, why_note="", audio=[], video=[])
    with pytest.raises(EngineError, match="asset_missing"):
        html_page.render_page("no-such.html", ["en"])


def test_one_language_where_the_job_asks_for_it(report, open_page: Open) -> None:
    page = open_page(report(job(problem=Problem(code="no_audio"), language="zh")))
    expect(page.locator("main")).to_contain_text("文件没有可用的音频轨")
    assert page.locator("[lang=en]").count() == 0
    assert page.locator(".languages button").count() == 0


def test_without_scripts_all_languages_are_shown(report, browser) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(report(mixed()).as_uri())
    for words in ("What happened", "发生了什么"):
        expect(page.get_by_text(words)).to_be_visible()
    page.close()


@pytest.mark.parametrize(("language", "scheme", "width"), [("en", "dark", 1100), ("zh", "light", 360)])
def test_it_can_be_used_by_everybody(language: str, scheme: str, width: int, report, open_page: Open) -> None:
    page = open_page(report(mixed()), language, scheme, width)
    page.locator("details").first.evaluate("details => details.open = true")
    assert_accessible(page)
    checked = {
        "en": "shifted by 200 ms, the measured offset changes by 190 ms",
        "zh": "声音移动 200 毫秒时，测得的偏差变化 190 毫秒",
    }
    expect(page.locator("details").first).to_contain_text(checked[language])


def test_a_batch_is_a_line_for_each_part_and_can_be_used_by_everybody(report, open_page: Open) -> None:
    said = {"source": media("anna.mov"), "voice": media("v.wav")}
    good = Video(**said, output="zh/anna.mp4", state="done", attempts=1, result=result())
    bad = Video(**said, output="en/anna.mp4", state="failed", problem=Problem(code="no_face"))
    empty = Video(source=media(""), output="fr/", state="failed", problem=Problem(code="needs_audio"))
    batch = job(good, bad, empty)
    batch.voice = media("")
    page = open_page(report(batch), width=360)
    expect(page.get_by_text("Batch of 2 voice recordings")).to_be_visible()
    first = page.locator("article").first
    expect(first.get_by_role("link")).to_have_attribute("href", "zh/anna.mp4")
    expect(first.locator("video")).to_be_hidden()
    expect(page.get_by_text("No face was found in the video.")).to_be_visible()
    first.get_by_text("More").click()
    expect(first.locator("video")).to_be_visible()
    assert_accessible(page)


def test_the_check_for_everybody_can_fail(tmp_path: Path, open_page: Open) -> None:
    (tmp_path / "bad.html").write_text(
        "<!doctype html><html lang=en><title>x</title><main><h1>x</h1><img src=''></main>"
    )
    with pytest.raises(AssertionError, match="image-alt"):
        assert_accessible(open_page(tmp_path / "bad.html"))
