"""Long share operations as generators of small steps.

Each step is one block, so that the I/O thread is never held for longer and a share that hangs is noticed at once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import InfrastructureError, NotReady
from . import atomic, share_fs, share_paths
from .atomic import BLOCK_BYTES, AtomicFile, Translator, digest_steps, part_of, translating
from .atomic import Steps as Steps  # with `finish`, what callers of this module need
from .atomic import finish as finish
from .share_fs import make_folder, remove, remove_folder, rename
from .share_owner import give_to_group
from .share_paths import retry_stale, size_and_mtime


class Side(NamedTuple):
    """Where a copy comes from or goes to: how its folders are opened and its faults named."""

    translate: Translator
    open_folder: Callable[[Path], int]


LOCAL, SHARE = Side(atomic.translate, atomic.open_folder), Side(share_paths.translate, share_paths.open_folder)


def move(source: Path, target: Path) -> Steps[bool]:
    """Move a job folder: by one rename, or across mounts by verified copy, rename, and only then removal.

    Returns whether it was copied: its files have new times then.
    """
    try:
        rename(source, target)
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    part = part_of(target)
    members = share_fs.tree(source)
    # Pipes and links stay there.
    folders, files = (
        [path for path, seen in members if share_paths.kind_of(seen.st_mode) == kind] for kind in ("dir", "file")
    )
    for folder in (source, *reversed(folders)):
        make_folder(part / folder.relative_to(source))
    for path in files:
        yield from copy(path, part / path.relative_to(source))
    rename(part, target)
    for path in files:
        remove(path)
    for folder in (*folders, source):
        remove_folder(folder)
    return True


def copy_in(source: Path, target: Path) -> Steps[str]:
    """Copy a file from the share to a local disk; see `copy`. Raises LocalDiskError too."""
    return _copy(source, target, SHARE, LOCAL, None)


def copy_out(source: Path, target: Path, group: int | None) -> Steps[str]:
    """Copy a file from a local disk to the share, for its `group`; see `copy`. Raises LocalDiskError too."""
    return _copy(source, target, LOCAL, SHARE, group)


def copy_local(source: Path, target: Path) -> Steps[str]:
    """Copy a file between local disks; see `copy`. Raises LocalDiskError."""
    return _copy(source, target, LOCAL, LOCAL, None)


def copy(source: Path, target: Path, group: int | None = None) -> Steps[str]:
    """Copy a file on the share in blocks, yielding the bytes done; return its BLAKE2b digest (hex).

    The copy appears under its name only when it is on the disk and reads back with the same digest, and the source did
    not change meanwhile. Content only: shares refuse copied times and modes.

    Raises NotReady("changed_while_copying"), InfrastructureError("copy_differs") and the faults of `share_fs`.
    """
    return _copy(source, target, SHARE, SHARE, group)


def digest(path: Path) -> Steps[str]:
    """Return the BLAKE2b digest (hex) of a file on the share. Raises the faults of `share_fs`."""
    with translating(SHARE.translate, path):
        folder = SHARE.open_folder(path.parent)
    try:
        return (yield from digest_steps(_blocks(path, folder, SHARE)))
    finally:
        os.close(folder)


def _copy(source: Path, target: Path, reading: Side, writing: Side, group: int | None) -> Steps[str]:
    before = _fingerprint(source, reading)
    if writing is SHARE:
        share_fs.make_way(target)
    with translating(writing.translate, target):
        part = AtomicFile(target, folder=writing.open_folder(target.parent))
    try:
        digest = yield from digest_steps(_written(source, part, reading, writing))
        with translating(writing.translate, target):
            part.sync()
        if (yield from digest_steps(_blocks(part.path, part.folder, writing))) != digest:
            raise InfrastructureError("copy_differs", path=str(target))
        if _fingerprint(source, reading) != before or part.written != before[0]:
            raise NotReady("changed_while_copying", path=str(source))
        with translating(writing.translate, target):
            if writing is SHARE:
                give_to_group(part.descriptor, part.folder, group)
            part.publish()
    finally:
        part.discard()
    return digest


def _fingerprint(source: Path, side: Side) -> tuple[int, int]:
    with translating(side.translate, source):
        return retry_stale(_size_and_mtime, source, side)


def _size_and_mtime(source: Path, side: Side) -> tuple[int, int]:
    folder = side.open_folder(source.parent)
    try:
        return size_and_mtime(os.stat(source.name, dir_fd=folder, follow_symlinks=False), source)
    finally:
        os.close(folder)


def _written(source: Path, part: AtomicFile, reading: Side, writing: Side) -> Iterator[bytes]:
    """Yield the source's blocks, each after it was written to `part`."""
    with translating(reading.translate, source):
        folder = reading.open_folder(source.parent)
    try:
        for block in _blocks(source, folder, reading):
            with translating(writing.translate, part.target):
                part.write(block)
            yield block
    finally:
        os.close(folder)


def _blocks(path: Path, folder: int, side: Side) -> Iterator[bytes]:
    """Yield a file's blocks, given its folder's descriptor; a link or a pipe in its place is not followed."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with translating(side.translate, path):
        opened = retry_stale(os.open, path.name, flags, dir_fd=folder)
    with os.fdopen(opened, "rb", buffering=0) as reader:
        while True:
            with translating(side.translate, path):
                block = reader.read(BLOCK_BYTES)
            if not block:
                return
            yield block
