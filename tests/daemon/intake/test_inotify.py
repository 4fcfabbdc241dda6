"""File events are a convenience: without them, scans go on, it is said once, and nothing is leaked."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heygemd.daemon.intake.inotify import Watch
from tests.e2e.harness import wait_for

SCRIPT = """
import json, os, sys, threading
from pathlib import Path
from heygemd.daemon.intake import inotify
inotify.RETRY_S = 0
watch = inotify.Watch(lambda: None)
def resources(): return [threading.active_count(), len(os.listdir("/proc/self/fd"))]
found = [resources()]
for _ in range(4):
    watch.start(Path(sys.argv[1]))
    found.append(resources())
print(json.dumps({"resources": found, "problem": watch.problem and watch.problem.code, "running": watch.running}))
watch.stop()
"""


def limited(limit, folder):
    """Start a watch four times where a limit of the user's own namespace is zero; return what it says."""
    program = [sys.executable, "-c", SCRIPT, str(folder)]
    limiting = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", limiting, "sh", *program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def can_unshare():
    return shutil.which("unshare") and not subprocess.run(["unshare", "--user", "--map-root-user", "true"]).returncode


@pytest.mark.skipif(not os.environ.get("CI") and not can_unshare(), reason="this system allows no user namespaces")
@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_a_limit_of_the_system_costs_no_thread_and_no_descriptor_and_is_said_once(tmp_path, limit):
    found, log = limited(limit, tmp_path)
    assert found["resources"] == [found["resources"][0]] * 5
    assert (found["problem"], found["running"]) == ("no_file_events", False)
    assert log.count("no file events") == 1


class Recorded(Watch):
    """A watch that remembers the names of what events were about."""

    def __init__(self, wake):
        super().__init__(wake)
        self.names = []

    def on_any_event(self, event):
        self.names.append(Path(event.src_path).name)
        super().on_any_event(event)


def test_reading_raises_no_events_and_a_writer_is_seen_until_it_closes(tmp_path):
    folder, created, closed = tmp_path / "j", threading.Event(), threading.Event()
    folder.mkdir()
    (folder / "old.mp4").write_bytes(b"x")
    watch = Recorded(lambda: (closed if created.is_set() else created).set())
    watch.start(tmp_path)
    try:
        (folder / "old.mp4").read_bytes()
        os.listdir(folder)
        with (folder / "new.mp4").open("wb", buffering=0) as file:
            assert created.wait(30)
            file.write(b"x")
            wait_for(lambda: watch.writing(folder), "the writer", 30)
            assert not watch.writing(tmp_path / "other")
        assert closed.wait(30)
        assert not watch.writing(folder)
        assert set(watch.names) == {"new.mp4"}
    finally:
        watch.stop()
