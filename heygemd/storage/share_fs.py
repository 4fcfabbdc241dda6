"""All access to the share: it is slow, it may vanish, and what lies in it was put there by anyone.

What an entry is, `kind_of` says and nothing else does. Only regular files are opened; where a file of ours goes,
anything else is set aside under another name.

The daemon calls these functions on its I/O thread only; `transfer` builds the long operations on them, step by step.
Faults of the operating system leave as typed errors: ShareError (the share itself, see `outage`), NotReady (one file is
held open, not ours or cannot be used), FileNotFoundError (a user removed it).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, ParamSpec, TypeVar

from loguru import logger

from ..errors import NotReady, ShareError, describe, printable
from .atomic import DISK_FULL, FOLDER, AtomicFile, noted, part_of, sync_folder_at, translating

MAX_ENTRIES = 10_000
"""Of one job folder; more are not looked at."""
OWN_ENTRIES = 100
"""What of the daemon's own may lie in it besides: it does not count."""
HIDDEN = ".heygemd"
"""Our own folder inside a job folder: results not yet published, owner, manifest."""
ORIGINALS = "originals"
"""In a finished folder: what it was made from, laid out as it came."""

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


class Entry(NamedTuple):
    """A file or folder in a job folder; `name` is relative to it and may be undecodable (surrogateescape)."""

    name: str
    kind: Kind
    size: int
    mtime_ns: int


class Folder(NamedTuple):
    """A job folder as one scan saw it; `error` is set if it could not be read."""

    name: str
    entries: tuple[Entry, ...]
    mtime_ns: int
    error: NotReady | ShareError | None = None


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
    return _unusable(error, where)


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


def _unusable(error: OSError, path: object) -> NotReady:
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
def _listable(path: Path) -> Iterator[int]:
    """Yield a descriptor of a folder for os.scandir and os.listdir."""
    with _descriptor(path, path) as folder, _opened(".", folder, os.O_RDONLY | os.O_DIRECTORY) as listed:
        yield listed


@contextlib.contextmanager
def _opened(name: str, folder: int, flags: int) -> Iterator[int]:
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


# --- reading -------------------------------------------------------------------------------------------------------


@on_share
def scan(root: Path, skip_dir: Callable[[str], bool]) -> tuple[list[Folder], list[Entry]]:
    """Return the job folders below `root` and the loose files in it: all that is no folder, links too.

    What cannot be read hides nothing else: a folder has an error then, anything else is of kind "other".
    """
    folders, loose = [], []
    with _listable(root) as here:
        for item in _listing(here):
            try:
                if not item.is_dir(follow_symlinks=False):
                    loose.append(_entry(item, item.name))
                elif not skip_dir(item.name):
                    folders.append(_folder(root, item.name, here, skip_dir))
            except (FileNotFoundError, NotADirectoryError):
                pass  # a user was faster
            except OSError:
                loose.append(Entry(item.name, "other", 0, 0))
    return folders, loose


def _folder(root: Path, name: str, outer: int, skip_dir: Callable[[str], bool]) -> Folder:
    """As `read_folder`, but any fault is the folder's error until it is known whether the share is at fault.

    outer  descriptor of the folder that holds it, because looking up whole paths would take most of a scan's time
    """
    with contextlib.suppress(OSError), _opened(name, outer, os.O_RDONLY | os.O_DIRECTORY) as here:
        return _contents(name, here, skip_dir)
    path = root / name
    try:
        return retry_stale(read_folder, path, skip_dir)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        typed = translate(error, path)
        return Folder(name, (), 0, typed if isinstance(typed, (NotReady, ShareError)) else _unusable(error, path))


