"""What is shown of a running video: beside the page while it runs, gone afterwards."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from heygemd.daemon.intake.misplaced import find_beside
from heygemd.daemon.queue_state import RunningVideo
from heygemd.daemon.status import live_view
from heygemd.job import Job, Media, Video
from heygemd.protocol import FirstSeconds, LivePicture
from heygemd.storage import share_layout


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def running() -> list[RunningVideo]:
    media = [Media(name=name, size=1, mtime_ns=1) for name in ("v.wav", "a.jpg", "b.jpg")]
    videos = [Video(source=each, output=f"{each.title}.mp4") for each in media[1:]]
    job = Job(id="j", name="j", folder="j", arrived=1, voice=media[0], videos=videos)
    return [RunningVideo(job, video) for video in videos]


def test_links_change_with_what_they_show(running: list[RunningVideo]) -> None:
    first, second = running
    assert live_view.links(running, first) == ("", "")
    seen = set()
    for run in running:
        for count in (1, 2):
            run.picture, run.pictures = LivePicture(jpeg=encoded(b"\xff\xd8")), count
            seen.add(live_view.links(running, run)[0])
    assert len(seen) == 4
    second.first_seconds = FirstSeconds(mp4=encoded(b"film"))
    assert live_view.links(running, second)[1].startswith("status-first-seconds-2.mp4?")
    assert live_view.links(running, first)[1] == ""


def test_files_come_and_go_with_the_videos_and_what_a_crash_left_goes(
    tmp_path: Path, running: list[RunningVideo]
) -> None:
    share_layout.create(tmp_path)
    (tmp_path / "status-picture-7.jpg").write_bytes(b"left")
    (tmp_path / "status-picture.jpg").write_bytes(b"a user's")
    running[0].picture = LivePicture(jpeg=encoded(b"\xff\xd8"))
    running[0].first_seconds = FirstSeconds(mp4=encoded(b"film"))
    shown = live_view.write(tmp_path, None, live_view.files(running), None)
    there = {path.name for path in tmp_path.glob("status-*")}
    assert there == {"status-picture.jpg", "status-picture-1.jpg", "status-first-seconds-1.mp4"}
    assert find_beside(tmp_path, "") == []
    shown = live_view.write(tmp_path, shown, {}, None)
    assert shown == {}
    assert {path.name for path in tmp_path.glob("status-*")} == {"status-picture.jpg"}


def test_a_folder_in_its_place_costs_the_picture_only(tmp_path: Path, running: list[RunningVideo]) -> None:
    share_layout.create(tmp_path)
    (tmp_path / "status-picture-1.jpg").mkdir()
    (tmp_path / "status-picture-1.jpg" / "mine.txt").write_text("x")
    running[0].picture = LivePicture(jpeg=encoded(b"\xff\xd8"))
    live_view.write(tmp_path, None, live_view.files(running), None)
    assert [path.read_text() for path in tmp_path.rglob("mine.txt")] == ["x"]


def test_nothing_is_written_where_the_share_should_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        live_view.write(tmp_path, None, {"status-picture-1.jpg": b"x"}, None)
    assert not list(tmp_path.iterdir())
