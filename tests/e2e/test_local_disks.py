"""The daemon's own files cannot be written: a sentence and status 69 at the start, a note on the page while it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from heygemd.daemon.intake.filename_rules import WHY_NOTE
from heygemd.daemon.status.status_file import NAME
from tests.e2e.harness import Site, wait_for
from tests.faults.conftest import needs_root

pytestmark = [pytest.mark.fault("LOCAL"), pytest.mark.slow]

READ_ONLY = 'mount -t tmpfs -o ro tmpfs "{folder}" && exec "$@"'


def refused(site: Site, *verb: str) -> str:
    """Start the daemon; return what it says when it does not start because of a disk."""
    process = site.start(*verb, LC_ALL="C.UTF-8")
    assert process.wait(60) == 69
    said = (site.root / "stderr").read_text()
    assert "bug" not in said and "Traceback" not in said
    return said


def test_a_log_path_that_is_a_folder_has_its_own_sentence(site: Site) -> None:
    (site.root / "log" / "heygemd.log").mkdir(parents=True)
    said = refused(site)
    assert f"The log file cannot be written ({site.root}/log/heygemd.log: Is a directory)." in said


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("state", "The folder of the job records cannot be written"),
        ("cache", "The folder for temporary files cannot be written"),
        ("log", "The log file cannot be written"),
    ],
)
@needs_root()
@pytest.mark.root
def test_a_read_only_mount_has_its_own_sentence(site: Site, folder: str, sentence: str) -> None:
    (site.root / folder).mkdir(exist_ok=True)
    mounting = READ_ONLY.format(folder=site.root / folder)
    site.prefix = ["unshare", "--mount", "sh", "-c", mounting, "--"]
    said = refused(site)
    assert sentence in said and "Read-only file system" in said


def test_a_file_in_place_of_a_folder_has_its_own_sentence(site: Site) -> None:
    (site.root / "state").write_text("a file")
    assert "The folder of the job records cannot be written" in refused(site, "once")


def on_page(site: Site) -> dict[str, object]:
    found: dict[str, object] = json.loads((site.share / NAME).read_text())
    return found


def warnings(site: Site) -> str:
    return str(on_page(site)["health"])


def test_a_log_file_that_cannot_be_written_is_on_the_page_and_stops_nothing(site: Site) -> None:
    site.start()
    log = site.root / "log" / "heygemd.log"
    wait_for(lambda: "serves" in log.read_text(), "the daemon")
    log.unlink()
    log.mkdir()
    folder = site.share / "inbox" / "j"
    folder.mkdir()
    (folder / "CANCEL").touch()
    wait_for(lambda: (site.share / "failed" / "j" / WHY_NOTE).exists(), "the job")
    wait_for(lambda: "The log file cannot be written" in warnings(site), "the warning on the page")
    assert on_page(site)["state"] == "idle"
    said = (site.root / "stderr").read_text()
    assert said.count("the log file cannot be written") == 1 and "Traceback" not in said
    assert "cannot be used" not in said


def test_notifications_metrics_and_status_that_cannot_be_written_stop_nothing(site: Site) -> None:
    site.configure(metrics={"textfile": str(site.root / "nowhere" / "heygemd.prom")}, notify={"urls": ["json://x"]})
    (site.root / "state" / NAME).mkdir(parents=True)
    (site.root / "state" / "outbox").write_text("a file where the outbox should be")
    process = site.start()
    folder = site.share / "inbox" / "j"
    folder.mkdir()
    (folder / "CANCEL").touch()
    wait_for(lambda: (site.share / "failed" / "j" / WHY_NOTE).exists(), "the job")
    for words in ("Notifications cannot be written", "metrics cannot be written", "shows an old state"):
        wait_for(lambda words=words: words in warnings(site), words)
    assert process.poll() is None
    assert site.log().count("metrics_failing") == 1


def test_a_folder_that_is_missing_in_the_share_is_named_on_the_page(site: Site) -> None:
    site.start()
    wait_for(lambda: on_page(site)["state"] == "idle", "the page")
    (site.share / "done").rename(site.share / "finished")
    wait_for(lambda: 'The folder "done" is missing in the share' in str(on_page(site)["detail"]), "its name")
    (site.share / "finished").rename(site.share / "done")
    wait_for(lambda: on_page(site)["state"] == "idle", "its end")


def test_no_file_events_cost_no_job(site: Site) -> None:
    if subprocess.run(["unshare", "--user", "--map-root-user", "true"]).returncode and not os.environ.get("CI"):
        pytest.skip("this system allows no user namespaces")
    site.prefix = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    site.prefix += ['echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"', "--"]
    site.start()
    folder = site.share / "inbox" / "j"
    folder.mkdir()
    (folder / "CANCEL").touch()
    wait_for(lambda: (site.share / "failed" / "j" / WHY_NOTE).exists(), "the job")
    wait_for(lambda: "no file events" in warnings(site), "the warning on the page")


def test_the_state_may_be_deleted_while_the_daemon_runs(site: Site) -> None:
    process = site.start()
    wait_for(lambda: (site.root / "state" / NAME).exists(), "the daemon")
    shutil.rmtree(Path(site.root / "state" / "jobs"))
    folder = site.share / "inbox" / "j"
    folder.mkdir()
    (folder / "CANCEL").touch()
    wait_for(lambda: (site.share / "failed" / "j" / WHY_NOTE).exists() or on_page(site)["state"] == "paused", "a word")
    assert process.poll() is None
