"""The shipped units under a real systemd: ready, status, reload, priorities, late mounts, stop, bad configuration."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heygemd import package_data
from heygemd.demo import clips
from tests.daemon.status.test_send_notifications import Hook
from tests.e2e.harness import PATIENCE
from tests.e2e.systemd_container import System

CHECKOUT = Path(__file__).parents[2]
UNITS = CHECKOUT / "systemd"
SHARE = "/mnt/nas/presenters"
CONFIG = "/etc/heygemd/config.toml"
STOP_LIMIT_S = 45


def can_boot() -> bool:
    """Whether a systemd can be booted here. In CI it must be possible: the tests fail instead of being skipped."""
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "systemctl"))
    return bool(os.environ.get("CI")) or (os.geteuid() == 0 and tools and Path("/lib/systemd/systemd").exists())


pytestmark = [
    pytest.mark.root,
    pytest.mark.fault("UNIT"),
    pytest.mark.skipif(not can_boot(), reason="needs root and systemd"),
]


@pytest.fixture
def system() -> Iterator[System]:
    """A system with the service installed as docs/install.md says, for a share on another mount, not yet started."""
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
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{show(system, 'StatusText')}\n{journal(system)}"
        time.sleep(0.2)


def wait_for_status(system: System, words: str, seconds: float = 30) -> None:
    until(lambda: words in show(system, "StatusText"), system, seconds)


def start(system: System) -> None:
    done = system.run("systemctl", "start", "heygemd", check=False)
    assert done.returncode == 0, f"{done.stderr}\n{journal(system)}"


def test_start_status_reload_and_stop(system: System) -> None:
    system.heygemd("init", SHARE)
    start(system)
    assert show(system, "ActiveState") == "active"
    wait_for_status(system, "idle")

    # A staff member of the share's group drops a folder that lacks its videos.
    system.run("useradd", "--groups", "heygemd-share", "anna")
    drop = f"umask 022; mkdir {SHARE}/inbox/promo && echo hello > {SHARE}/inbox/promo/script.txt"
    system.run("runuser", "-u", "anna", "--", "sh", "-c", drop)
    wait_for_status(system, "1 waiting")
    until(lambda: owner(system, f"{SHARE}/status.html") == "heygemd:heygemd-share 660", system)

    # A mistake in the configuration is logged as an error and changes nothing.
    system.run("sh", "-c", f"printf '[render]\\ncrf = 99\\n' >> {CONFIG}")
    system.run("systemctl", "reload", "heygemd")
    until(lambda: "configuration not reloaded" in journal(system, "-p", "err"), system)
    assert "serves" not in journal(system, "-p", "err")
    assert "serves" in journal(system)

    # Nothing of the service's own is open to staff, nor is the configuration with its passwords.
    for name in ("lib", "cache", "log"):
        listed = system.run("find", f"/var/{name}/heygemd", "-not", "-path", "*/models*", "-printf", "%#m %p\\n").stdout
        assert [line for line in listed.splitlines() if not line.split()[0].endswith("00")] == []
    assert owner(system, CONFIG) == "root:heygemd 640"
    for path in (CONFIG, "/var/log/heygemd/heygemd.log", "/var/lib/heygemd/status.json"):
        assert system.run("runuser", "-u", "anna", "--", "cat", path, check=False).returncode != 0

    pid = show(system, "MainPID")
    began = time.monotonic()
    system.run("systemctl", "stop", "heygemd")
    assert time.monotonic() - began < STOP_LIMIT_S
    assert show(system, "Result") == "success"
    assert system.run("test", "-e", f"/proc/{pid}", check=False).returncode != 0


@pytest.fixture
def job() -> Iterator[Path]:
    """A short real job in a folder that the system can see."""
    with tempfile.TemporaryDirectory(prefix="heygemd-job-", dir="/var/tmp") as folder:
        made = Path(folder) / "hello"
        made.mkdir()
        clip = dataclasses.replace(clips.CLIPS[0], seconds=1.0)
        clips.write(clip, clips.frames(clip, clips.portrait()), made)
        voice = package_data.PACKAGE / "demo" / "voice.m4a"
        subprocess.run(["ffmpeg", "-v", "error", "-i", voice, "-t", "2", "-c", "copy", made / "voice.m4a"], check=True)
        for path in (Path(folder), made, *made.iterdir()):
            path.chmod(0o775)
        yield made


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_job_is_rendered_inside_the_confinement(system: System, job: Path) -> None:
    system.heygemd("init", SHARE)
    start(system)
    system.run("useradd", "--groups", "heygemd-share", "anna")
    drop = f"umask 002; cp -r {job} {SHARE}/inbox/"
    system.run("runuser", "-u", "anna", "--", "sh", "-c", drop)
    finished = f"{SHARE}/done/hello"
    until(lambda: owner(system, finished) + owner(system, f"{SHARE}/failed/hello") != "", system, seconds=360)
    why = system.run("sh", "-c", f"cat {SHARE}/failed/hello/*.txt", check=False).stdout
    assert owner(system, f"{finished}/astronaut-wide.mp4") == "heygemd:heygemd-share 664", why
    system.run("runuser", "-u", "anna", "--", "rm", "-r", finished)


def test_a_share_may_be_mounted_late_and_unmounted(system: System) -> None:
    system.heygemd("init", SHARE)
    system.run("sh", "-c", f"rm -rf {SHARE}/*  {SHARE}/.heygemd-share")
    start(system)
    wait_for_status(system, "share-unavailable")
    system.run("mount", "-t", "tmpfs", "tmpfs", SHARE)
    system.heygemd("init", SHARE)
    wait_for_status(system, "idle", seconds=90)
    system.run("umount", SHARE)
    wait_for_status(system, "share-unavailable")
    system.run("mount", "-t", "tmpfs", "tmpfs", SHARE)
    system.heygemd("init", SHARE)
    wait_for_status(system, "idle", seconds=90)
    assert show(system, "NRestarts") == "0"


def test_bad_configuration_is_not_restarted(system: System) -> None:
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


def drop_in(system: System, text: str) -> None:
    """Change the unit as an administrator does."""
    system.run("sh", "-c", f"printf '[Service]\\n{text}\\n' > /run/systemd/system/heygemd.service.d/trial.conf")
    system.run("systemctl", "daemon-reload")


@pytest.mark.slow
@pytest.mark.fault("F26")
@pytest.mark.timeout(600)
def test_a_hung_loop_and_a_stop_cost_no_job(
    system: System, job: Path, record_property: Callable[[str, object], None]
) -> None:
    drop_in(system, "WatchdogSec=12")
    system.heygemd("init", SHARE)
    settings = f'[paths]\\nshare = "{SHARE}"\\n[log]\\nrotation_mb = 0.0005\\n'
    system.run("sh", "-c", f"printf '{settings}' > {CONFIG}")
    start(system)
    system.run("useradd", "--groups", "heygemd-share", "anna")

    def anna(command: str) -> None:
        system.run("runuser", "-u", "anna", "--", "sh", "-c", f"umask 002; {command}")

    anna(f"cp -r {job} {SHARE}/inbox/")
    wait_for_status(system, "hello: 0 of 1 done", seconds=120)

    # The main loop hangs: systemd restarts the daemon, and the job goes on.
    system.run("kill", "-STOP", show(system, "MainPID"))
    began = time.monotonic()
    until(lambda: show(system, "NRestarts") == "1" and show(system, "ActiveState") == "active", system, seconds=90)
    restart_s = time.monotonic() - began
    assert "watchdog" in system.run("journalctl", "--no-pager", "-u", "heygemd").stdout.lower()
    wait_for_status(system, "hello: 0 of 1 done", seconds=120)

    # A stop during the render is quick and leaves no process.
    began = time.monotonic()
    system.run("systemctl", "stop", "heygemd")
    stop_s = time.monotonic() - began
    assert stop_s < STOP_LIMIT_S * PATIENCE
    assert show(system, "Result") == "success"
    assert system.run("pgrep", "-u", "heygemd", check=False).stdout == ""

    # A folder that cannot be rendered is logged as an error; the other one is finished.
    anna(f"mkdir {SHARE}/inbox/bad && cp {job}/voice.m4a {SHARE}/inbox/bad/ && echo noise > {SHARE}/inbox/bad/x.mov")
    start(system)
    until(lambda: owner(system, f"{SHARE}/done/hello/astronaut-wide.mp4") != "", system, seconds=300)
    until(lambda: owner(system, f"{SHARE}/failed/bad") != "", system, seconds=120)
    assert "media_unreadable" in journal(system, "-p", "err")
    assert "rendered" not in journal(system, "-p", "err")
    rotated = system.run("sh", "-c", "stat -c '%U:%G %a' /var/log/heygemd/*.gz").stdout.split("\n")
    assert set(rotated) == {"heygemd:heygemd 600", ""}
    print(system.run("journalctl", "-u", "heygemd", "-o", "short", "--no-pager", "--no-hostname").stdout)
    summary = f"unit: restarted by the watchdog (12 s) within {restart_s:.0f} s, stopped mid-render in {stop_s:.1f} s"
    record_property("summary", f"{summary}, {len(rotated) - 1} rotated logs, job done, bad one in journalctl -p err")


TRIALS = """\
import os, socket
def tried(what, *arguments):
    try:
        what(*arguments)
        return "allowed"
    except OSError as error:
        return type(error).__name__
