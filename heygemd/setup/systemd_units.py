"""Installs and removes the systemd units, and runs the doctor with the restrictions of the unit.

Needs root and systemd. The share is never touched.
"""

from __future__ import annotations

import contextlib
import re
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
DOCTOR_UNIT = "heygemd-doctor.service"
UNITS = ("heygemd.service", "heygemd-notify.service", "heygemd-notify.path")
ENABLED = ("heygemd.service", "heygemd-notify.path")
SHIPPED_PROGRAM = "/opt/heygemd/bin/heygemd"
"""The program in the shipped units."""
HEADER = "# Written by `heygemd service install` from the configuration."
COMMAND_TIMEOUT_S = 90
HOMES = (Path("/home"), Path("/root"))
NOT_FOR_DOCTOR = (
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus",
    "WatchdogSec", "KillMode", "TimeoutStartSec", "TimeoutStopSec", "StartLimitIntervalSec", "StartLimitBurst",
)  # fmt: skip


def plan(config: Config, config_path: Path | None) -> dict[Path, str]:
    """Return the text of each file to install for this machine, by its path."""
    shipped, system = package_data.units(), ETC / "systemd" / "system"
    program = _program()
    option = f" --config {_word(config_path.absolute(), command=True)}" if config_path else ""
    files = {}
    for name in UNITS:
        text = (shipped / name).read_text("utf-8")
        for verb in ("run", "notify"):
            text = text.replace(f"ExecStart={SHIPPED_PROGRAM} {verb}", f"ExecStart={program} {verb}{option}")
        files[system / name] = text.replace(str(Paths().outbox), _escaped(config.paths.outbox))
    drop_ins = {"heygemd.service": _daemon_drop_in(config), "heygemd-notify.service": _notify_drop_in(config)}
    for unit, extra in drop_ins.items():
        if extra:
            files[system / f"{unit}.d" / "paths.conf"] = f"{HEADER}\n[Service]\n{extra}"
    files[ETC / "sysusers.d" / "heygemd.conf"] = (shipped / "sysusers.conf").read_text("utf-8")
    files[ETC / "tmpfiles.d" / "heygemd.conf"] = (shipped / "tmpfiles.conf").read_text("utf-8")
    return files


def _program() -> str:
    """Return the command that starts this installation."""
    script = Path(sys.executable).with_name("heygemd")
    return _word(script, command=True) if script.exists() else f"{_word(sys.executable, command=True)} -m heygemd"


def _escaped(path: object) -> str:
    """Return a path for a unit, where % begins a specifier."""
    return str(path).replace("%", "%%")


def _word(path: object, command: bool = False) -> str:
    """Return a path as one word of a list, or of a command line, where $ begins a variable."""
    text = _escaped(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace("$", "$$") if command else text}"' if re.search(r"""[\s"'\\$;]""", text) else text


def _daemon_drop_in(config: Config) -> str:
    """Return settings that let the daemon write to this configuration's folders; "" for the default folders."""
    default = Paths()
    wanted = [str(path) for name, path in config.paths if path != getattr(default, name)]
    wanted += [str(Path(config.metrics.textfile).parent)] if config.metrics.textfile else []
    if not wanted:
        return ""
    lines = [f"ReadWritePaths={_word(f'-{path}')}" for path in sorted(set(wanted))]
    if any(Path(path).is_relative_to(home) for path in wanted for home in HOMES):
        lines.append("ProtectHome=no")
    return "\n".join([*lines, ""])


def _notify_drop_in(config: Config) -> str:
    """Return settings that the sender of notifications needs for this configuration's folders; "" for the defaults."""
    default = Paths()
    own = config.paths
    lines = [f"ReadWritePaths={_word(f'-{own.state}')}\n"] if own.state != default.state else []
    lines += [f"InaccessiblePaths={_word(f'-{own.share}')}\n"] if own.share != default.share else []
    return "".join(lines)


def warnings(config_path: Path | None) -> Iterator[str]:
    """Yield what would prevent the installed service from running."""
    if any(Path(sys.prefix).is_relative_to(home) for home in HOMES):
        yield f"heygemd is installed in {sys.prefix}, which the service cannot read. Install it in /opt/heygemd."
    path = config_path or loader.DEFAULT_PATH
    if not path.exists():
        yield f"there is no configuration at {path}. Create one with heygemd init SHARE."


def install(files: dict[Path, str], start: bool) -> None:
    """Write the files and make systemd load them; with `start`, start the service now and at boot.

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
        _run("systemctl", "enable", "--now", *ENABLED)


def uninstall(files: dict[Path, str]) -> list[Path]:
    """Stop the service and remove its files; return their paths. Configuration, records, share and user are kept."""
    with contextlib.suppress(InfrastructureError):  # the units may not be installed
        _run("systemctl", "disable", "--now", *ENABLED)
    removed = [path for path in files if path.exists()]
    for path in removed:
        with _as_root(path):
            path.unlink()
    _run("systemctl", "daemon-reload")
    return removed


def run_doctor_inside_unit() -> str:
    """Run the doctor as the service's user with the installed unit's restrictions; return its output.

    Uses a temporary unit, because systemd-run needs a message bus. Raises the same errors as `install`.
    """
    unit, output = RUNTIME / "systemd" / "system" / DOCTOR_UNIT, RUNTIME / "heygemd-doctor.txt"
    text = _doctor_unit(_run("systemctl", "cat", UNITS[0]), output)
    with _as_root(unit):
        unit.write_text(text, "utf-8")
    try:
        _run("systemctl", "daemon-reload")
        with contextlib.suppress(InfrastructureError):  # the doctor exits with 1 if something is broken
            _run("systemctl", "start", DOCTOR_UNIT)
        return output.read_text("utf-8")
    finally:
        unit.unlink()
        output.unlink(missing_ok=True)
        _run("systemctl", "daemon-reload")


def _doctor_unit(unit: str, output: Path) -> str:
    """Return a unit with the [Service] section of `unit` that runs the doctor instead of the daemon."""
    section, kept, program = "", [], ""
    for line in unit.splitlines():
        key, equals, value = line.partition("=")
        if line.startswith("["):
            section = line
        elif section == "[Service]" and equals and not line.startswith(("#", ";")):
            program = value if key == "ExecStart" else program
            kept += [] if key in NOT_FOR_DOCTOR else [line]
    doctor = shlex.join("doctor" if word == "run" else word for word in shlex.split(program))
    own = ["Type=oneshot", f"ExecStart={doctor}", f"StandardOutput=truncate:{output}", "StandardError=inherit"]
    return "\n".join(["[Service]", *kept, *own, ""])


@contextlib.contextmanager
def _as_root(path: Path) -> Iterator[None]:
    """Raise ConfigError("root_needed") if changing `path` is not allowed."""
    try:
        yield
    except PermissionError:
        raise ConfigError("root_needed", path=str(path)) from None


def add_users() -> None:
    """Add the service's user and the groups. Safe to repeat. Raises InfrastructureError("system_command_failed")."""
    _run("systemd-sysusers", str(package_data.units() / "sysusers.conf"))


def move_to_group(name: str, group: str, from_group: str) -> None:
    """Move a user from one group to another. Raises InfrastructureError("system_command_failed")."""
    _run("usermod", "--append", "--groups", group, name)
    _run("gpasswd", "--delete", name, from_group)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfrastructureError("system_command_failed", command=shlex.join(command), reason=str(error)) from None
    if done.returncode != 0:
        raise InfrastructureError("system_command_failed", command=shlex.join(command), reason=done.stderr.strip())
    return done.stdout