def _listing(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as items:
        return sorted(items, key=lambda item: item.name)


def _kind_in_listing(item: os.DirEntry[str]) -> Kind:
    """As `kind`, without a call where the listing tells it."""
    if item.is_symlink():
        return "link"
    if item.is_dir(follow_symlinks=False):
        return "dir"
    return "file" if item.is_file(follow_symlinks=False) else "other"


def read_folder(path: Path, skip_dir: Callable[[str], bool]) -> Folder:
    """Return one job folder with its entries, those of its own folders, and of folders in originals/."""
    try:
        with _listable(path) as here:
            return _contents(path.name, here, skip_dir)
    except OSError as error:
        typed = translate(error, path)
        if isinstance(typed, NotReady):
            return Folder(path.name, (), 0, typed)
        raise


def _contents(name: str, folder: int, skip_dir: Callable[[str], bool]) -> Folder:
    entries = tuple(itertools.islice(_members(folder, "", skip_dir), MAX_ENTRIES + OWN_ENTRIES + 1))
    return Folder(name, entries, os.fstat(folder).st_mtime_ns)


def _members(folder: int, prefix: str, skip_dir: Callable[[str], bool]) -> Iterator[Entry]:
    for item in _listing(folder):
        entry = _entry(item, prefix + item.name)
        if entry.kind == "dir":
            if skip_dir(item.name):
                continue
            if prefix in ("", f"{ORIGINALS}/"):
                with _opened(item.name, folder, os.O_RDONLY | os.O_DIRECTORY) as inner:
                    yield from _members(inner, f"{prefix}{item.name}/", skip_dir)
        yield entry


def _entry(item: os.DirEntry[str], name: str) -> Entry:
    facts = item.stat(follow_symlinks=False)
    what = kind_of(facts.st_mode)
    return Entry(name, what, facts.st_size, facts.st_mtime_ns) if what == "file" else Entry(name, what, 0, 0)


@on_share
def tree(path: Path) -> list[tuple[Path, os.stat_result]]:
    """Return everything below a folder with what lstat says, contents before their folder."""
    found: list[tuple[Path, os.stat_result]] = []
    with _listable(path) as here:
        for item in _listing(here):
            if item.is_dir(follow_symlinks=False):
                found += tree(path / item.name)
            found.append((path / item.name, item.stat(follow_symlinks=False)))
    return found


@on_share
def fingerprint(path: Path) -> tuple[int, int]:
    """Return (size, mtime_ns) of a regular file; the server's clock is compared for equality only."""
    return size_and_mtime(lstat(path), path)


def size_and_mtime(seen: os.stat_result, path: Path) -> tuple[int, int]:
    """Return (size, mtime_ns) of a regular file. Raises NotReady("not_a_file")."""
    if kind_of(seen.st_mode) != "file":
        raise _not_ready("not_a_file", path)
    return seen.st_size, seen.st_mtime_ns


@on_share
def kind(path: Path) -> Kind | None:
    """Return what lies under a name, None if nothing does; a link is a link wherever it leads."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return kind_of(lstat(path).st_mode)
    return None


def exists(path: Path) -> bool:
    """Return whether something has that name; does not follow a link. A fault of the share is not an absence."""
    return kind(path) is not None


def is_folder(path: Path) -> bool:
    """Return whether this is a real folder; a link to one is not, because it may lead anywhere."""
    return kind(path) == "dir"


def is_file(path: Path) -> bool:
    """Return whether this is a regular file; a link to one is not."""
    return kind(path) == "file"


@on_share
def kinds(path: Path) -> dict[str, Kind]:
    """Return what lies in a folder by name, sorted; nothing if it does not exist."""
    try:
        with _listable(path) as here:
            return {item.name: _kind_in_listing(item) for item in _listing(here)}
    except FileNotFoundError:
        return {}


@on_share
def names(path: Path) -> list[str]:
    """Return the names in a folder; none if it does not exist."""
    try:
        with _listable(path) as here:
            return sorted(os.listdir(here))
    except FileNotFoundError:
        return []


@on_share
def read(path: Path, limit_bytes: int = 1 << 20) -> bytes:
    """Return a regular file's content, the first `limit_bytes` of it. Raises NotReady("not_a_file")."""
    with open_file(path) as file:
        return file.read(limit_bytes)


# --- writing -------------------------------------------------------------------------------------------------------


FOLDER_MODE, FILE_MODE = 0o2770, 0o660


def yield_to_group(path: Path, group: int | None, mode: int | None = None) -> None:
    """Let users move and delete what we created: best effort, because some servers refuse chmod and chown.

    Without `mode` the group may write, and others may do what they may do in the parent folder. Raises NotReady if it
    is a link by now.
    """
    with parent(path) as folder, _opened(path.name, folder, os.O_PATH) as item:
        if stat.S_ISLNK(os.fstat(item).st_mode):
            raise NotReady("name_taken", name=path.name)
        give_to_group(item, folder, group, mode)


def give_to_group(item: int, folder: int, group: int | None, mode: int | None = None) -> None:
    """As `yield_to_group`, by descriptors of the item and of the folder that holds it."""
    if mode is None:
        others = os.fstat(folder).st_mode & 0o007
        mode = FOLDER_MODE | others if stat.S_ISDIR(os.fstat(item).st_mode) else FILE_MODE | others & 0o006
    with contextlib.suppress(OSError):
        if group is not None:
            set_owner(item, -1, group)
    with contextlib.suppress(OSError):
        set_mode(item, mode)


def set_owner(item: int, user: int, group: int) -> None:
    """Change the owner of what a descriptor stands for, also one of O_PATH. Raises OSError."""
    os.chown(f"/proc/self/fd/{item}", user, group)


def set_mode(item: int, mode: int) -> None:
    """Change the permissions of what a descriptor stands for, also one of O_PATH. Raises OSError."""
    Path(f"/proc/self/fd/{item}").chmod(mode)


def give_to_user(path: Path, user: int) -> None:
    """Change the owner (as root) of a folder or a file of ours. Raises NotReady for anything else, OSError."""
    with parent(path) as folder, _opened(path.name, folder, os.O_PATH) as item:
        seen = os.fstat(item)
        if not _is_single(seen):
            raise NotReady("name_taken", name=path.name)
        set_owner(item, user, -1)
        if stat.S_ISDIR(seen.st_mode):
            set_mode(item, FOLDER_MODE)


def _is_single(seen: os.stat_result) -> bool:
    """Whether it is a folder, or a file without a second name elsewhere."""
    return stat.S_ISDIR(seen.st_mode) or (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1)


def change_group(root: Path, old: int, new: int) -> None:
    """Give every folder and file below `root` that has the group `old` the group `new`. Raises OSError."""
    for path, _ in tree(root):
        with parent(path) as folder, _opened(path.name, folder, os.O_PATH) as item:
            seen = os.fstat(item)
            if seen.st_gid == old and _is_single(seen):
                set_owner(item, -1, new)


def open_tree_to_group(root: Path, group: int) -> None:
    """Let a group (as root) read and write every folder and file below `root`. Raises OSError."""
    for path, _ in tree(root):
        with (
            contextlib.suppress(FileNotFoundError),  # staff may move it meanwhile
            parent(path) as folder,
            _opened(path.name, folder, os.O_PATH) as item,
        ):
            seen = os.fstat(item)
            if _is_single(seen):
                set_owner(item, -1, group)
                set_mode(item, seen.st_mode & 0o777 | (0o2070 if stat.S_ISDIR(seen.st_mode) else 0o060))


@on_share
def make_folder(path: Path, group: int | None = None) -> None:
    """Create a folder (parents must exist) that its group may write; anything else of that name is set aside."""
    with parent(path) as folder:
        if kind(path) is not None and not _is_writable_folder(path.name, folder):
            set_aside(path)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path.name, dir_fd=folder)
        try:
            with _opened(path.name, folder, os.O_PATH | os.O_DIRECTORY) as item:
                give_to_group(item, folder, group)
        except NotADirectoryError:
            raise NotReady("name_taken", name=path.name) from None


