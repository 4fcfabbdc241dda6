"""What the page says of finished folders that staff have moved since."""

from __future__ import annotations

from pathlib import Path

import pytest

from heygemd.daemon.status import share_pages
from heygemd.job import Job, Media
from heygemd.storage import share_layout


def finished(share_root: Path, number: int, destination: str) -> Job:
    folder = share_root / destination
    folder.mkdir(exist_ok=True)
    (folder / "report.html").touch()
    voice = Media(name="voice.m4a", size=1, mtime_ns=1)
    name = folder.name
    return Job(
        id=str(number), name=name, arrived=number, folder=name, destination=destination, voice=voice, videos=[],
        phase="finished", finished=number,
    )  # fmt: skip


def test_a_link_leads_only_to_what_its_own_job_left_there(tmp_path: Path) -> None:
    share_layout.create(tmp_path)
    jobs = [finished(tmp_path, n, where) for n, where in enumerate(["done/a", "done/b", "failed/c", "done/a"])]
    assert share_pages.moved_away(tmp_path, jobs) == {"0"}
    (tmp_path / "failed" / "c").rename(tmp_path / "inbox" / "c")
    assert share_pages.moved_away(tmp_path, jobs) == {"0", "2"}


def test_a_share_that_is_away_has_lost_nothing(tmp_path: Path) -> None:
    share_layout.create(tmp_path)
    jobs = [finished(tmp_path, 1, "done/a")]
    tmp_path.joinpath(share_layout.MARKER).unlink()
    with pytest.raises(FileNotFoundError):
        share_pages.moved_away(tmp_path, jobs)
