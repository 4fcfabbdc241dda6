"""The page on the share in a real browser, opened as a file, offline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from heygemd.config.schema import Config, Pages, Retention
from heygemd.daemon.status import share_pages
from heygemd.daemon.status.snapshot import Health, JobView, Snapshot, VideoView
from heygemd.i18n import catalog
from heygemd.storage import share_layout

from .conftest import Open, assert_accessible

SETTINGS = Config(pages=Pages(refresh_s=1))
LANGUAGES = SETTINGS.pages.languages
SOON_MS = 20_000
HOSTILE = "<img src=x onerror=alert(1)>\u202e'\"&amp; ]]> {name} ${1}"
Write = Callable[[Snapshot], Path]


def message(code: str, **fields: object) -> catalog.Text:
    return catalog.texts(code, fields, LANGUAGES)


def stamp(age_s: float = 0) -> str:
    return (datetime.now().astimezone() - timedelta(seconds=age_s)).isoformat()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    share_layout.create(tmp_path)

    def write(snapshot: Snapshot) -> Path:
        content = share_pages.share_files(snapshot, SETTINGS)
        share_pages.write(tmp_path, {}, content, None)
        return tmp_path / "status.html"

    return write


def busy(percent: float = 10, age_s: float = 0, name: str = "spring 春") -> Snapshot:
    videos = (
        VideoView(name="anna.mp4", state="done", percent=100, link="processing/s/.heygemd/anna.mp4"),
        VideoView(name="ben.mov", state="running", phase="render", percent=percent, fps=26.4, eta_s=75),
        VideoView(name="carl.mp4", state="failed", text=message("no_face")),
        VideoView(name="dora.mp4", state="waiting"),
    )
    current = JobView(id="1", name=name, state="claimed", folder="processing", videos=videos)
    queue = (JobView(id="2", name="next one", state="ready"),)
    waiting = (JobView(id="3", name="half", state="waiting", text=message("needs_audio")),)
    health = Health(gpus=("NVIDIA H200",), share_free_gib=1234.0, disk_free_gib=3.5)
    return Snapshot(
        state="working", current=current, queue=queue, waiting=waiting, recent=finished(), health=health,
        updated=stamp(age_s),
    )  # fmt: skip


def finished() -> tuple[JobView, ...]:
    good = VideoView(name="a.mp4", state="done", link="done/a%20b/a.mp4", thumbnail="done/a%20b/.heygemd/a.mp4.jpg")
    bad = VideoView(name="b.mp4", state="failed", text=message("media_unreadable", name="b.mp4"))
    half = (replace(good, thumbnail=""), bad)
    return (
        JobView(id="8", name="a b", state="done", link="done/a%20b/report.html", videos=(good,), finished=stamp()),
        JobView(id="7", name="half", state="done", link="done/half/report.html", videos=half, finished=stamp()),
        JobView(id="9", name="bad", state="failed", link="failed/bad/report.html", videos=(bad,),
                finished="2026-01-02T03:04:05+00:00"),
    )  # fmt: skip


def test_it_shows_everything_in_the_readers_language(write: Write, open_page: Open) -> None:
    page = open_page(write(busy()))
    for words in (
        "Working", "In progress: spring 春", "1 of 4 videos done", "Rendering", "26 fps", "about 1 minute left",
        "No face was found", "next one", "The voice recording is missing", "NVIDIA H200", "1,234 GiB", "3.5 GiB",
        '"b.mp4" cannot be read', "Partly done",
    ):  # fmt: skip
        expect(page.locator("main")).to_contain_text(words, timeout=SOON_MS)
    expect(page).to_have_title("Working · heygemd")
    chinese = open_page(write(busy()), language="zh-CN")
    for words in ("处理中", "正在处理：spring 春", "缺少录音", "约剩 1", "视频中没有找到人脸"):
        expect(chinese.locator("main")).to_contain_text(words, timeout=SOON_MS)


def test_the_language_can_be_switched_and_stays(write: Write, open_page: Open) -> None:
    page = open_page(write(busy()))
    page.get_by_role("button", name="中文").click()
    expect(page.locator("main")).to_contain_text("缺少录音")
    expect(page.locator("html")).to_have_attribute("lang", "zh")
    page.reload()
    expect(page.locator("main")).to_contain_text("缺少录音", timeout=SOON_MS)


def test_progress_moves_while_the_page_is_open(write: Write, open_page: Open) -> None:
    page = open_page(write(busy(10)))
    bar = page.get_by_role("progressbar", name="ben.mov")
    expect(bar).to_have_js_property("value", 10, timeout=SOON_MS)
    write(busy(55))
    expect(bar).to_have_js_property("value", 55, timeout=SOON_MS)
    write(Snapshot(state="idle", updated=stamp()))
    expect(page.locator("main")).to_contain_text("Nothing to do.", timeout=SOON_MS)
    expect(bar).to_have_count(0)


def test_links_lead_to_the_report_and_the_video(write: Write, open_page: Open, tmp_path: Path) -> None:
    folder = tmp_path / "done" / "a b" / ".heygemd"
    folder.mkdir(parents=True)
    (folder.parent / "report.html").write_text("<!doctype html><title>here</title>")
    page = open_page(write(busy()))
    expect(page.get_by_role("link", name="anna.mp4")).to_have_attribute("href", "processing/s/.heygemd/anna.mp4")
    # The picture is not there: its link goes, no broken picture stays.
    expect(page.locator(".thumbs a")).to_have_count(0, timeout=SOON_MS)
    page.get_by_role("link", name="a b", exact=True).click()
    expect(page).to_have_title("here")


def test_a_link_leads_through_any_name(write: Write, open_page: Open, tmp_path: Path) -> None:
    name = "春季 #1, 50% off & more?"
    page_file = write(busy())
    (tmp_path / "done" / name).mkdir()
    (tmp_path / "done" / name / "report.html").write_text("<!doctype html><title>here</title>")
    job = JobView(id="1", name=name, state="done", folder="done/x", link=share_pages.link("done", name, "report.html"),
                  finished=stamp())  # fmt: skip
    write(busy().model_copy(update={"recent": (job,)}))
    page = open_page(page_file)
    page.get_by_role("link", name=name, exact=True).click()
    expect(page).to_have_title("here")


def test_a_folder_that_was_moved_away_has_no_link(write: Write, open_page: Open) -> None:
    job = JobView(id="1", name="gone", state="done", finished=stamp())
    page = open_page(write(busy().model_copy(update={"recent": (job,)})))
    expect(page.locator("#recent")).to_contain_text("The folder has since been moved away.", timeout=SOON_MS)
    expect(page.locator("#recent").get_by_role("link")).to_have_count(0)


def test_names_chosen_by_people_are_inert(write: Write, open_page: Open) -> None:
    snapshot = busy(name=HOSTILE)
    page = open_page(write(snapshot.model_copy(update={"queue": (JobView(id="x", name=HOSTILE, state="ready"),)})))
    expect(page.locator("#queue h3")).to_have_text(HOSTILE, timeout=SOON_MS)
    expect(page.locator("#now h2")).to_contain_text(HOSTILE)
    assert page.locator("main img[src=x]").count() == 0


def test_an_outdated_page_says_so(write: Write, open_page: Open) -> None:
    page = open_page(write(busy(age_s=3600)))
    expect(page.locator("#state")).to_contain_text("No update since", timeout=SOON_MS)
    write(busy())
    expect(page.locator("#state")).not_to_contain_text("No update since", timeout=SOON_MS)


def test_a_page_that_gets_no_updates_says_so(write: Write, open_page: Open) -> None:
    page = open_page(write(busy()))
    expect(page.locator("#state")).to_contain_text("Working", timeout=SOON_MS)
    page.evaluate("lastUpdateAt -= 1000 * 1000")
    expect(page.locator("#state")).to_contain_text("No update since", timeout=SOON_MS)


@pytest.mark.parametrize("state", ["idle", "paused", "share-unavailable", "stopped"])
def test_every_state_has_a_name(state: str, write: Write, open_page: Open) -> None:
    page = open_page(write(Snapshot(state=state, updated=stamp(), detail=message("share_full"))))
    expect(page.locator("#state")).to_contain_text(catalog.text(f"page_{state.replace('-', '_')}", {}), timeout=SOON_MS)
    expect(page.locator("#state")).to_contain_text("The share is full.")


def test_five_hundred_jobs_stay_usable(write: Write, open_page: Open) -> None:
    queue = tuple(JobView(id=str(n), name=f"job {n}", state="ready") for n in range(500))
    page = open_page(write(Snapshot(state="idle", queue=queue, updated=stamp())))
    expect(page.locator("#queue h2")).to_have_text("Queue (500)", timeout=SOON_MS)
    assert page.locator("#queue li").count() == 10
    page.get_by_role("button", name="Show all 500").click()
    expect(page.locator("#queue li")).to_have_count(500)
    assert page.evaluate("document.activeElement.textContent") == "job 10"
    began = time.monotonic()
    page.evaluate("for (let i = 0; i < 20; i++) { shown.queue = ''; draw(); }")
    assert time.monotonic() - began < 20  # a second for 500 rows is far beyond what a browser needs


def test_a_job_of_many_videos_leaves_room_for_the_rest(write: Write, open_page: Open) -> None:
    videos = [VideoView(name=f"{n}.mp4", state="done", percent=100) for n in range(30)]
    videos += [VideoView(name="now.mp4", state="running", phase="render", percent=5)]
    videos += [VideoView(name=f"{n}.mp4", state="waiting") for n in range(31, 60)]
    current = JobView(id="1", name="many", state="claimed", folder="processing", videos=tuple(videos))
    page = open_page(write(busy().model_copy(update={"current": current})))
    expect(page.locator("#now li")).to_have_count(10, timeout=SOON_MS)
    expect(page.locator("#now li").nth(2)).to_contain_text("now.mp4")
    page.get_by_role("button", name="Show all 60").click()
    expect(page.locator("#now li")).to_have_count(60)


@pytest.mark.parametrize(("language", "scheme", "width"), [("en", "light", 1100), ("zh", "dark", 360)])
def test_it_can_be_used_by_everybody(language: str, scheme: str, width: int, write: Write, open_page: Open) -> None:
    long = JobView(id="l", name="a_very_long_name_without_a_single_space_" * 4, state="waiting", text=message("held"))
    snapshot = busy()
    page = open_page(write(snapshot.model_copy(update={"waiting": (long, *snapshot.waiting)})), language, scheme, width)
    expect(page.locator("#now li")).to_have_count(4, timeout=SOON_MS)
    assert_accessible(page)


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_what_is_being_made_can_be_seen(
    write: Write, open_page: Open, tmp_path: Path, language: str, width: int
) -> None:
    def showing(number: int) -> Snapshot:
        snapshot = busy(10 + number)
        videos = list(snapshot.current.videos)
        live = {"picture": f"status-picture-1.jpg?{number}", "clip": "status-first-seconds-1.mp4?1"}
        videos[1] = replace(videos[1], **live)
        return snapshot.model_copy(update={"current": replace(snapshot.current, videos=tuple(videos))})

    cv2.imwrite(str(tmp_path / "status-picture-1.jpg"), np.full((480, 270, 3), 80, np.uint8))
    page = open_page(write(showing(1)), language, width=width)
    expect(page.locator("#now img[src$='?1']")).to_be_visible(timeout=SOON_MS)
    write(showing(2))
    expect(page.locator("#now img[src$='?2']")).to_be_visible(timeout=SOON_MS)
    assert_accessible(page)
    expect(page.locator("#now p a")).to_have_attribute("href", "status-first-seconds-1.mp4?1")
    write(busy(99))
    expect(page.locator("#now img")).to_have_count(0, timeout=SOON_MS)


def test_programs_get_the_same_as_json_with_a_schema(write: Write) -> None:
    page = write(busy())
    data = json.loads(page.with_name("status.json").read_bytes())
    assert Snapshot.model_validate(data).current.videos[1].percent == 10
    documented = json.loads((Path(__file__).parents[2] / "docs" / "status.schema.json").read_text())
    assert documented == Snapshot.model_json_schema(mode="serialization")


def test_only_what_changed_is_written_and_what_was_deleted_comes_back(tmp_path: Path) -> None:
    share_layout.create(tmp_path)
    written: dict[str, bytes] = {}
    for percent in (10, 20):
        share_pages.write(tmp_path, written, share_pages.share_files(busy(percent), SETTINGS), None)
        if percent == 10:
            before = (tmp_path / "status.html").stat().st_mtime_ns
    assert (tmp_path / "status.html").stat().st_mtime_ns == before
    (tmp_path / "status.html").unlink()
    share_pages.write(tmp_path, written, share_pages.share_files(busy(20), SETTINGS), None)
    assert (tmp_path / "status.html").exists()


def test_the_how_to_promises_only_what_the_settings_keep() -> None:
    promise = b"never changed or deleted"
    cleared = SETTINGS.model_copy(update={"retention": Retention(done_days=30, action="delete")})
    assert promise in share_pages.share_files(busy(), SETTINGS)[share_pages.HOW_TO]
    assert promise not in share_pages.share_files(busy(), cleared)[share_pages.HOW_TO]


def test_nothing_is_written_where_the_share_should_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        share_pages.write(tmp_path, {}, share_pages.share_files(busy(), SETTINGS), None)
    assert not list(tmp_path.iterdir())