def _is_writable_folder(name: str, folder: int) -> bool:
    mode = os.R_OK | os.W_OK | os.X_OK
    is_folder = kind_of(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode) == "dir"
    return is_folder and os.access(name, mode, dir_fd=folder, effective_ids=True)


def set_aside(path: Path) -> None:
    """Give what has a name of ours another one beside it: "report.html" becomes "report (set aside).html"."""
    name = rename_noted(path, "set aside", path.parent)
    logger.warning("{} has a name of ours and is not: renamed to {}", printable(str(path)), printable(name))


def rename_noted(path: Path, note: str, into: Path) -> str:
    """Move a file or folder to a free name in `into` that says `note`: "a (NOTE).mp4", "a (NOTE 2).mp4" …; return it.

    Raises NotReady("name_taken") if there is none, OSError.
    """
    taken = names(into)
    candidates = (noted(path.name, note + number) for number in ("", *(f" {n}" for n in range(2, 100))))
    name = next((name for name in candidates if name not in taken), None)
    if name is None:
        raise NotReady("name_taken", name=path.name)
    rename(path, into / name)
    return name


def make_way(path: Path) -> None:
    """Set aside what lies where a file of ours, or its temporary file, is to be written and is no file itself."""
    for place in (path, part_of(path)):
        if kind(place) not in (None, "file"):
            set_aside(place)


