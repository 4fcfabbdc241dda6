"""The administrator's commands against a running daemon: a real share and a real render."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.e2e.harness import CHECKOUT, Site, wait_for


def heygemd(site: Site, *words: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "heygemd", *words, "--config", str(site.config)]
    english = {**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, env=english)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_pause_status_resume_history_logs_retry_and_cancel(site: Site, media: SimpleNamespace) -> None:
    # Paused: a dropped folder stays in the inbox, and the status says why.
    assert "No daemon has run" in heygemd(site, "status", status=1)
    assert "paused" in heygemd(site, "pause")
    site.drop("spring", voice__m4a=media.voice, anna__mp4=media.face, empty__mp4=media.no_face)
    daemon = site.start()
    wait_for(lambda: site.status()["queue"], "the folder in line")
    assert "next  spring: ready" in heygemd(site, "status")
    assert "Paused by a file named PAUSE in inbox." in heygemd(site, "status")
    assert json.loads(heygemd(site, "status", "--json"))["state"] == "paused"
    assert site.place_of("spring") == ["inbox"]
    assert json.loads(heygemd(site, "history", "--json")) == []

    # Resumed: history and the job's own log show the result, also after the daemon has ended.
    assert "resumed" in heygemd(site, "resume")
    assert "was not paused" in heygemd(site, "resume")
    site.finished("spring")
    daemon.terminate()
    assert daemon.wait(30) == 0
    assert "recent  spring: done" in heygemd(site, "status")
    (job,) = json.loads(heygemd(site, "history", "--json"))
    assert {v["output"]: v["state"] for v in job["videos"]} == {"anna.mp4": "done", "empty.mp4": "failed"}
    shown = heygemd(site, "history")
    assert "1/2" in shown and "empty.mp4: No face was found in the video." in shown
    for name in ("spring", job["id"]):
        log = heygemd(site, "logs", name)
        assert "anna.mp4: rendered" in log and "empty.mp4: failed: no_face" in log
    assert 'There is no job "winter"' in heygemd(site, "logs", "winter", status=4)

    # No daemon runs: the retried folder waits in the inbox for the next start.
    assert f"moved to {site.share}/inbox/spring" in heygemd(site, "retry", "spring")
    heygemd(site, "cancel", "spring")
    assert (site.share / "inbox" / "spring" / "CANCEL").exists()
    assert len(json.loads(heygemd(site, "history", "-n", "1", "--json"))) == 1


@pytest.mark.slow
def test_jobs_run_in_the_order_that_the_page_shows(site: Site, media: SimpleNamespace) -> None:
    heygemd(site, "pause")
    for name, priority in (("plain", 0), ("later", -1), ("!urgent", 0), ("soon", 3), ("春季", 0)):
        folder = site.drop(name, voice__m4a=media.voice, empty__mp4=media.no_face)
        (folder / "job.toml").write_text(f"priority = {priority}\n")
    site.start()
    wait_for(lambda: len(site.status()["queue"]) == 5, "all in line")
    shown = [job["name"] for job in site.status()["queue"]]
    assert (shown[0], shown[1], shown[-1]) == ("soon", "!urgent", "later")
    heygemd(site, "resume")
    wait_for(lambda: len(site.status()["recent"]) == 5, "all finished")
    assert [job["name"] for job in reversed(site.status()["recent"])] == shown
