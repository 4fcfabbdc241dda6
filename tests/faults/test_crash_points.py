"""kill -9 before each change that the daemon makes to a disk, from the claim to the finished folder.

HEYGEMD_CRASH_STRIDE (default 6; `make faults` uses 1): the number of changes from one kill to the next.
"""

import os
import shutil
import signal

import pytest

from tests.e2e.harness import wait_for

STRIDE = int(os.environ.get("HEYGEMD_CRASH_STRIDE", "6"))


def recorded(site, name):
    """Whether the job is done and its record says so. A kill may still happen between the two."""
    ends = [job["phase"] for job in site.records() if job["name"] == name]
    return site.place_of(name) == ["done"] and set(ends) == {"finished"}


@pytest.mark.slow
@pytest.mark.fault("CRASH")
@pytest.mark.timeout(3600)
def test_a_kill_before_any_change_of_the_disk_loses_nothing(faulty, media, record_property):
    """The folder already has its results, so it is claimed, classified and published, but nothing is rendered."""
    faulty.configure(attempts={"daemon_crash_limit": 3})
    folder = faulty.drop("first", voice__m4a=media.voice, anna__mp4=media.face)
    (folder / "notes.txt").write_text("for Ben")
    faulty.ledger.note(folder)
    process = faulty.start()
    pattern = faulty.finished("first")
    process.terminate()
    assert process.wait(20) == 0
    before, fired = 0, True
    while fired:
        name = f"job {before}"
        shutil.copytree(pattern, faulty.share / "inbox" / name)
        (faulty.share / "inbox" / name / "new.txt").write_text(name)
        faulty.ledger.note(faulty.share / "inbox" / name)
        faulty.inject({"call": "change", "where": "any", "error": "kill", "after": before, "times": 1})
        process = faulty.start()
        wait_for(lambda p=process, n=name: p.poll() is not None or recorded(faulty, n), name)
        fired = process.poll() == -signal.SIGKILL
        faulty.inject()
        if fired:
            process = faulty.start()
        faulty.finished(name)
        process.terminate()
        fired = process.wait(60) == -signal.SIGKILL or fired  # the kill may have come after the job's end
        faulty.ledger.check()
        shutil.rmtree(faulty.share / "done" / name)
        faulty.ledger.forget(name)
        before += STRIDE
    record_property("times", before // STRIDE)
    record_property(
        "summary", f"crash: {before} changes of a disk from start to finished folder, every {STRIDE}. tried"
    )
    assert before > 20
    assert faulty.log().count(": rendered") == 1
    faulty.start()
    faulty.check()
