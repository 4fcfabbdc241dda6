"""The shipped unit under a real systemd: ready, status, reload, priorities, late mounts, stop, bad configuration."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heygemd import resources
from heygemd.demo import clips
from tests.e2e.minisystem import System

CHECKOUT = Path(__file__).parents[2]
UNITS = CHECKOUT / "systemd"
SHARE = "/mnt/nas/presenters"
CONFIG = "/etc/heygemd/config.toml"
STOP_LIMIT_S = 45


def can_boot() -> bool:
    """Whether a systemd can be booted here; in CI that is not a question but a duty."""
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "systemctl"))
    return bool(os.environ.get("CI")) or (os.geteuid() == 0 and tools and Path("/lib/systemd/systemd").exists())


pytestmark = [pytest.mark.root, pytest.mark.skipif(not can_boot(), reason="needs root and systemd")]


@pytest.fixture
def system() -> Iterator[System]:
    """A system with the service installed as README says, for a share on another mount, not yet started."""
    booting = System(CHECKOUT, {})
    environment = "".join(f"Environment={key}={value}\n" for key, value in booting.environment.items())
    start = f"[Service]\nExecStart=\nExecStart={booting.python} -m heygemd run\n{environment}"
    booting.units |= {
        "heygemd.service": (UNITS / "heygemd.service").read_text(),
        "heygemd.service.d/share.conf": (UNITS / "share.conf").read_text(),
        "heygemd.service.d/test.conf": start,
    }
    with booting as booted:
        booted.run("systemd-sysusers", "/run/code/src/systemd/sysusers.conf")
        booted.run("systemd-tmpfiles", "--create", "/run/code/src/systemd/tmpfiles.conf")
        booted.run("mkdir", "-p", SHARE)
        yield booted


def show(system: System, key: str) -> str:
    return system.run("systemctl", "show", "heygemd", "--value", "-p", key).stdout.strip()


def journal(system: System, *options: str) -> str:
    system.run("journalctl", "--sync", check=False)
    return system.run("journalctl", "-u", "heygemd", "-o", "cat", "--no-pager", *options, check=False).stdout


def owner(system: System, path: str) -> str:
    return system.run("stat", "-c", "%U:%G %a", path, check=False).stdout.strip()


def until(condition: Callable[[], bool], system: System, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{show(system, 'StatusText')}\n{journal(system)}"
        time.sleep(0.2)


def wait_for_status(system: System, words: str, seconds: float = 30) -> None:
    until(lambda: words in show(system, "StatusText"), system, seconds)


def start(system: System) -> None:
    done = system.run("systemctl", "start", "heygemd", check=False)
    assert done.returncode == 0, f"{done.stderr}\n{journal(system)}"


def test_a_day_of_the_service(system: System) -> None:
    system.heygemd("init", SHARE)
    start(system)
    assert show(system, "ActiveState") == "active"
    wait_for_status(system, "idle")

    # A staff member of the share's group drops a folder that lacks its videos.
    system.run("useradd", "--groups", "heygemd", "anna")
    drop = f"umask 022; mkdir {SHARE}/inbox/promo && echo hello > {SHARE}/inbox/promo/script.txt"
    system.run("runuser", "-u", "anna", "--", "sh", "-c", drop)
    wait_for_status(system, "1 waiting")
    until(lambda: owner(system, f"{SHARE}/status.html") == "heygemd:heygemd 660", system)

    # A mistake in the configuration is an error in the journal, and changes nothing.
    system.run("sh", "-c", f"printf '[render]\\ncrf = 99\\n' >> {CONFIG}")
    system.run("systemctl", "reload", "heygemd")
    until(lambda: "settings not reloaded" in journal(system, "-p", "err"), system)
    assert "serves" not in journal(system, "-p", "err")
    assert "serves" in journal(system)

    # The log is a file as well, which administrators may read.
    assert owner(system, "/var/log/heygemd/heygemd.log") == "heygemd:adm 640"

    pid = show(system, "MainPID")
    began = time.monotonic()
    system.run("systemctl", "stop", "heygemd")
    assert time.monotonic() - began < STOP_LIMIT_S
    assert show(system, "Result") == "success"
    assert system.run("test", "-e", f"/proc/{pid}", check=False).returncode != 0


@pytest.fixture
def job() -> Iterator[Path]:
    """A short real job, in a folder that the system sees."""
    with tempfile.TemporaryDirectory(prefix="heygemd-job-", dir="/var/tmp") as folder:
        made = Path(folder) / "hello"
        made.mkdir()
        clip = dataclasses.replace(clips.CLIPS[0], seconds=1.0)
        clips.write(clip, clips.frames(clip, clips.portrait()), made)
        voice = resources.PACKAGE / "demo" / "voice.m4a"
        subprocess.run(["ffmpeg", "-v", "error", "-i", voice, "-t", "2", "-c", "copy", made / "voice.m4a"], check=True)
        for path in (Path(folder), made, *made.iterdir()):
            path.chmod(0o775)
        yield made


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_job_is_rendered_inside_the_confinement(system: System, job: Path) -> None:
    system.heygemd("init", SHARE)
    start(system)
    system.run("useradd", "--groups", "heygemd", "anna")
    drop = f"umask 002; cp -r {job} {SHARE}/inbox/"
    system.run("runuser", "-u", "anna", "--", "sh", "-c", drop)
    finished = f"{SHARE}/done/hello"
    until(lambda: owner(system, finished) + owner(system, f"{SHARE}/failed/hello") != "", system, seconds=360)
    why = system.run("sh", "-c", f"cat {SHARE}/failed/hello/HEYGEMD-*", check=False).stdout
    assert owner(system, f"{finished}/astronaut-wide.mp4") == "heygemd:heygemd 664", why
    system.run("runuser", "-u", "anna", "--", "rm", "-r", finished)


def test_a_share_may_come_late_and_go_again(system: System) -> None:
    system.heygemd("init", SHARE)
    system.run("sh", "-c", f"rm -rf {SHARE}/*  {SHARE}/.heygemd-share")
    start(system)
    wait_for_status(system, "share-unavailable")
    system.run("mount", "-t", "tmpfs", "tmpfs", SHARE)
    system.heygemd("init", SHARE)
    wait_for_status(system, "idle", seconds=90)
    system.run("umount", SHARE)
    wait_for_status(system, "share-unavailable")
    assert show(system, "NRestarts") == "0"


def test_bad_configuration_stops_the_service_for_good(system: System) -> None:
    system.run("sh", "-c", f"printf '[render]\\nengine = \"mash\"\\ncrf = 99\\n' > {CONFIG}")
    assert system.run("systemctl", "start", "heygemd", check=False).returncode != 0
    time.sleep(1)
    assert show(system, "ExecMainStatus") == "78"
    assert show(system, "ActiveState") == "failed"
    assert show(system, "NRestarts") == "0"
    said = journal(system)
    assert "did you mean 'mesh'" in said
    assert "render.crf" in said
    assert "Traceback" not in said


def test_a_killed_daemon_comes_back(system: System) -> None:
    system.heygemd("init", SHARE)
    start(system)
    pid = show(system, "MainPID")
    system.run("kill", "-KILL", pid)
    until(lambda: show(system, "MainPID") not in (pid, "0") and show(system, "ActiveState") == "active", system)
    assert show(system, "NRestarts") == "1"
