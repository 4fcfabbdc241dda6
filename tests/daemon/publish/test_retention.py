"""Old folders go only when asked, only ours, and only as planned."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heygemd.config import loader
from heygemd.config.schema import Config, Paths, Render, Retention
from heygemd.daemon.intake.manifest import compose
from heygemd.daemon.publish import retention
from heygemd.errors import ConfigError
from heygemd.job import Job, Media
from heygemd.storage import share_layout, transfer
from tests.e2e.harness import Site, wait_for

DAY_S = retention.DAY_S
NOW = time.time()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    share_layout.create(tmp_path / "share")
    return tmp_path


def finished(place: Path, where: str, name: str, days: float, size: int = 1000) -> Path:
    folder = place / "share" / where / name
    folder.mkdir()
    (folder / "anna.mp4").write_bytes(b"x" * size)
    for paper in ("report.html", "HEYGEMD-log.txt"):
        (folder / paper).write_text("")
        os.utime(folder / paper, (NOW - days * DAY_S,) * 2)
    return folder


def settings(place: Path, **rules: object) -> Config:
    return Config(paths=Paths(share=place / "share"), retention=Retention(**rules))


def plan(chosen: Config, known: dict[str, float] | None = None) -> list[retention.RetentionStep]:
    return transfer.finish(retention.plan(chosen, NOW, known or {}))


def apply(chosen: Config, steps: list[retention.RetentionStep]) -> None:
    for step in steps:
        transfer.finish(retention.carry_out(chosen, step))


def names(steps: list[retention.RetentionStep]) -> list[str]:
    return [step.folder.name for step in steps]


def test_nothing_goes_by_default(place: Path) -> None:
    finished(place, "done", "old", 4000)
    assert not retention.enabled(Config())
    assert plan(settings(place)) == []


def test_what_is_older_goes_and_others_folders_stay(place: Path) -> None:
    old, new = finished(place, "done", "old", 31), finished(place, "done", "new", 29)
    bad = finished(place, "failed", "bad", 400)
    foreign = place / "share" / "done" / "staff's own"
    foreign.mkdir()
    os.utime(foreign, (0, 0))
    (place / "share" / "done" / "link").symlink_to(old)
    chosen = settings(place, done_days=30, action="delete")
    steps = plan(chosen)
    assert names(steps) == ["old"]
    assert old.exists()
    apply(chosen, steps)
    assert not old.exists()
    assert new.exists() and bad.exists() and foreign.exists()


def remember(folder: Path, days: float) -> None:
    """Write a manifest as publishing does."""
    voice, when = Media(name="v.wav", size=1, mtime_ns=1), NOW - days * DAY_S
    job = Job(id="x", name="x", folder="x", arrived=when, voice=voice, videos=[], finished=when)
    (folder / ".heygemd").mkdir()
    (folder / ".heygemd" / "manifest.json").write_bytes(compose(job, Render(), {}))


def test_a_server_whose_clock_was_reset_ages_nothing(place: Path) -> None:
    """Its times are of 1970, or years back, or ahead; our own finish time counts, in the record and the manifest."""
    chosen = settings(place, done_days=30, failed_days=30, action="delete")
    for name, days in (("1970", NOW / DAY_S), ("recorded", 400), ("in the manifest", 400)):
        finished(place, "done", name, days=days)
    remember(place / "share" / "done" / "in the manifest", days=1)
    assert plan(chosen, {"done/recorded": NOW - DAY_S}) == []
    finished(place, "failed", "old", days=-400)  # written "next year"
    finished(place, "done", "old too", days=0)
    remember(place / "share" / "done" / "old too", days=31)
    steps = plan(chosen, {"done/recorded": NOW - DAY_S, "failed/old": NOW - 31 * DAY_S})
    assert names(steps) == ["old too", "old"]


def test_beyond_a_size_the_oldest_go_first(place: Path) -> None:
    for number in range(4):
        finished(place, "done", f"job {number}", days=number, size=1 << 20)
    chosen = settings(place, max_gib=2.5 / 1024, action="delete")
    assert names(plan(chosen)) == ["job 3", "job 2"]


def test_an_archive_replaces_nothing(place: Path) -> None:
    archive = place / "archive"
    chosen = settings(place, done_days=1, archive_folder=str(archive))
    for _ in range(2):
        finished(place, "done", "same", 5)
        apply(chosen, plan(chosen))
    assert sorted(p.name for p in (archive / "done").iterdir()) == ["same", "same (2)"]
    assert (archive / "done" / "same" / "anna.mp4").stat().st_size == 1000


def test_what_cannot_go_is_left_for_the_next_time(place: Path) -> None:
    old = finished(place, "done", "old", 31)
    chosen = settings(place, done_days=30, archive_folder=str(place / "file" / "below"))
    (place / "file").write_text("")
    apply(chosen, plan(chosen))
    assert old.exists()


def test_an_archive_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[retention]\ndone_days = 30\n")
    with pytest.raises(ConfigError) as caught:
        loader.load(path)
    assert "needs archive" in str(caught.value.fields["mistakes"])


def test_the_command_only_shows(place: Path) -> None:
    old = finished(place, "done", "old", 31)
    path = place / "config.toml"
    path.write_text(f'[paths]\nshare = "{place / "share"}"\n[retention]\ndone_days = 30\naction = "delete"\n')
    command = [sys.executable, "-m", "heygemd", "retention", "--config", str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "delete" in shown and "old" in shown and "31 days" in shown
    assert old.exists()


def test_nothing_goes_unannounced(place: Path) -> None:
    finished(place, "done", "old", 31)
    chosen, announcements = settings(place, done_days=30, action="delete", notice_h=1), retention.Announcements()
    assert announcements.due(chosen, plan(chosen), 100.0) == []
    assert announcements.due(chosen, plan(chosen), 3600.0) == []
    assert names(announcements.due(chosen, plan(chosen), 3701.0)) == ["old"]
    assert announcements.due(chosen, [], 4000.0) == []  # somebody took it away
    assert announcements.due(chosen, plan(chosen), 9000.0) == []


def test_a_running_daemon_announces_and_does_it(place: Path) -> None:
    old, new = finished(place, "done", "old", 31), finished(place, "failed", "new", 29)
    archive, soon_s = place / "archive", 2
    rules = {"done_days": 30, "failed_days": 30, "archive_folder": str(archive), "notice_h": soon_s / 3600}
    site = Site(place, retention=rules)
    try:
        site.start()
        wait_for((archive / "done" / "old" / "anna.mp4").exists, "the archived folder")
        wait_for(lambda: "moved to" in site.log(), "a line in the log")
        said = [line.split("retention: ")[1] for line in site.log().splitlines() if "retention: " in line]
    finally:
        site.close()
    assert said[0].startswith("archive in 0.0005") and str(old) in said[0]
    assert said[1].startswith(f"moved to {archive}: {old}")
    assert len(said) == 2
    assert new.exists() and not old.exists()
