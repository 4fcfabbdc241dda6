"""What the exit status of the command line says."""

from __future__ import annotations

import enum

from .errors import ConfigError, HeygemdError, InfrastructureError, InputError


class Exit(enum.IntEnum):
    """Exit statuses; the last ones are those of sysexits.h."""

    OK = 0
    PROBLEM = 1  # a bug in heygemd, or `doctor`, `models verify` or `status` found something wrong
    USAGE = 2  # the command line cannot be understood
    SOME_FAILED = 3  # `once`, `demo`: the work is done, but not every video could be made
    INPUT = 4  # a file or name that was given cannot be used; the same again cannot help
    ENGINE = 5  # rendering failed on our side
    UNAVAILABLE = 69  # the share, a disk, the GPU or a program is not available now
    SECOND_DAEMON = 75  # another daemon already works with these records
    CONFIG = 78  # the configuration is wrong; systemd does not restart on this one
    INTERRUPTED = 130


WORDS = (
    "Exit status: 0 done · 1 something is wrong (doctor, models verify, status), or a bug · 2 wrong usage · "
    "3 some videos failed · 4 an input cannot be used · 5 rendering failed · 69 share, disk, GPU or ffmpeg not "
    "available · 75 another daemon runs · 78 bad configuration · 130 interrupted"
)


def of(error: HeygemdError) -> Exit:
    """Return the exit status that stands for a fault."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, InputError):
        return Exit.INPUT
    if isinstance(error, InfrastructureError):
        return Exit.UNAVAILABLE
    return Exit.ENGINE