@on_share
def open_to_group(path: Path, group: int | None) -> None:
    """Let the group write an existing folder, if we may change that."""
    yield_to_group(path, group, FOLDER_MODE | lstat(path).st_mode & 0o007)


@on_share
def create(path: Path, group: int | None = None, mode: int | None = None, durable: bool = True) -> AtomicFile:
    """Start a file that appears whole when published, over an earlier file only; `mode` as for `yield_to_group`."""
    make_way(path)
    file = AtomicFile(path, durable=durable, folder=open_folder(path.parent))
    give_to_group(file.descriptor, file.folder, group, mode)
    return file


@on_share
def write(path: Path, data: bytes, group: int | None = None, mode: int | None = None, durable: bool = True) -> None:
    """Write a small file atomically; `mode` as for `yield_to_group`."""
    with create(path, group, mode, durable) as file:
        file.write(data)


@on_share
def overwrite(path: Path, data: bytes) -> None:
    """Replace the content of a small file in place; never makes one, follows no link. Raises NotReady, OSError."""
    with parent(path) as folder, _opened(path.name, folder, os.O_WRONLY | os.O_NONBLOCK) as file:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise NotReady("not_a_file", path=str(path))
        os.write(file, data)
        os.ftruncate(file, len(data))


@on_share
def remove(path: Path) -> None:
    """Remove a file that we wrote, and its temporary file if a crash left one; absent is fine, a folder is not ours."""
    with contextlib.suppress(FileNotFoundError), parent(path) as folder:
        for name in (path.name, part_of(path).name):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=folder)


@on_share
def remove_folder(path: Path) -> None:
    """Remove a folder if it is empty; absent is fine."""
    with contextlib.suppress(FileNotFoundError), parent(path) as folder:
        try:
            os.rmdir(path.name, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


@on_share
def rename(source: Path, target: Path) -> None:
    """Rename within one mount; never replaces anything.

    NFS, 9p and FUSE refuse RENAME_NOREPLACE, so a check precedes a plain rename: we are the only writer of our
    folders. Raises FileExistsError, and OSError(EXDEV) if the two are on different mounts.
    """
    if exists(target):
        raise FileExistsError(errno.EEXIST, "exists", str(target))
    with parent(target) as into, parent(source) as out_of:
        os.rename(source.name, target.name, src_dir_fd=out_of, dst_dir_fd=into)
        sync_folder_at(into)
        if source.parent != target.parent:
            sync_folder_at(out_of)
