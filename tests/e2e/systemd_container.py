"""A real systemd in its own namespaces: processes, mounts, host name, private /run /tmp /var /srv /mnt, a copy of /etc.

Tests start this checkout in it with this interpreter, both bound below /run/code, because a confined service cannot
read home folders. Needs root. Everything in it ends with the context.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

BOOT_S = 60
CODE = "/run/code"
PRIVATE = ("/tmp", "/var/log", "/var/lib", "/var/cache", "/srv", "/mnt")
TARGET = """\
[Unit]
Description=Minimal system for a test
Wants=systemd-journald.service
After=systemd-journald.service
AllowIsolate=yes
"""
# The kernel is the host's: no device scan, no kernel settings.
MASKED = (
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-sysctl.service",
    "systemd-modules-load.service",
)
# Mounts are shared, as on a real machine, so that a late mount reaches a running service. systemd does not do this in a
# container.
INSIDE = """\
set -e
mount --make-rprivate /
mount -t proc proc /proc
mkdir {stage}/run {stage}/etc
cp -a /etc/. {stage}/etc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system /run/lock {code}/base {code}/site {code}/src
mount --bind {base} {code}/base
mount --bind {site} {code}/site
mount --bind {src} {code}/src
cp -a {stage}/units/. /run/systemd/system
mount --bind {stage}/etc /etc
for folder in {private}; do mount -t tmpfs -o mode=755 tmpfs $folder; done
chmod 1777 /tmp
for unit in {masked}; do ln -s /dev/null /run/systemd/system/$unit; done
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \\
  /lib/systemd/systemd --system --unit=test.target --show-status=0
"""


class System:
    """A booted systemd; `run` runs a command in it."""

    def __init__(self, checkout: Path, units: dict[str, str]) -> None:
        """`units`: unit files and drop-ins by their path below the unit folder."""
        self.checkout = checkout
        self.units = {"test.target": TARGET, **units}
        self.python = f"{CODE}/base/{_interpreter().relative_to(sys.base_prefix)}"
        self.environment = {"PYTHONPATH": f"{CODE}/src:{CODE}/site", "PYTHONDONTWRITEBYTECODE": "1"}
        self._init = 0

    def __enter__(self) -> System:
        self._folder = tempfile.TemporaryDirectory(prefix="heygemd-systemd-", dir="/var/tmp")
        stage = Path(self._folder.name)
        for name, text in self.units.items():
            path = stage / "units" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        script = INSIDE.format(
            stage=stage,
            code=CODE,
            base=shlex.quote(sys.base_prefix),
            site=shlex.quote(sysconfig.get_path("purelib")),
            src=shlex.quote(str(self.checkout)),
            private=" ".join(PRIVATE),
            masked=" ".join(MASKED),
        )
        self._log = (stage / "boot.log").open("wb")
        spaces = ["--fork", "--pid", "--mount", "--ipc", "--uts", "--kill-child=SIGKILL"]
        self._outer = subprocess.Popen(
            ["unshare", *spaces, "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        try:
            self._wait_for_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_for_boot(self) -> None:
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline and self._outer.poll() is None:
            children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
                self._init = int(children[0])
                answer = self.run("systemctl", "is-system-running", check=False).stdout.strip()
                if answer in ("running", "degraded"):
                    return
            time.sleep(0.1)
        self._log.flush()
        raise RuntimeError(f"systemd did not start: {Path(self._log.name).read_text()[-2000:]}")

    def __exit__(self, *_: object) -> None:
        if self._init:
            os.kill(self._init, signal.SIGKILL)
        self._outer.kill()
        self._outer.wait()
        self._log.close()
        self._folder.cleanup()

    def run(self, *argv: str, check: bool = True, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command in the system as its root."""
        enter = ["nsenter", "-t", str(self._init), "-m", "-p", "-i", "-u"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        done = subprocess.run(
            [*enter, *clean, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
        if check and done.returncode != 0:
            said = self.run("journalctl", "--no-pager", "-n", "40", check=False).stdout
            raise AssertionError(f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}{said}")
        return done

    def heygemd(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line in the system, as root."""
        environment = [f"{key}={value}" for key, value in self.environment.items()]
        return self.run("env", *environment, self.python, "-m", "heygemd", *argv, check=check)


def _interpreter() -> Path:
    """Return the real interpreter behind the virtual environment's link."""
    return Path(sys.base_prefix) / "bin" / Path(sys.executable).resolve().name
