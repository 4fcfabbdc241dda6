"""A long queue: all of it is classified, an urgent job goes first, and the daemon stays small.

HEYGEMD_QUEUED (default 100; `make faults` uses 1000): the number of folders. See also tests/bench/bench_long_queue.py.
"""

import os

import psutil
import pytest

from tests.e2e.harness import wait_for

QUEUED = int(os.environ.get("HEYGEMD_QUEUED", "100"))
MEMORY_LIMIT = 150e6


@pytest.mark.slow
@pytest.mark.fault("F30")
@pytest.mark.timeout(300 + QUEUED * 2)
def test_an_urgent_job_overtakes_a_long_queue(faulty, media, record_property):
    faulty.configure(inbox={"poll_s": 2})
    (faulty.share / "inbox" / "PAUSE").touch()
    for number in range(QUEUED):
        folder = faulty.share / "inbox" / f"queued {number:04d}"
        folder.mkdir()
        os.link(media.voice, folder / "voice.m4a")
        os.link(media.face, folder / "anna.mp4")
        faulty.ledger.note(folder)
    process = psutil.Process(faulty.start().pid)
    ready = lambda: sum(job["state"] == "ready" for job in faulty.status()["queue"])  # noqa: E731
    wait_for(lambda: ready() == QUEUED, "the queue classified", 60 + QUEUED)
    faulty.healthy("!urgent")
    wait_for(lambda: ready() == QUEUED + 1, "the urgent job too")
    (faulty.share / "inbox" / "PAUSE").unlink()
    faulty.finished("!urgent")
    assert process.memory_info().rss < MEMORY_LIMIT
    assert os.listdir(faulty.share / "done") == ["!urgent"]
    faulty.ledger.check()
    record_property("times", QUEUED)
