"""File events are a convenience: without them, scans go on, it is said once, and nothing is leaked."""

import json
import os
import shutil
import subprocess
import sys

import pytest

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
