"""All access to the share: it is slow, it may vanish, and what lies in it was put there by anyone.

The daemon calls these functions on its I/O thread only; `transfer` builds the long operations on them, step by step.
Faults of the operating system leave as typed errors: ShareError (the share itself), NotReady (one file is held open or
not ours), FileNotFoundError (a user removed it).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, ParamSpec, TypeVar

from ..errors import NotReady, ShareError
from .atomic import DISK_FULL, AtomicFile, part_of, sync_folder, translating

MAX_ENTRIES = 2000
HIDDEN = ".heygemd"
"""Our own folder inside a job folder: results not yet published, owner, manifest."""

NO_PERMISSION = {errno.EACCES, errno.EPERM}
HELD_OPEN = {errno.EBUSY, errno.ETXTBSY}
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

P = ParamSpec("P")
R = TypeVar("R")


class Entry(NamedTuple):
    """A file or folder in a job folder; `name` is relative to it and may be undecodable (surrogateescape)."""

    name: str
    kind: Literal["file", "dir", "link", "other"]
    size: int
    mtime_ns: int


class Folder(NamedTuple):
    """A job folder as one scan saw it; `error` is set if it could not be read."""

    name: str
    entries: tuple[Entry, ...]
    mtime_ns: int
    error: NotReady | None = None


def of_one_path(error: OSError) -> bool:
    """Whether an error is about the path that was asked for, not about the share."""
    return isinstance(error, FileNotFoundError) or error.errno in OF_ONE_PATH


def translate(error: OSError, path: object = "") -> Exception:
    """Return the typed error for an OSError met on the share, or the error itself where it is about one path."""
    where = str(error.filename or path)
    if of_one_path(error):
        return error
    if error.errno in DISK_FULL:
        return ShareError("share_full", path=where)
    if error.errno in NO_PERMISSION:
        return NotReady("no_permission", path=where)
    if error.errno in HELD_OPEN:
        return NotReady("held_open", path=where)
    return ShareError("share_unavailable", reason=os.strerror(error.errno or errno.EIO), path=where)


def on_share(function: Callable[P, R]) -> Callable[P, R]:
    """Translate faults, and try once more after a stale handle."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with translating(translate):
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


# --- reading -------------------------------------------------------------------------------------------------------


@on_share
def scan(root: Path, skip_dir: Callable[[str], bool]) -> tuple[list[Folder], list[str]]:
    """Return the job folders below `root` and the names of loose files in it."""
    folders, loose = [], []
    with os.scandir(root) as items:
        listing = sorted(items, key=lambda item: item.name)
    for item in listing:
        if item.is_dir(follow_symlinks=False):
            if not skip_dir(item.name):
                with contextlib.suppress(FileNotFoundError):
                    folders.append(read_folder(root / item.name, skip_dir))
        else:
            loose.append(item.name)
    return folders, loose


def read_folder(path: Path, skip_dir: Callable[[str], bool]) -> Folder:
    """Return one job folder with its entries, and those of its own folders."""
    try:
        entries = tuple(_members(path, "", skip_dir))
        return Folder(path.name, entries, path.stat().st_mtime_ns)
    except OSError as error:
        typed = translate(error, path)
        if isinstance(typed, NotReady):
            return Folder(path.name, (), 0, typed)
        raise


def _members(path: Path, prefix: str, skip_dir: Callable[[str], bool]) -> Iterator[Entry]:
    with os.scandir(path) as items:
        for count, item in enumerate(sorted(items, key=lambda item: item.name)):
            if count > MAX_ENTRIES:
                return
            facts = item.stat(follow_symlinks=False)
            kind: Literal["file", "dir", "link", "other"] = "other"
            if stat.S_ISREG(facts.st_mode):
                kind = "file"
            elif stat.S_ISLNK(facts.st_mode):
                kind = "link"
            elif stat.S_ISDIR(facts.st_mode):
                kind = "dir"
                if skip_dir(item.name):
                    continue
                if not prefix:
                    yield from _members(path / item.name, item.name + "/", skip_dir)
            size = facts.st_size if kind == "file" else 0
            yield Entry(prefix + item.name, kind, size, facts.st_mtime_ns if kind == "file" else 0)


@on_share
def fingerprint(path: Path) -> tuple[int, int]:
    """Return (size, mtime_ns) of a regular file; the server's clock is compared for equality only."""
    return size_and_mtime(path)


def size_and_mtime(path: Path) -> tuple[int, int]:
    """As `fingerprint`, for any disk. Raises NotReady("not_a_file"), OSError."""
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise NotReady("not_a_file", path=str(path))
    return facts.st_size, facts.st_mtime_ns


@on_share
def exists(path: Path) -> bool:
    """Return whether something has that name; does not follow a link."""
    return os.path.lexists(path)


@on_share
def is_folder(path: Path) -> bool:
    """Return whether this is a real folder; a link to one is not, because it may lead anywhere."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


@on_share
def names(path: Path) -> list[str]:
    """Return the names in a folder; none if it does not exist."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


@on_share
def read(path: Path, limit_bytes: int = 1 << 20) -> bytes:
    """Return a small regular file's content; refuses links, pipes and devices."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotReady("not_a_file", path=str(path))
        return file.read(limit_bytes)


# --- writing -------------------------------------------------------------------------------------------------------


FOLDER_MODE, FILE_MODE = 0o2770, 0o660


def yield_to_group(path: Path, group: int | None, mode: int | None = None) -> None:
    """Let users move and delete what we create: best effort, because some servers refuse chmod and chown.

    Without `mode` the group may write, and others may do what they may do in the parent folder.
    """
    if mode is None:
        others = path.parent.stat().st_mode & 0o007
        mode = FOLDER_MODE | others if path.is_dir() else FILE_MODE | others & 0o006
    with contextlib.suppress(OSError):
        if group is not None:
            os.chown(path, -1, group)
    with contextlib.suppress(OSError):
        path.chmod(mode)


@on_share
def make_folder(path: Path, group: int | None = None) -> None:
    """Create a folder (parents must exist) that its group may write. Raises NotReady if a file or link is there."""
    try:
        path.mkdir()
    except FileExistsError:
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise NotReady("name_taken", name=path.name) from None
    yield_to_group(path, group)


@on_share
def open_to_group(path: Path, group: int | None) -> None:
    """Let the group write an existing folder, if we may change that."""
    yield_to_group(path, group, FOLDER_MODE | path.stat().st_mode & 0o007)


@on_share
def write(path: Path, data: bytes, group: int | None = None, mode: int | None = None, durable: bool = True) -> None:
    """Write a small file atomically; `mode` as for `yield_to_group`."""
    with AtomicFile(path, durable=durable, mode=FILE_MODE) as file:
        file.write(data)
        yield_to_group(file.path, group, mode)


@on_share
def remove(path: Path) -> None:
    """Remove a file that we wrote, and its temporary file if a crash left one; absent is fine."""
    path.unlink(missing_ok=True)
    part_of(path).unlink(missing_ok=True)


@on_share
def remove_folder(path: Path) -> None:
    """Remove a folder if it is empty; absent is fine."""
    with contextlib.suppress(FileNotFoundError):
        try:
            path.rmdir()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


@on_share
def rename(source: Path, target: Path) -> None:
    """Rename within one mount; never replaces anything.

    NFS, 9p and FUSE refuse RENAME_NOREPLACE, so a check precedes a plain rename: we are the only writer of our
    folders. Raises FileExistsError, and OSError(EXDEV) if the two are on different mounts.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "exists", str(target))
    source.rename(target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)
