"""Files that appear complete: the one place that writes temporary files, syncs and renames them; the one digest loop.

`write`, `make_folder`, `rename` and `on_local_disk` are for the local disks (state, scratch, cache, models): their
faults leave as LocalDiskError. `AtomicFile`, `publish` and `digest` raise plain OSError; `share_fs` and `transfer`
build on them and give the share's faults its own family. Light: the daemon, the renderer and the commands use it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, TypeVar

from ..errors import LocalDiskError

PART = ".heygemd-part"
"""Ends the hidden name under which a file or folder is made."""
NAME_BYTES = 255
"""The longest name that file systems take."""
BLOCK_BYTES = 1 << 20
PRIVATE_FOLDER, PRIVATE_FILE, OTHERS = 0o700, 0o600, 0o077
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""Opens a folder to reach what is in it; needs no right to list it, and asks nothing of a file server."""

Translator = Callable[[OSError, object], Exception]
R = TypeVar("R")
Steps = Generator[int, None, R]
"""A long operation in steps, each yielding the bytes done."""


# --- faults --------------------------------------------------------------------------------------------------------


def translate(error: OSError, path: object = "") -> LocalDiskError:
    """Return the typed error for an OSError met on a local disk."""
    where = str(error.filename or path)
    if error.errno in DISK_FULL:
        return LocalDiskError("disk_full", path=where)
    return LocalDiskError("disk_unavailable", path=where, reason=os.strerror(error.errno or errno.EIO))


@contextlib.contextmanager
def translating(translator: Translator, path: object = "") -> Iterator[None]:
    """Let an OSError leave the block as the error that `translator` makes of it."""
    try:
        yield
    except OSError as error:
        typed = translator(error, path)
        if typed is error:
            raise
        raise typed from error


def on_local_disk(path: object = "") -> contextlib.AbstractContextManager[None]:
    """Let an OSError leave the block as LocalDiskError; `path` is named where the error names none."""
    return translating(translate, path)


# --- writing -------------------------------------------------------------------------------------------------------


class AtomicFile:
    """A file being written under a hidden name beside its target. Raises OSError.

    `publish` makes it appear whole, in place of what was there; `discard` leaves nothing. As a context manager it is
    published at the end of the block, or discarded when the block raises.
    """

    def __init__(
        self, target: Path, *, durable: bool = True, mode: int = 0o600, unique: bool = False, folder: int | None = None
    ) -> None:
        """Create the temporary file, in place of what has its name.

        durable   sync the file and the folder, so that a crash of the machine cannot lose or empty it
        mode      permissions, lessened by the umask
        unique    a name of its own, for targets that several processes may write at once
        folder    a descriptor of the target's folder, closed at the end; without it the folder is opened by its path
        """
        self.target = target
        self.path = part_of(target, uuid.uuid4().hex if unique else "")
        self.written = 0
        self._durable = durable
        self._published = False
        self._fd = -1
        self.folder = open_folder(target.parent) if folder is None else folder
        try:
            self._fd = self._create(mode)
        except OSError as error:
            self._close()
            error.filename = str(self.target)
            raise

    def _create(self, mode: int) -> int:
        """Return a descriptor of a new file: never one that somebody else made under that name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(self.path.name, flags, mode, dir_fd=self.folder)
        except FileExistsError:
            os.unlink(self.path.name, dir_fd=self.folder)
            return os.open(self.path.name, flags, mode, dir_fd=self.folder)

    @property
    def descriptor(self) -> int:
        """The open temporary file."""
        return self._fd

    def write(self, data: bytes) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.written += len(data)

    def chmod(self, mode: int) -> None:
        """Set exactly these permissions, where the file system has any."""
        with contextlib.suppress(OSError):
            os.fchmod(self._fd, mode)

    def sync(self) -> None:
        """Bring what is written to the disk."""
        os.fsync(self._fd)

    def publish(self) -> None:
        """Sync, close and rename."""
        if self._durable:
            self.sync()
        self._close_file()
        try:
            os.replace(self.path.name, self.target.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except OSError as error:
            error.filename, error.filename2 = str(self.target), None
            raise
        self._published = True
        if self._durable:
            sync_folder_at(self.folder)

    def discard(self) -> None:
        """Remove the temporary file, if `publish` did not give it its name, and close everything."""
        if self.folder >= 0 and not self._published:
            with contextlib.suppress(OSError):
                os.unlink(self.path.name, dir_fd=self.folder)
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(OSError):  # a file that was not synced and cannot be: it is removed anyway
            self._close_file()
        folder, self.folder = self.folder, -1
        if folder >= 0:
            os.close(folder)

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self.discard()


def write(path: Path, data: bytes, *, mode: int = PRIVATE_FILE, durable: bool = True) -> None:
    """Write a small file atomically, with exactly these permissions. Raises LocalDiskError."""
    with on_local_disk(path), AtomicFile(path, durable=durable) as file:
        file.chmod(mode)
        file.write(data)


class NotPrivate(OSError):
    """A file that should be ours alone is a link, belongs to another user or can be written by others."""


def read(path: Path, limit_bytes: int = 64 << 20) -> bytes:
    """Return the content of a small private file. Raises NotPrivate, OSError.

    Its owner is this user, root, or the owner of its folder (an administrator looks at the service's records).
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotPrivate(errno.EPERM, "is not an ordinary file", str(path)) from None
        raise
    with os.fdopen(fd, "rb") as file:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise NotPrivate(errno.EPERM, "is not an ordinary file", str(path))
        if facts.st_uid not in (os.geteuid(), 0, path.parent.stat().st_uid) or facts.st_mode & 0o022:
            raise NotPrivate(errno.EPERM, "could have been written by another user", str(path))
        return file.read(limit_bytes)


def publish(part: Path, target: Path) -> None:
    """Give a finished file that another program wrote its name, after a sync. Raises OSError."""
    sync_file(part)
    part.replace(target)
    sync_folder(target.parent)


def sync_file(path: Path) -> None:
    """Bring a local file's content to the disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable; file systems that cannot are left alone."""
    with contextlib.suppress(OSError):
        fd = open_folder(path)
        try:
            sync_folder_at(fd)
        finally:
            os.close(fd)


def sync_folder_at(folder: int) -> None:
    """As `sync_folder`, by a descriptor (which may be one of O_PATH)."""
    with contextlib.suppress(OSError):
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def open_folder(path: Path) -> int:
    """Return a descriptor (O_PATH) of a local folder. Raises OSError."""
    return os.open(path, FOLDER)


def make_folder(path: Path) -> None:
    """Make a private folder, and its parents; one that is there is fine. Raises LocalDiskError."""
    with on_local_disk(path):
        path.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)


