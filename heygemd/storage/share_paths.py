"""Paths on the share, and what faults of the operating system mean there.

The share is slow, it may vanish, and what lies in it was put there by anyone. What an entry is, `kind_of` says and
nothing else does. Only regular files are opened, and no link is followed.

Faults leave as typed errors: ShareError (the share itself, see `outage`), NotReady (one file is held open, not ours or
cannot be used), FileNotFoundError (a user removed it).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, ParamSpec, TypeVar

from ..errors import NotReady, ShareError, describe
from .atomic import DISK_FULL, FOLDER, translating

Kind = Literal["file", "dir", "link", "other"]
"""What lies under a name; "other": a pipe, socket or device."""

NO_PERMISSION = {errno.EACCES, errno.EPERM}
HELD_OPEN = {errno.EBUSY, errno.ETXTBSY}
NOT_A_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV}
"""Opening a link without following it, a socket, a device that is not there."""
OF_ONE_PATH = {
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.EXDEV,
    errno.ENOTDIR,
    errno.EISDIR,
}

KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}

P = ParamSpec("P")
R = TypeVar("R")


def of_one_path(error: OSError) -> bool:
    """Whether an error is about the path that was asked for, not about the share."""
    return isinstance(error, FileNotFoundError) or error.errno in OF_ONE_PATH


def translate(error: OSError, path: object = "") -> Exception:
    """Return the typed error for an OSError met on the share, or the error itself where it is about one path."""
    named = str(error.filename or "")
    where = named if named.startswith("/") else str(path or named)
    if of_one_path(error):
        return error
    if error.errno in DISK_FULL:
        return ShareError("share_full", path=where)
    if error.errno in NO_PERMISSION:
        return _not_ready("no_permission", where)
    if error.errno in HELD_OPEN:
        return _not_ready("held_open", where)
    if error.errno in NOT_A_FILE:
        return _not_ready("not_a_file", where)
    root = _root_of(Path(where))
    if not _markers.get(root) or outage(root) is not None:
        return _unavailable(error, where)
    return unusable(error, where)


def outage(root: Path) -> ShareError | None:
    """Return why a share itself cannot be used; None while its marker can be read and it is not mounted read-only.

    While it answers, one file's fault is that file's; while it does not, nobody removed what is missing.
    """
    try:
        with open_file(root / _markers[root]) as marker:
            marker.read(1)
        read_only = os.statvfs(root).f_flag & os.ST_RDONLY
    except FileNotFoundError:
        return ShareError("share_missing", path=str(root))
    except OSError as error:
        return _unavailable(error, root)
    except NotReady as error:
        return ShareError("share_unavailable", path=str(root), reason=describe(error))
    return _unavailable(OSError(errno.EROFS, ""), root) if read_only else None


def _unavailable(error: OSError, path: object) -> ShareError:
    return ShareError("share_unavailable", reason=_reason(error), path=str(path))


def unusable(error: OSError, path: object) -> NotReady:
    """Return the fault of one file or folder that cannot be used though the share answers."""
    return NotReady("file_unusable", path=str(path), name=Path(str(path)).name, reason=_reason(error))


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO)


def _not_ready(code: str, path: object) -> NotReady:
    return NotReady(code, path=str(path), name=Path(str(path)).name)


def on_share(function: Callable[P, R]) -> Callable[P, R]:
    """Translate faults, and try once more after a stale handle. Its first argument is what they are about."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with translating(translate, args[0] if args else ""):
            return retry_stale(function, *args, **kwargs)

    return guarded


def retry_stale(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function`, and once more when the server no longer knows a handle: looking up the path gets a new one."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return function(*args, **kwargs)


# --- paths ---------------------------------------------------------------------------------------------------------

_markers: dict[Path, str] = {}
"""The anchors, and the name of the file in each that shows that the share is there ("": there is none)."""


def anchor(root: Path, marker: str = "") -> None:
    """Let the path of a share's root lead through links: an administrator chose it. Below it, none is ever followed.

    A path below no anchor may contain no link at all. `marker`: name of the file that shows that the share is there.
    """
    _markers[root.absolute()] = marker or _markers.get(root.absolute(), "")


def _root_of(path: Path) -> Path:
    """Return the nearest anchor above a path, or the root of the file system."""
    return next((here for here in (path, *path.parents) if here in _markers), Path("/"))


def open_folder(path: Path) -> int:
    """Return a descriptor (O_PATH) of a folder, opened component by component so that no link is followed.

    Everything is then done relative to it (openat, renameat, …): users who replace a folder by a link meanwhile change
    nothing. Raises NotADirectoryError for a link or a file, OSError.
    """
    path = path.absolute()
    root = _root_of(path)
    names = path.relative_to(root).parts
    if ".." in names:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
    folder = -1
    try:
        folder = os.open(root, FOLDER)
        for name in names:
            outer, folder = folder, os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(outer)
    except OSError as error:
        if folder >= 0:
            os.close(folder)
        error.filename = str(path)
        raise
    return folder


@contextlib.contextmanager
def _descriptor(path: Path, named: Path) -> Iterator[int]:
    """Yield what `open_folder` returns; errors of the block name the path `named`."""
    folder = open_folder(path)
    try:
        yield folder
    except OSError as error:
        error.filename = str(named)
        raise
    finally:
        os.close(folder)


def parent(path: Path) -> contextlib.AbstractContextManager[int]:
    """Yield a descriptor of the folder that holds `path`; errors of the block name the whole path."""
    return _descriptor(path.parent, path)


@contextlib.contextmanager
def listable(path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder for os.scandir and os.listdir."""
    with _descriptor(path, path) as folder, opened(".", folder, os.O_RDONLY | os.O_DIRECTORY) as listed:
        yield listed


@contextlib.contextmanager
def opened(name: str, folder: int, flags: int) -> Iterator[int]:
    """Yield a descriptor of what has that name in the folder of a descriptor; no link is followed. Raises OSError."""
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def lstat(path: Path) -> os.stat_result:
    """Return what is known of a file, folder or link. Raises OSError."""
    with parent(path) as folder:
        return os.stat(path.name, dir_fd=folder, follow_symlinks=False)


def kind_of(mode: int) -> Kind:
    """Return what a `st_mode` of lstat stands for."""
    return KINDS.get(stat.S_IFMT(mode), "other")


def open_file(path: Path) -> BinaryIO:
    """Open a regular file to read: nothing else is opened or waited for. Raises NotReady("not_a_file"), OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with parent(path) as folder:
        # Before opening, because that has effects on a device.
        size_and_mtime(os.stat(path.name, dir_fd=folder, follow_symlinks=False), path)
        fd = os.open(path.name, flags, dir_fd=folder)
    if kind_of(os.fstat(fd).st_mode) != "file":
        os.close(fd)
        raise _not_ready("not_a_file", path)
    return os.fdopen(fd, "rb", buffering=0)


def size_and_mtime(seen: os.stat_result, path: Path) -> tuple[int, int]:
    """Return (size, mtime_ns) of a regular file. Raises NotReady("not_a_file")."""
    if kind_of(seen.st_mode) != "file":
        raise _not_ready("not_a_file", path)
    return seen.st_size, seen.st_mtime_ns
