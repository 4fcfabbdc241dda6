"""All reading and writing on the share. Where a file of ours goes, anything else is set aside under another name.

The daemon calls these functions on its I/O thread only; `transfer` builds the long operations on them, step by step.
Their errors are those of `share_paths`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from ..errors import NotReady, ShareError, printable
from .atomic import AtomicFile, noted, part_of, sync_folder_at
from .share_owner import give_to_group, is_single, set_mode, set_owner
from .share_paths import (
    Kind,
    kind_of,
    listable,
    lstat,
    on_share,
    open_file,
    open_folder,
    opened,
    parent,
    retry_stale,
    size_and_mtime,
    translate,
    unusable,
)

MAX_ENTRIES = 10_000
"""Of one job folder; more are not looked at."""
OWN_ENTRIES = 100
"""What of the daemon's own may lie in it besides: it does not count."""
HIDDEN = ".heygemd"
"""Our own folder inside a job folder: results not yet published, owner, manifest."""
ORIGINALS = "originals"
"""In a finished folder: what it was made from, laid out as it came."""


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


@on_share
def scan(root: Path, skip_dir: Callable[[str], bool]) -> tuple[list[Folder], list[Entry]]:
    """Return the job folders below `root` and the loose files in it: all that is no folder, links too.

    What cannot be read hides nothing else: a folder has an error then, anything else is of kind "other".
    """
    folders, loose = [], []
    with listable(root) as here:
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
    with contextlib.suppress(OSError), opened(name, outer, os.O_RDONLY | os.O_DIRECTORY) as here:
        return _contents(name, here, skip_dir)
    path = root / name
    try:
        return retry_stale(read_folder, path, skip_dir)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        typed = translate(error, path)
        return Folder(name, (), 0, typed if isinstance(typed, (NotReady, ShareError)) else unusable(error, path))


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
        with listable(path) as here:
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
                with opened(item.name, folder, os.O_RDONLY | os.O_DIRECTORY) as inner:
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
    with listable(path) as here:
        for item in _listing(here):
            if item.is_dir(follow_symlinks=False):
                found += tree(path / item.name)
            found.append((path / item.name, item.stat(follow_symlinks=False)))
    return found


@on_share
def fingerprint(path: Path) -> tuple[int, int]:
    """Return (size, mtime_ns) of a regular file; the server's clock is compared for equality only."""
    return size_and_mtime(lstat(path), path)


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
        with listable(path) as here:
            return {item.name: _kind_in_listing(item) for item in _listing(here)}
    except FileNotFoundError:
        return {}


@on_share
def names(path: Path) -> list[str]:
    """Return the names in a folder; none if it does not exist."""
    try:
        with listable(path) as here:
            return sorted(os.listdir(here))
    except FileNotFoundError:
        return []


@on_share
def read(path: Path, limit_bytes: int = 1 << 20) -> bytes:
    """Return a regular file's content, the first `limit_bytes` of it. Raises NotReady("not_a_file")."""
    with open_file(path) as file:
        return file.read(limit_bytes)


# --- writing -------------------------------------------------------------------------------------------------------


def change_group(root: Path, old: int, new: int) -> None:
    """Give every folder and file below `root` that has the group `old` the group `new`. Raises OSError."""
    for path, _ in tree(root):
        with parent(path) as folder, opened(path.name, folder, os.O_PATH) as item:
            seen = os.fstat(item)
            if seen.st_gid == old and is_single(seen):
                set_owner(item, -1, new)


def open_tree_to_group(root: Path, group: int) -> None:
    """Let a group (as root) read and write every folder and file below `root`. Raises OSError."""
    for path, _ in tree(root):
        with (
            contextlib.suppress(FileNotFoundError),  # staff may move it meanwhile
            parent(path) as folder,
            opened(path.name, folder, os.O_PATH) as item,
        ):
            seen = os.fstat(item)
            if is_single(seen):
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
            with opened(path.name, folder, os.O_PATH | os.O_DIRECTORY) as item:
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
    with parent(path) as folder, opened(path.name, folder, os.O_WRONLY | os.O_NONBLOCK) as file:
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
