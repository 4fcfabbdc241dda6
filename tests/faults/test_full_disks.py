"""Full disks: small file systems, mounted where the daemon writes."""

import json
import os

import pytest

from tests.e2e.harness import wait_for
from tests.faults.conftest import needs_root

pytestmark = [
    needs_root(),
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.fault("F11"),
    pytest.mark.timeout(300),
]


def fill(folder):
    """Fill a disk to the last byte; return the file to remove to make room again."""
    ballast = folder / ".ballast"
    with open(ballast, "ab", buffering=0) as file:
        try:
            while True:
                file.write(os.urandom(4096))
        except OSError:
            return ballast


def paused(site):
    # The log first: with a full records disk there may never have been a status.
    return lambda: "paused" in site.log() or site.status()["state"] in ("paused", "share-unavailable")


@pytest.mark.parametrize("room", ["150k", "350k"])
def test_a_full_scratch_disk_pauses_and_costs_no_attempt(faulty, disk, room):
    cache = faulty.root / "cache"
    disk(cache, room)
    faulty.healthy("j")
    faulty.start()
    wait_for(paused(faulty), "pause")
    assert faulty.place_of("j") == ["processing"]
    os.system(f"mount -o remount,size=500m '{cache}'")
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 1
    faulty.check()


def test_a_full_share_pauses_until_there_is_room(faulty, disk):
    disk(faulty.share, "3m")
    for name in ("inbox", "processing", "done", "failed"):
        (faulty.share / name).mkdir(exist_ok=True)
    faulty.healthy("j")
    ballast = fill(faulty.share)
    faulty.start()
    wait_for(lambda: faulty.status()["state"] == "paused", "pause")
    assert "share is full" in faulty.status()["detail"]["en"]
    assert len(faulty.place_of("j")) == 1
    ballast.unlink()
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 1
    assert "cannot be used" not in faulty.log()
    faulty.check()


def test_a_full_disk_of_records_pauses_until_there_is_room(faulty, disk):
    state = faulty.root / "state"
    disk(state, "200k")
    faulty.configure(notify={"urls": ["json://localhost"], "on": ["done"]})
    process = faulty.start()
    wait_for(lambda: "READY=1" in faulty.notifications, "ready")
    faulty.healthy("j")
    wait_for(lambda: fill(state) and paused(faulty)(), "pause")  # a file that the daemon replaces frees a page
    assert len(faulty.place_of("j")) == 1
    (state / ".ballast").unlink()
    faulty.finished("j")
    assert process.poll() is None
    told = state / "outbox"
    wait_for(lambda: any(json.loads(p.read_text()).get("job") == "j" for p in told.glob("[!.]*.json")), "it is told")
    faulty.check()


def test_a_full_disk_of_logs_stops_nothing(faulty, disk):
    log = faulty.root / "log"
    disk(log, "60k")
    fill(log)
    faulty.healthy("j")
    faulty.start()
    wait_for(lambda: faulty.place_of("j") == ["done"], "done")
    faulty.check()


def test_too_little_room_on_the_share_delays_the_start_of_a_job(faulty):
    faulty.configure(limits={"free_share_gib": 1e6})
    faulty.healthy("j")
    process = faulty.start()
    wait_for(lambda: faulty.status()["state"] == "paused", "pause")
    assert "share has only" in faulty.status()["detail"]["en"]
    assert [v["attempts"] for v in faulty.records()[0]["videos"]] == [0]
    process.terminate()
    process.wait(20)
    faulty.configure()
    faulty.start()
    faulty.check()
