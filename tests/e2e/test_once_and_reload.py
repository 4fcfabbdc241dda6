"""`heygemd once` ends and says what it left; `heygemd status` knows a dead daemon; a reload is all or nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from heygemd.exit_codes import Exit
from heygemd.storage import share_layout
from tests.e2e.harness import CHECKOUT, Site, wait_for
from tests.e2e.test_commands import heygemd

pytestmark = pytest.mark.slow


def test_once_says_what_it_left_and_why(site: Site, media: SimpleNamespace) -> None:
    site.configure(inbox={"settle_zero_tail_s": 0.5, "incomplete_fail_after_h": 1})
    copying = site.drop("copying", voice__m4a=media.voice)
    (copying / "anna.mp4.part").write_bytes(b"half")
    site.drop("voiceless", anna__mp4=media.face)
    (site.share / "inbox" / "loose.mp4").write_bytes(b"x")
    said = heygemd(site, "once", status=3)
    assert 'left: copying (inbox): "anna.mp4" is incomplete and has stopped growing' in said
    assert "left: voiceless (inbox): The voice recording is missing." in said
    assert "Files placed directly in inbox are not processed: loose.mp4." in said


ONCE = "from heygemd.cli import main; from heygemd.daemon import service; service.ONCE_WAITS_S = 2.0; main.main()"


@pytest.mark.parametrize("missing", [share_layout.MARKER, "done"])
def test_once_waits_a_while_for_a_share_that_is_away(site: Site, media: SimpleNamespace, missing: str) -> None:
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    (site.share / missing).rename(site.root / missing)
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", ONCE, "once", "--config", site.config], cwd=CHECKOUT, capture_output=True
    )
    assert ended.returncode == Exit.UNAVAILABLE
    assert time.monotonic() - began >= 2
    assert site.place_of("j") == ["inbox"]
    assert "the share cannot be used" in site.log()


def test_once_ends_while_paused_and_with_nothing_to_do(site: Site, media: SimpleNamespace) -> None:
    assert "left" not in heygemd(site, "once")
    heygemd(site, "pause")
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    assert "left: j (inbox): Paused by a file named PAUSE in inbox." in heygemd(site, "once", status=3)


def test_status_tells_a_killed_or_stuck_daemon_from_one_that_works(site: Site, media: SimpleNamespace) -> None:
    site.drop("j", voice__m4a=media.long_voice, anna__mp4=media.face)
    process = site.start()
    wait_for(lambda: site.status()["state"] == "working", "a render")
    assert "working" in heygemd(site, "status")
    process.send_signal(signal.SIGSTOP)
    report = site.root / "state" / "status.json"
    os.utime(report, (time.time() - 60, time.time() - 60))
    said = heygemd(site, "status", status=1)
    assert "The service has not reported its state for 6" in said and "it may hang" in said
    assert "left" not in said
    process.send_signal(signal.SIGCONT)
    wait_for(lambda: time.time() - report.stat().st_mtime < 30, "its next report")
    assert "working" in heygemd(site, "status")
    process.kill()
    process.wait()
    said = heygemd(site, "status", status=1)
    assert "The service ended without stopping properly" in said
    assert "working" not in said and "left" not in said
    assert "next  j: claimed" in said


def test_a_reload_switches_metrics_and_notifications_on_without_old_news(site: Site) -> None:
    def cancelled(name: str) -> None:
        folder = site.share / "inbox" / name
        folder.mkdir()
        (folder / "CANCEL").touch()
        wait_for(lambda: any(r["name"] == name and r["phase"] == "finished" for r in site.records()), name)

    process = site.start()
    cancelled("old")
    textfile, outbox = site.root / "heygemd.prom", site.root / "state" / "outbox"
    site.configure(metrics={"textfile": str(textfile)}, notify={"urls": ["json://localhost"]})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: textfile.exists(), "metrics")
    cancelled("new")
    wait_for(lambda: list(outbox.glob("[!.]*.json")), "a notification")
    assert [json.loads(path.read_text())["job"] for path in outbox.glob("[!.]*.json")] == ["new"]


def test_a_reload_that_fails_half_way_leaves_everything_as_it_was(site: Site) -> None:
    def cancelled(name: str) -> None:
        folder = site.share / "inbox" / name
        folder.mkdir()
        (folder / "CANCEL").touch()
        wait_for(lambda: any(r["name"] == name and r["phase"] == "finished" for r in site.records()), name)

    def said() -> str:
        return (site.root / "stderr").read_text()

    process = site.start()
    cancelled("first")
    textfile, outbox = site.root / "heygemd.prom", site.root / "state" / "outbox"
    log = site.root / "log" / "heygemd.log"
    log.rename(log.with_name("taken away"))
    log.mkdir()
    site.configure(log={"level": "ERROR"}, metrics={"textfile": str(textfile)}, notify={"urls": ["json://localhost"]})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration not reloaded" in said(), "the refusal")
    cancelled("second")
    assert "job=second claimed" in said()
    assert not textfile.exists() and not list(outbox.glob("*.json"))
    log.rmdir()
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: textfile.exists(), "metrics")
    cancelled("third")
    wait_for(lambda: list(outbox.glob("[!.]*.json")), "a notification")
    assert [json.loads(path.read_text())["job"] for path in outbox.glob("[!.]*.json")] == ["third"]
    assert "job=third claimed" not in said()


def test_a_job_log_goes_on_over_a_reload(site: Site, media: SimpleNamespace) -> None:
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    process = site.start(fault="render:hang")
    wait_for(lambda: site.fired_once.exists(), "a render")
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration reloaded" in site.log(), "the reload")
    (site.share / "processing" / "j" / "CANCEL").touch()
    folder = site.finished("j", "failed")
    log = (folder / "HEYGEMD-log.txt").read_text()
    assert "claimed" in log and "stopped: cancelled" in log
