"""The exit statuses of the command line."""

from __future__ import annotations

import enum

from .errors import ConfigError, HeygemdError, InfrastructureError, InputError


class Exit(enum.IntEnum):
    """Exit statuses; those from 69 to 78 are named after sysexits.h."""

    OK = 0
    PROBLEM = 1
    USAGE = 2
    SOME_FAILED = 3
    INPUT = 4
    ENGINE = 5
    UNAVAILABLE = 69
    SECOND_DAEMON = 75
    CONFIG = 78
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "success",
    Exit.PROBLEM: (
        "doctor, models verify: a problem was found; sync: out of sync, or it\n"
        "cannot be measured; status: no daemon has run with this configuration,\n"
        "or it was killed or hangs; notify: something was not sent;\n"
        "any command: a bug"
    ),
    Exit.USAGE: "wrong usage",
    Exit.SOME_FAILED: "once, demo: some videos failed; once: something was left",
    Exit.INPUT: "an input file or name cannot be used",
    Exit.ENGINE: "rendering failed",
    Exit.UNAVAILABLE: "the share, a disk, the GPU or a program is not available",
    Exit.SECOND_DAEMON: "another daemon is running with the same records",
    Exit.CONFIG: "the configuration is wrong (systemd does not restart the daemon)",
    Exit.INTERRUPTED: "interrupted",
}


def table() -> str:
    """Return the statuses and their meanings for `--help`, in at most 78 columns."""
    lines = ["Exit status:"]
    for status, meaning in MEANINGS.items():
        first, *more = meaning.split("\n")
        lines += [f"  {status.value:>3}  {first}", *(f"{'':7}{line}" for line in more)]
    return "\n".join(lines)


def of(error: HeygemdError) -> Exit:
    """Return the exit status for an error."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, InputError):
        return Exit.INPUT
    if isinstance(error, InfrastructureError):
        return Exit.UNAVAILABLE
    return Exit.ENGINE
