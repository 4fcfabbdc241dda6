"""A sandbox for the renderer and for ffprobe: no new privileges, no network, no writing outside its scratch folders.

A decoder that a malicious file takes over gets no further, nor does any program that it starts. It needs no privileges
and only kernel features: no_new_privs, seccomp (a filter on socket) and Landlock (Linux 5.19 or later).

As a script it runs a program that may write nothing at all; it imports only Python's own modules, to start quickly.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
LANDLOCK_VERSION, LANDLOCK_PATH_BENEATH = 1, 1

WRITE_FILE, TRUNCATE = 1 << 1, 1 << 14
CHANGES = WRITE_FILE | TRUNCATE | sum(1 << bit for bit in range(4, 14))
"""Everything that changes a file system: write, truncate, remove, make, move (linux/landlock.h). Reading is allowed."""
SCOPE_SIGNAL = 1 << 1
"""No signals to processes outside the sandbox, above all not to the daemon."""

OPEN_FILES = 4096

SECCOMP_ALLOW, SECCOMP_ERRNO = 0x7FFF0000, 0x00050000
LOAD, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16
IO_URING_SETUP, X32_BIT = 425, 0x40000000
EPERM, EAFNOSUPPORT = 1, 97
SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The kernel's name of the architecture and its number for socket(2)."""

_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(OSError):
    """The kernel, or a sandbox around this process, does not offer a feature."""


def confined(argv: Sequence[str]) -> list[str]:
    """Return the argv of a program inside the sandbox, where it may write nothing."""
    return [sys.executable, "-I", "-S", __file__, *argv]


def confine(writable: Iterable[Path], *, libraries: bool = True) -> list[str]:
    """Enter the sandbox for good, with every process started from now on; call it before any thread is started.

    `writable`: folders that may be changed, created if missing; `libraries`: also those that librosa and CUDA need.
    Returns the features that are not available.
    """
    writable = [*writable, *(_needed_by_libraries() if libraries else ())]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    missing = []
    for step in (_no_new_privileges, _no_network, lambda: _write_only(writable)):
        try:
            step()
        except OSError as error:
            missing.append(str(error))
    return missing


def limit_file_size(size_bytes: int) -> None:
    """Limit the size of every file written: a larger write fails with EFBIG."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    size = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _check(result: int, what: str) -> int:
    if result < 0:
        raise Unavailable(ctypes.get_errno(), what)
    return result


def _no_new_privileges() -> None:
    _check(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _no_network() -> None:
    """Refuse sockets of any family but AF_UNIX, and io_uring, which could open them too."""
    if platform.machine() not in SOCKET_CALLS:
        raise Unavailable(0, "seccomp")
    architecture, socket = SOCKET_CALLS[platform.machine()]
    steps = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (IF_EQUAL, 0, 4, architecture),  # another architecture numbers its calls differently: refused
        (LOAD, 0, 0, NUMBER_AT),
        (IF_AT_LEAST, 2, 0, X32_BIT),
        (IF_EQUAL, 1, 0, IO_URING_SETUP),
        (IF_EQUAL, 1, 3, socket),
        (RETURN, 0, 0, SECCOMP_ERRNO | EPERM),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (IF_EQUAL, 0, 1, 1),  # AF_UNIX
        (RETURN, 0, 0, SECCOMP_ALLOW),
        (RETURN, 0, 0, SECCOMP_ERRNO | EAFNOSUPPORT),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    _check(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0), "seccomp")


def _write_only(writable: Iterable[Path]) -> None:
    """Allow writing in `writable` only, and to what lies in /dev and /proc/self."""
    version = _check(_libc.syscall(LANDLOCK_CREATE, None, 0, LANDLOCK_VERSION), "landlock")
    if version < 2:  # version 1 forbids every move between folders
        raise Unavailable(0, "landlock")
    handled = CHANGES if version >= 3 else CHANGES & ~TRUNCATE
    rules = struct.pack("=QQQ", handled, 0, SCOPE_SIGNAL if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _check(_libc.syscall(LANDLOCK_CREATE, rules, size, 0), "landlock")
    try:
        for path in writable:
            path.mkdir(parents=True, exist_ok=True)
            _allow(ruleset, path, handled)
        for place in ("/dev", "/proc/self"):
            _allow(ruleset, Path(place), handled & (WRITE_FILE | TRUNCATE))
        _check(_libc.syscall(LANDLOCK_RESTRICT, ruleset, 0), "landlock")
    finally:
        os.close(ruleset)


def _needed_by_libraries() -> Iterator[Path]:
    """Shared memory, and the cache of librosa's compiled code: in its package, or where NUMBA_CACHE_DIR says."""
    yield Path("/dev/shm")
    yield Path(os.environ.get("NUMBA_CACHE_DIR") or librosa_folder())


def librosa_folder() -> Path:
    """Return where librosa is installed, without importing it; it may be another place than this environment's own."""
    spec = find_spec("librosa")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("librosa")
    return Path(spec.origin).parent


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            beneath = struct.pack("=Qi", rights, folder)
            _check(_libc.syscall(LANDLOCK_ADD, ruleset, LANDLOCK_PATH_BENEATH, beneath, 0), "landlock")
        finally:
            os.close(folder)


if __name__ == "__main__":
    confine([], libraries=False)
    os.execvp(sys.argv[1], sys.argv[1:])
