"""The life of the processes: signals, notifications to systemd, a second daemon, orphans."""

import asyncio
import os
import re
import signal
import socket
import threading
import time

import pytest

from heygemd.config.loader import load
from heygemd.daemon import service
from heygemd.exit_codes import Exit
from heygemd.storage import share_fs

from .harness import PATIENCE, living, offspring, wait_for, worker


def test_systemd_is_notified_of_ready_status_watchdog_and_stopping(site, media):
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    process = site.start()
    wait_for(lambda: "READY=1" in site.notifications, "READY")
    site.finished("j")
    wait_for(lambda: site.notifications.count("WATCHDOG=1") >= 3, "pings")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    wait_for(lambda: "STOPPING=1" in site.notifications, "STOPPING")
    assert any(re.match(r"STATUS=j: \d of 1 done, anna.mp4 \d+%", n) for n in site.notifications)


@pytest.mark.fault("F26")
def test_sigterm_mid_render_costs_no_attempt_and_the_job_goes_on_later(site, media):
    site.drop("long", voice__wav=media.long_voice, anna__mp4=media.face)
    process = site.start()
    wait_for(lambda: worker(process), "renderer")
    children = offspring(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    wait_for(lambda: not living(children), "all gone", 5)
    assert [v["attempts"] for v in site.records()[0]["videos"]] == [0]
    site.start()
    site.finished("long")
    site.ledger.check()


@pytest.mark.fault("F7")
@pytest.mark.parametrize("victim", ["daemon", "renderer"])
def test_no_process_of_ours_outlives_a_kill(site, media, victim):
    site.drop("long", voice__wav=media.long_voice, anna__mp4=media.face)
    process = site.start()

    def at_work():
        child = worker(process)
        return [child, *child.children()] if child and child.children() else None

    busy = wait_for(at_work, "ffmpeg at work")
    (process if victim == "daemon" else busy[0]).send_signal(signal.SIGKILL)
    rest = busy if victim == "daemon" else busy[1:]
    wait_for(lambda: not living(rest), "all gone", 5)


@pytest.mark.fault("F27")
def test_a_second_daemon_is_refused_with_a_clear_message(site):
    site.start()
    wait_for(lambda: "READY=1" in site.notifications, "READY")
    second = site.start()
    assert second.wait(20) == Exit.SECOND_DAEMON
    assert "another heygemd is running" in (site.root / "stderr").read_text()


@pytest.mark.fault("F27")
def test_two_daemons_with_records_of_their_own_share_the_inbox_without_doing_a_job_twice(site, media, tmp_path):
    site.module = "tests.faults.fault_injection"  # shortens the heartbeat
    for number in range(3):
        site.drop(f"j{number}", voice__m4a=media.voice, anna__mp4=media.face)
    site.start()
    wait_for((tmp_path / "state" / "instance").exists, "the first daemon")
    text = site.config.read_text()
    for place in ("state", "cache", "log"):
        text = text.replace(f'"{tmp_path}/{place}"', f'"{tmp_path}/other-{place}"')
    first, site_config = site.config.read_text(), site.config
    site_config.write_text(text)
    site.start()
    wait_for((tmp_path / "other-state" / "instance").exists, "the second daemon")
    site_config.write_text(first)
    for number in range(3):
        wait_for((site.share / "done" / f"j{number}" / "anna.mp4").exists, f"j{number}")
    logs = [(tmp_path / p / "heygemd.log").read_text() for p in ("log", "other-log")]
    assert len(re.findall(r"anna.mp4: rendered", "".join(logs))) == 3
    for place in ("state", "other-state"):
        page = tmp_path / place / "status.json"
        wait_for(
            lambda page=page: f'Another heygemd, on \\"{socket.gethostname()}' in page.read_text(), f"{place} says so"
        )
    site.start("doctor").wait(60 * PATIENCE)
    assert f"another heygemd, on {socket.gethostname()}, serves it too" in (site.root / "stderr").read_text()
    site.processes[0].kill()
    last = tmp_path / "other-log" / "heygemd.log"
    wait_for(lambda: "the other heygemd no longer serves this share" in last.read_text(), "its end is noticed")
    site.ledger.check()


@pytest.mark.fault("F26")
def test_sighup_reads_the_settings_again_and_a_mistake_changes_nothing(site):
    process = site.start()
    wait_for(lambda: "READY=1" in site.notifications, "READY")
    site.configure(render={"crf": 30})
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "configuration reloaded" in site.log(), "reload")
    site.config.write_text("[render]\ncrf = 99\n")
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not reloaded" in site.log(), "refusal")
    assert process.poll() is None


def test_bad_settings_end_with_the_code_that_systemd_does_not_restart(site):
    site.config.write_text('[rendr]\nx = 1\n[log]\nlevel = "LOUD"\n')
    process = site.start()
    assert process.wait(20) == 78
    said = (site.root / "stderr").read_text()
    assert "rendr" in said
    assert "did you mean 'render'" in said
    assert "level" in said


@pytest.mark.fault("F15")
def test_a_share_that_hangs_is_reported_and_no_second_thread_is_tried(site, monkeypatch, block_s=6):
    site.configure(inbox={"io_deadline_s": 1})
    settings = load(site.config)
    real, release = share_fs.scan, threading.Event()

    def blocking(*args):
        release.wait(block_s)
        return real(*args)

    monkeypatch.setattr(share_fs, "scan", blocking)
    monkeypatch.setenv("NOTIFY_SOCKET", str(site.root / "notify"))
    states: list[tuple[float, str]] = []
    daemon: list[service.Service] = []

    def share_threads():
        return sum(t.name == "share" for t in threading.enumerate())

    before = share_threads()

    async def story():
        daemon.append(
            service.Service(settings, site.config, False, lambda s: states.append((time.monotonic(), s.state)))
        )
        serving = asyncio.create_task(daemon[0].serve())
        await asyncio.sleep(block_s - 1)
        threads = share_threads() - before
        daemon[0].stopping.set()
        await asyncio.wait({serving}, timeout=10)
        assert serving.done()
        return threads

    threads = asyncio.run(story())
    release.set()
    assert threads == 1
    assert states[-2][1] == "share-unavailable"
    assert any("share-unavailable" in n for n in site.notifications)


@pytest.mark.fault("F13")
def test_the_share_may_be_away_at_the_start_and_come_back(site, media):
    away = site.root / "away"
    site.share.rename(away)
    site.share.mkdir()
    site.start()
    wait_for(lambda: "READY=1" in site.notifications, "READY")
    wait_for(lambda: site.status()["state"] == "share-unavailable", "status")
    assert os.listdir(site.share) == []
    site.share.rmdir()
    away.rename(site.share)
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    site.finished("j")
    site.ledger.check()