def make_private(folder: Path) -> bool:
    """Make a folder that belongs to this user alone; return whether one that is there was open to others and is closed.

    Raises LocalDiskError("folder_not_private") if it belongs to another user, who could change it at any time.
    """
    make_folder(folder)
    with on_local_disk(folder):
        facts = folder.stat()
    if facts.st_uid != os.geteuid():
        raise LocalDiskError("folder_not_private", path=str(folder), owner=facts.st_uid, user=os.geteuid())
    return close_to_others(folder)


def open_to_others(folder: Path) -> bool:
    """Return whether other users may enter a folder that should be private. Raises OSError."""
    return bool(folder.stat().st_mode & OTHERS)


def close_to_others(folder: Path) -> bool:
    """Take all rights to a folder and to its owner's files in it from group and others; return whether they had any.

    Does nothing if the folder itself is closed: nobody can reach what is in it. Follows no link, because root calls it
    on folders that others could write. Raises LocalDiskError.
    """
    with on_local_disk(folder):
        if not open_to_others(folder):
            return False
        owner = folder.stat().st_uid
        folder.chmod(PRIVATE_FOLDER)  # first: from now on nobody else comes in
        for _, folders, files, here in os.fwalk(folder, follow_symlinks=False):
            for name in (*folders, *files):
                item = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                try:
                    facts = os.fstat(item)
                    if facts.st_uid == owner and facts.st_mode & OTHERS and not stat.S_ISLNK(facts.st_mode):
                        Path(f"/proc/self/fd/{item}").chmod(stat.S_IMODE(facts.st_mode) & 0o700)
                finally:
                    os.close(item)
    return True


def check_writable(folder: Path) -> None:
    """Make a local folder if absent, and a file in it for a moment. Raises LocalDiskError."""
    make_folder(folder)
    with on_local_disk(folder):
        AtomicFile(folder / "writable", durable=False, unique=True).discard()


def rename(source: Path, target: Path) -> None:
    """Move a file within a local disk, replacing what was there. Raises LocalDiskError, FileNotFoundError."""
    try:
        source.replace(target)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise translate(error, target) from error


def part_of(path: Path, unique: str = "") -> Path:
    """Return the name under which a file or folder is made before it appears as `path`."""
    return path.with_name(f".{cut(path.name, NAME_BYTES - 60)}{unique and '.'}{unique}{PART}")


def cut(name: str, size_bytes: int) -> str:
    """Return a name that takes at most `size_bytes`, whole characters only."""
    raw = os.fsencode(name)
    return name if len(raw) <= size_bytes else raw[:size_bytes].decode("utf-8", "ignore")


def noted(name: str, note: str) -> str:
    """Return a file's name with a note before its ending, "a (NOTE).mp4", cut where it would be too long."""
    path = PurePath(name)
    ending = f" ({note}){cut(path.suffix, NAME_BYTES // 2)}"
    return cut(path.stem, NAME_BYTES - len(os.fsencode(ending))) + ending


# --- digests -------------------------------------------------------------------------------------------------------


def blake2() -> Any:
    """Return a running BLAKE2b of 160 bits, which identifies contents in caches and copies."""
    return hashlib.blake2b(digest_size=20)


sha256 = hashlib.sha256
"""For files whose digest somebody else published."""


def digest(blocks: Iterable[bytes], algorithm: Callable[[], Any] = blake2) -> str:
    """Return the digest (hex) of what `blocks` yields."""
    return finish(digest_steps(blocks, algorithm))


def digest_steps(blocks: Iterable[bytes], algorithm: Callable[[], Any] = blake2) -> Steps[str]:
    """As `digest`, yielding the bytes done after each block."""
    running, size = algorithm(), 0
    for block in blocks:
        running.update(block)
        size += len(block)
        yield size
    return str(running.hexdigest())


def finish(steps: Steps[R]) -> R:
    """Run a long operation to its end here and now, for callers without an I/O thread."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def blocks_of(path: Path, size_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield a file's content. Raises OSError."""
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(size_bytes):
            yield block
