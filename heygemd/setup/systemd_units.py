"""`heygemd service` and the doctor inside the unit: what an administrator would do by hand, shown first.

Everything here is root's and systemd's; nothing of staff's is touched.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .. import package_data
from ..config import loader
from ..config.schema import Config, Paths
from ..errors import ConfigError, InfrastructureError

ETC, RUNTIME = Path("/etc"), Path("/run")
TRIAL = "heygemd-doctor.service"
UNITS = ("heygemd.service", "heygemd-notify.service", "heygemd-notify.path")
STARTED = ("heygemd.service", "heygemd-notify.path")
INSTALLED_AS = "/opt/heygemd/bin/heygemd"
"""The program's place in the shipped units."""
WRITTEN = "# Written by `heygemd service install` from the configuration."
COMMAND_S = 90
HOMES = (Path("/home"), Path("/root"))
NOT_FOR_A_TRIAL = (
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus",
    "WatchdogSec", "KillMode", "TimeoutStartSec", "TimeoutStopSec", "StartLimitIntervalSec", "StartLimitBurst",
)  # fmt: skip


def plan(config: Config, config_path: Path | None) -> dict[Path, str]:
    """Return the files that make heygemd a service of this machine, by where they belong."""
    shipped, system = package_data.units(), ETC / "systemd" / "system"
    program = _program()
    option = f" --config {shlex.quote(str(config_path.absolute()))}" if config_path else ""
    files = {}
    for name in UNITS:
        text = (shipped / name).read_text("utf-8")
        for verb in ("run", "notify"):
            text = text.replace(f"ExecStart={INSTALLED_AS} {verb}", f"ExecStart={program} {verb}{option}")
        files[system / name] = text.replace(str(Paths().outbox), str(config.paths.outbox))
    for unit, extra in (("heygemd.service", _own_paths(config)), ("heygemd-notify.service", _news_paths(config))):
        if extra:
            files[system / f"{unit}.d" / "paths.conf"] = f"{WRITTEN}\n[Service]\n{extra}"
    files[ETC / "sysusers.d" / "heygemd.conf"] = (shipped / "sysusers.conf").read_text("utf-8")
    files[ETC / "tmpfiles.d" / "heygemd.conf"] = (shipped / "tmpfiles.conf").read_text("utf-8")
    return files


def _program() -> str:
    """Return how this installation is started."""
    script = Path(sys.executable).with_name("heygemd")
    return str(script) if script.exists() else f"{sys.executable} -m heygemd"


def _own_paths(config: Config) -> str:
    """Return a drop-in that lets the service write where this configuration wants it to, or ""."""
    usual = Paths()
    wanted = [str(path) for name, path in config.paths if path != getattr(usual, name)]
    wanted += [str(Path(config.metrics.textfile).parent)] if config.metrics.textfile else []
    if not wanted:
        return ""
    lines = [f"ReadWritePaths=-{path}" for path in sorted(set(wanted))]
    if any(Path(path).is_relative_to(home) for path in wanted for home in HOMES):
        lines.append("ProtectHome=no")
    return "\n".join([*lines, ""])


def _news_paths(config: Config) -> str:
    """Return what the unit that sends news needs where the usual paths were changed, or ""."""
    usual = Paths()
    lines = [f"ReadWritePaths=-{config.paths.state}\n"] if config.paths.state != usual.state else []
    lines += [f"InaccessiblePaths=-{config.paths.share}\n"] if config.paths.share != usual.share else []
    return "".join(lines)


def warnings(config_path: Path | None) -> Iterator[str]:
    """Yield what would keep the service from running as installed."""
    if any(Path(sys.prefix).is_relative_to(home) for home in HOMES):
        yield f"heygemd is installed in {sys.prefix}: the service may not look into homes. Install it in /opt/heygemd."
    path = config_path or loader.DEFAULT_PATH
    if not path.exists():
        yield f"there is no configuration at {path} yet: heygemd init SHARE makes one."


def install(files: dict[Path, str], start: bool) -> None:
    """Write the files and let systemd take them in; with `start`, start the service now and at boot.

    Raises ConfigError("root_needed"), InfrastructureError("system_command_failed").
    """
    for path, text in files.items():
        with _as_root(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    _run("systemd-sysusers", str(ETC / "sysusers.d" / "heygemd.conf"))
    _run("systemd-tmpfiles", "--create", str(ETC / "tmpfiles.d" / "heygemd.conf"))
    _run("systemctl", "daemon-reload")
    if start:
        _run("systemctl", "enable", "--now", *STARTED)


def uninstall(files: dict[Path, str]) -> list[Path]:
    """Stop the service and remove its files; return them. Configuration, records, share and user stay."""
    with contextlib.suppress(InfrastructureError):  # it may never have been started
        _run("systemctl", "disable", "--now", *STARTED)
    removed = [path for path in files if path.exists()]
    for path in removed:
        with _as_root(path):
            path.unlink()
    _run("systemctl", "daemon-reload")
    return removed


def examine_inside() -> str:
    """Run the doctor as the service's user under the installed unit's own confinement; return what it says.

    A unit for the moment, not systemd-run: that one needs a message bus. Raises as `install`.
    """
    unit, said = RUNTIME / "systemd" / "system" / TRIAL, RUNTIME / "heygemd-doctor.txt"
    text = _trial(_run("systemctl", "cat", STARTED[0]), said)
    with _as_root(unit):
        unit.write_text(text, "utf-8")
    try:
        _run("systemctl", "daemon-reload")
        with contextlib.suppress(InfrastructureError):  # it ends with 1 when something is broken
            _run("systemctl", "start", TRIAL)
        return said.read_text("utf-8")
    finally:
        unit.unlink()
        said.unlink(missing_ok=True)
        _run("systemctl", "daemon-reload")


def _trial(unit: str, said: Path) -> str:
    """Return the unit's [Service] section with the doctor in the daemon's place."""
    section, kept, program = "", [], ""
    for line in unit.splitlines():
        key, equals, value = line.partition("=")
        if line.startswith("["):
            section = line
        elif section == "[Service]" and equals and not line.startswith(("#", ";")):
            program = value if key == "ExecStart" else program
            kept += [] if key in NOT_FOR_A_TRIAL else [line]
    doctor = shlex.join("doctor" if word == "run" else word for word in shlex.split(program))
    own = ["Type=oneshot", f"ExecStart={doctor}", f"StandardOutput=truncate:{said}", "StandardError=inherit"]
    return "\n".join(["[Service]", *kept, *own, ""])


@contextlib.contextmanager
def _as_root(path: Path) -> Iterator[None]:
    """Tell a change of `path` that is not allowed in words."""
    try:
        yield
    except PermissionError:
        raise ConfigError("root_needed", path=str(path)) from None


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfrastructureError("system_command_failed", command=shlex.join(command), reason=str(error)) from None
    if done.returncode != 0:
        raise InfrastructureError("system_command_failed", command=shlex.join(command), reason=done.stderr.strip())
    return done.stdout