print("TRIALS", {
    "state": tried(open, "/var/lib/heygemd/x", "w"), "cache": tried(open, "/var/cache/heygemd/x", "w"),
    "share": tried(open, "%(share)s/inbox/x", "w"), "logs": tried(open, "/var/log/heygemd/x", "w"),
    "etc": tried(open, "/etc/heygemd/x", "w"), "usr": tried(open, "/usr/x", "w"), "var": tried(open, "/var/x", "w"),
    "beside": tried(open, "/mnt/nas/x", "w"), "root": tried(os.listdir, "/root"), "home": tried(open, "/home/x", "w"),
    "kernel": tried(open, "/proc/sys/kernel/hostname", "w"), "network": tried(socket.socket),
    "packets": tried(socket.socket, socket.AF_INET6, socket.SOCK_DGRAM), "namespace": tried(os.unshare, 0x40000000)
    if hasattr(os, "unshare") else "OSError", "device": tried(os.mknod, "/var/lib/heygemd/d", 0o20666, 0x0105),
    "chroot": tried(os.chroot, "/"), "uid": tried(os.setuid, 0),
}, flush=True)
"""


def test_the_sandbox_holds(system: System) -> None:
    """What the unit allows and refuses, tried by a program that runs in the same confinement."""
    system.heygemd("init", SHARE)
    script = (TRIALS % {"share": SHARE}).replace("'", "'\\''")
    system.run("sh", "-c", f"printf '%s' '{script}' > /run/code/trials.py")
    drop_in(system, f"Type=oneshot\\nRestart=no\\nExecStart=\\nExecStart={system.python} /run/code/trials.py")
    start(system)
    said = next(line for line in journal(system).splitlines() if line.startswith("TRIALS"))
    found = eval(said.removeprefix("TRIALS"))
    allowed = {what for what, outcome in found.items() if outcome == "allowed"}
    assert allowed == {"state", "cache", "share", "logs"}, found


def test_service_install_doctor_and_uninstall() -> None:
    with System(CHECKOUT, {}) as booted:
        drop_in = "/etc/systemd/system/heygemd.service.d"
        environment = "".join(f"Environment={key}={value}\\n" for key, value in booted.environment.items())
        booted.run("sh", "-c", f"mkdir -p {drop_in} {SHARE}; printf '[Service]\\n{environment}' > {drop_in}/test.conf")
        booted.run("systemd-sysusers", "/run/code/src/systemd/sysusers.conf")
        booted.heygemd("init", SHARE)
        shown = booted.heygemd("service", "install", "--yes", "--now").stdout
        assert f"ReadWritePaths=-{SHARE}\n" in shown
        active = booted.run("systemctl", "is-active", "heygemd", "heygemd-notify.path").stdout.split()
        assert active == ["active", "active"]
        wait_for_status(booted, "idle")
        said = booted.heygemd("doctor", "--inside-unit", check=False)
        assert "ok      share" in said.stdout
        assert "BROKEN" not in said.stdout, said.stdout
        assert "you are root" not in said.stdout
        removed = booted.heygemd("service", "uninstall", "--yes").stdout
        assert "/etc/systemd/system/heygemd.service\n" in removed
        assert show(booted, "LoadState") in ("not-found", "masked")
        assert booted.run("test", "-e", "/etc/heygemd/config.toml", check=False).returncode == 0


ODD = "/mnt/nas/two words 100%"
LEFT_OPEN = f"""
groupdel heygemd-share; groupadd --force heygemd; usermod -aG heygemd anna
install -d -o heygemd -g heygemd -m 2770 {SHARE} {SHARE}/inbox {SHARE}/done {SHARE}/done/old
install -d -o heygemd -g heygemd -m 0770 /var/lib/heygemd/jobs
chmod 0770 /var/lib/heygemd /var/cache/heygemd; chmod 0644 {CONFIG}; chgrp root {CONFIG}
"""


def test_init_mends_what_an_earlier_version_left_open(system: System) -> None:
    """Staff were in the service's own group, which could write its records; staff also left a trap for root."""
    system.heygemd("init", SHARE)
    system.run("sh", "-c", f"mkdir -m 700 /mnt/private; rmdir {SHARE}/failed; ln -s /mnt/private {SHARE}/failed")
    refused = system.heygemd("init", SHARE, check=False)
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert owner(system, "/mnt/private") == "root:root 700"
    system.run("rm", f"{SHARE}/failed")
    system.run("useradd", "anna")
    system.run("sh", "-c", LEFT_OPEN)
    said = system.heygemd("doctor", check=False).stdout
    for words in ("may enter /var/lib/heygemd", "anna may read", "has the service's own group"):
        assert words in said
    said = system.heygemd("init", SHARE).stdout
    assert "moved anna from the group heygemd to heygemd-share" in said
    assert system.run("id", "-nG", "anna").stdout.split() == ["anna", "heygemd-share"]
    assert "heygemd-share" in system.run("id", "-nG", "heygemd").stdout.split()
    assert owner(system, f"{SHARE}/done/old") == "heygemd:heygemd-share 2770"
    assert owner(system, "/var/lib/heygemd") == "heygemd:heygemd 700"
    assert owner(system, "/var/lib/heygemd/jobs") == "heygemd:heygemd 700"
    assert owner(system, CONFIG) == "root:heygemd 640"
    said = system.heygemd("doctor", check=False).stdout
    assert "records, cache, logs and settings are closed to other users" in said
    start(system)
    wait_for_status(system, "idle")


