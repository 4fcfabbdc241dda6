"""Damaged records, logs moved or deleted by others, clocks that jump, names that are taken."""

import json
import os
import shutil
import signal
import time

import pytest

from heygemd.daemon.intake.filename_rules import LOOSE_NOTE, WHY_NOTE
from tests.e2e.harness import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def newer(text):
    record = json.loads(text)
    record["schema"] += 1
    return json.dumps(record)


DAY_S = 86_400.0
DAMAGE = {
    "truncated": lambda text: text[: len(text) // 2],
    "garbage": lambda text: "\x00\xff{]" * 30,
    "empty": lambda text: "",
    "newer": newer,
    "changed": lambda text: text.replace('"attempts": 1', '"attempts": 0'),
    "list": lambda text: "[1, 2]",
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.fault("F29")
@pytest.mark.parametrize(("damage", "point"), [*((damage, "copy-in") for damage in DAMAGE), ("truncated", "publish")])
def test_a_damaged_record_costs_no_job(faulty, damage, point):
    faulty.healthy("j")
    assert faulty.start(fault=point).wait(60) == -signal.SIGKILL
    [path] = (faulty.root / "state" / "jobs").glob("*.json")
    path.write_bytes(DAMAGE[damage](path.read_text()).encode("latin-1"))
    faulty.start()
    faulty.finished("j")
    assert list(path.parent.glob("*.corrupt-*"))
    faulty.check()


@pytest.mark.fault("F28")
def test_a_log_file_may_be_deleted_or_moved_by_others(faulty):
    faulty.start()
    path = faulty.root / "log" / "heygemd.log"
    wait_for(lambda: "serves" in path.read_text(), "log")
    path.rename(path.with_suffix(".1"))
    faulty.healthy("one")
    faulty.finished("one")
    assert "rendered" in path.read_text()
    path.unlink()
    faulty.healthy("two")
    faulty.finished("two")
    assert "rendered" in path.read_text()
    shutil.rmtree(path.parent)
    faulty.check()


@pytest.mark.fault("F25")
def test_files_of_any_year_are_served(faulty, media):
    for name, year in (("old", 1980), ("epoch", 1970), ("future", 2099)):
        when = (year - 1970) * 365.25 * 86400 + 1
        for path in (*faulty.healthy(name).iterdir(), faulty.share / "inbox" / name):
            os.utime(path, (when, when))
    faulty.start()
    for name in ("old", "epoch", "future"):
        faulty.finished(name)
    faulty.check()


@pytest.mark.fault("F25")
@pytest.mark.parametrize("jump", [-DAY_S, DAY_S])
def test_a_clock_that_jumps_while_a_job_is_rendered_and_waits_for_its_retry(faulty, clock, jump):
    faulty.configure(attempts={"retry_backoff_s": [2.0]})
    faulty.healthy("j")
    faulty.start(fault="render:kill", **clock.environment)
    wait_for(lambda: "retrying in 2 s" in faulty.log(), "first attempt")
    clock.jump(jump)
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 2
    faulty.check()


@pytest.mark.fault("F17")
def test_a_name_that_is_taken_gets_a_number_in_done_and_in_failed(faulty, media):
    for ours in (faulty.share / "status.json", faulty.share / "inbox" / LOOSE_NOTE):
        ours.mkdir()  # a folder blocks the file, and the daemon goes on without it
    (faulty.share / "inbox" / "loose.mp4").touch()
    for place in ("done", "failed", "processing"):
        for name in ("good", "BAD"):
            (faulty.share / place / name).mkdir()
            (faulty.share / place / name / "staff.txt").write_text("mine")
    faulty.healthy("good")
    faulty.drop("bad", voice__m4a=media.voice, a__mp4=media.no_face)
    faulty.ledger.jobs.clear()
    faulty.start()
    good = wait_for(lambda: list((faulty.share / "done").glob("good (2)")), "good (2)")[0]
    bad = wait_for(lambda: list((faulty.share / "failed").glob("bad (2)")), "bad (2)")[0]
    assert (good / "anna.mp4").exists()
    assert (bad / WHY_NOTE).exists()
    for place in ("done", "failed"):
        for name in ("good", "BAD"):
            assert [p.name for p in (faulty.share / place / name).iterdir()] == ["staff.txt"]
            shutil.rmtree(faulty.share / place / name)
    time.sleep(1)
    faulty.check()
