"""The share disappears, becomes read-only, returns errors, hangs, or spans several file systems."""

import shutil
import time

import psutil
import pytest

from tests.e2e.harness import wait_for
from tests.e2e.test_ownership import foreign, own  # noqa: F401
from tests.faults.conftest import needs_root

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def stopped_at(site, point):
    """Start a daemon that stops itself at a fault point; return it once it has stopped."""
    process = site.start(fault=f"{point}:hang")
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, point)
    return process


def unavailable(site):
    return lambda: site.status()["state"] == "share-unavailable"


@needs_root()
@pytest.mark.root
@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    "point",
    ["discover", "claim", "copy-in", "daemon-render", "keep", "publish"],
)
def test_an_unmounted_share_costs_no_attempt_and_no_file(faulty, point):
    faulty.on_mount()
    faulty.healthy("j")
    process = stopped_at(faulty, point)
    faulty.unmount(process)
    psutil.Process(process.pid).resume()
    wait_for(unavailable(faulty), "noticed")
    time.sleep(1)
    assert not list(faulty.point.iterdir()), "something was made where the share should be"
    faulty.mount(process)
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 1
    assert process.poll() is None
    faulty.check()


@needs_root()
@pytest.mark.root
@pytest.mark.fault("F12")
@pytest.mark.parametrize("point", ["discover", "rendered"])
def test_a_share_that_becomes_read_only_is_waited_for(faulty, point):
    faulty.on_mount()
    faulty.healthy("j")
    process = stopped_at(faulty, point)
    faulty.in_namespace(process, "mount", "-o", "remount,bind,ro", faulty.point)
    psutil.Process(process.pid).resume()
    wait_for(lambda: "Read-only" in faulty.log(), "noticed")
    time.sleep(1)
    faulty.in_namespace(process, "mount", "-o", "remount,bind,rw", faulty.point)
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 1
    faulty.check()


CALLS = ["scandir", "open", "read", "rename", "replace", "fsync", "stat", "mkdir"]
ERRORS = ["ESTALE", "EIO", "EHOSTDOWN", "ETIMEDOUT", "EBUSY", "EDQUOT", "ENOTCONN", "EACCES"]


@pytest.mark.fault("F14")
@pytest.mark.parametrize("call", CALLS)
def test_errors_of_a_network_share_are_waited_out(faulty, call, record_property):
    """A real job under the first error, then a folder with finished results for each of the others."""
    faulty.healthy("first")
    faulty.inject({"call": call, "error": ERRORS[0], "after": 1, "times": 3})
    faulty.start()
    done = faulty.finished("first")
    for number, error in enumerate(ERRORS[1:]):
        before = len(faulty.fired())
        faulty.inject({"call": call, "error": error, "after": number % 2, "times": 2 + number % 3})
        again = faulty.share / "inbox" / f"again {error}"
        shutil.copytree(done, again.with_name("_copying"))
        again.with_name("_copying").rename(again)
        faulty.ledger.note(again)
        faulty.finished(again.name)
        assert len(faulty.fired()) > before, f"{call} {error} did not happen"
    assert faulty.log().count(": rendered") == 1
    record_property("times", len(ERRORS))
    faulty.inject()
    faulty.check()


@pytest.mark.fault("F14")
@pytest.mark.parametrize(("call", "error"), [("", "ESTALE"), ("", "EIO"), ("", "EACCES"), ("read", "EBUSY")])
def test_errors_while_a_job_is_rendered_cost_no_attempt(faulty, call, error):
    faulty.healthy("j")
    process = stopped_at(faulty, "claim")
    faulty.inject({"call": call, "error": error, "after": 3, "times": 4})
    psutil.Process(process.pid).resume()
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 1
    faulty.check()


@pytest.mark.fault("F15")
def test_a_call_that_hangs_is_reported_while_the_watchdog_is_fed(faulty):
    faulty.configure(inbox={"io_deadline_s": 1})
    faulty.start()
    wait_for(lambda: any(note.startswith("STATUS=idle") for note in faulty.notifications), "idle")
    faulty.inject({"call": "scandir", "error": "hang", "seconds": 8, "times": 1})
    faulty.healthy("j")
    wait_for(unavailable(faulty), "reported", 6)
    pings = faulty.notifications.count("WATCHDOG=1")
    time.sleep(3)
    assert faulty.notifications.count("WATCHDOG=1") >= pings + 2
    faulty.finished("j")
    faulty.check()


@needs_root()
@pytest.mark.root
@pytest.mark.fault("F16")
@pytest.mark.parametrize("place", ["done", "processing", "inbox"])
def test_folders_on_different_file_systems_are_moved_by_verified_copies(faulty, disk, place):
    disk(faulty.share / place, "50m")
    faulty.healthy("j")
    faulty.start()
    done = faulty.finished("j")
    assert {p.name for p in (done / "originals").iterdir()} == {"anna.mp4", "voice.m4a"}
    faulty.check()


@pytest.mark.root
@pytest.mark.fault("F12")
def test_a_read_only_done_is_explained_and_used_once_fixed(foreign, media):  # noqa: F811
    own(foreign.drop("j", voice__m4a=media.voice, anna__mp4=media.face), 0o2770)
    (foreign.share / "done").chmod(0o555)
    foreign.module = "tests.faults.fault_injection"  # with short pauses
    foreign.start()
    wait_for(lambda: "backing off" in foreign.log(), "backing off")
    page = foreign.share / "status.js"
    wait_for(lambda: "The service is not allowed to move the folder" in page.read_text(), "the page says so")
    (foreign.share / "done").chmod(0o2770)
    foreign.finished("j")