def test_a_share_whose_path_has_a_space_and_a_percent_sign_is_served() -> None:
    with System(CHECKOUT, {}) as booted:
        drop_in = "/etc/systemd/system/heygemd.service.d"
        environment = "".join(f"Environment={key}={value}\\n" for key, value in booted.environment.items())
        booted.run("sh", "-c", f"mkdir -p {drop_in} '{ODD}'; printf '[Service]\\n{environment}' > {drop_in}/test.conf")
        booted.run("systemd-sysusers", "/run/code/src/systemd/sysusers.conf")
        booted.heygemd("init", ODD)
        booted.heygemd("service", "install", "--yes", "--now")
        verified = booted.run("systemd-analyze", "verify", "/etc/systemd/system/heygemd.service", check=False)
        assert "paths.conf" not in verified.stderr + verified.stdout
        wait_for_status(booted, "idle")
        until(lambda: booted.run("test", "-s", f"{ODD}/status.html", check=False).returncode == 0, booted)
        assert "BROKEN" not in booted.heygemd("doctor", "--inside-unit", check=False).stdout


def test_only_the_notify_unit_sends_notifications() -> None:
    """The daemon has no network. The path-activated unit sends what lies in the outbox folder."""
    with Hook() as hook, System(CHECKOUT, {}) as booted:
        thread = threading.Thread(target=hook.serve_forever)
        thread.start()
        environment = "".join(f"Environment={key}={value}\\n" for key, value in booted.environment.items())
        for unit in ("heygemd", "heygemd-notify"):
            folder = f"/etc/systemd/system/{unit}.service.d"
            booted.run("sh", "-c", f"mkdir -p {folder}; printf '[Service]\\n{environment}' > {folder}/test.conf")
        booted.run("systemd-sysusers", "/run/code/src/systemd/sysusers.conf")
        booted.run("mkdir", "-p", SHARE)
        booted.heygemd("init", SHARE)
        booted.run("sed", "-i", f's#^.urls = .*#urls = ["{hook.url}"]#', CONFIG)
        booted.heygemd("service", "install", "--yes", "--now")
        bad = f"{SHARE}/inbox/bad"
        booted.run(
            "sh",
            "-c",
            f"umask 002; mkdir {bad}; cd {bad}; echo noise | tee a.mp4 > voice.wav; >READY; chown -R heygemd {bad}",
        )
        until(lambda: bool(hook.received), booted, seconds=90)
        assert '"voice.wav" cannot be read' in hook.received[0]["message"]
        empty = '[ -z "$(ls /var/lib/heygemd/outbox)" ] && systemctl is-active heygemd-notify.path'
        until(lambda: "active" in booted.run("sh", "-c", empty, check=False).stdout, booted)
        hook.shutdown()
        thread.join()
