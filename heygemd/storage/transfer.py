"""Long share operations as generators of small steps.

Each step is one block, so that the I/O thread is never held for longer and a share that hangs is noticed at once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import InfrastructureError, NotReady
from . import atomic, share_fs
from .atomic import BLOCK_BYTES, AtomicFile, Translator, blocks_of, digest_steps, part_of, translating
from .atomic import Steps as Steps  # with `finish`, what callers of this module need
from .atomic import finish as finish
from .share_fs import make_folder, remove, remove_folder, rename, retry_stale, size_and_mtime, yield_to_group


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
    copied = []
    for folder, _, files in os.walk(source, onerror=_refuse):
        here = part / Path(folder).relative_to(source)
        make_folder(here)
        for name in files:
            yield from copy(Path(folder) / name, here / name)
            copied.append(Path(folder) / name)
    rename(part, target)
    for path in copied:
        remove(path)
    for folder, _, _ in os.walk(source, topdown=False):
        remove_folder(Path(folder))
    return True


def _refuse(error: OSError) -> None:
    """A folder that cannot be listed is not an empty one."""
    raise share_fs.translate(error)


def copy_in(source: Path, target: Path) -> Steps[str]:
    """Copy a file from the share to a local disk; see `copy`. Raises LocalDiskError too."""
    return _copy(source, target, share_fs.translate, atomic.translate, None)


def copy_out(source: Path, target: Path, group: int | None) -> Steps[str]:
    """Copy a file from a local disk to the share, for its `group`; see `copy`. Raises LocalDiskError too."""
    return _copy(source, target, atomic.translate, share_fs.translate, group)


def copy(source: Path, target: Path, group: int | None = None) -> Steps[str]:
    """Copy a file on the share in blocks, yielding the bytes done; return its BLAKE2b digest (hex).

    The copy appears under its name only when it is on the disk and reads back with the same digest, and the source did
    not change meanwhile. Content only: shares refuse copied times and modes.

    Raises NotReady("changed_while_copying"), InfrastructureError("copy_differs") and the faults of `share_fs`.
    """
    return _copy(source, target, share_fs.translate, share_fs.translate, group)


def _copy(source: Path, target: Path, reading: Translator, writing: Translator, group: int | None) -> Steps[str]:
    with translating(reading, source):
        before = retry_stale(size_and_mtime, source)
    with translating(writing, target):
        part = AtomicFile(target)
    try:
        digest = yield from digest_steps(_written(source, part, reading, writing))
        with translating(writing, target):
            part.sync()
        if (yield from digest_steps(_read_back(part.path, writing))) != digest:
            raise InfrastructureError("copy_differs", path=str(target))
        with translating(reading, source):
            if retry_stale(size_and_mtime, source) != before or part.written != before[0]:
                raise NotReady("changed_while_copying", path=str(source))
        with translating(writing, target):
            yield_to_group(part.path, group)
            part.publish()
    finally:
        part.discard()
    return digest


def _written(source: Path, part: AtomicFile, reading: Translator, writing: Translator) -> Iterator[bytes]:
    """Yield the source's blocks, each after it was written to `part`."""
    for block in _blocks(source, reading):
        with translating(writing, part.target):
            part.write(block)
        yield block


def _blocks(source: Path, reading: Translator) -> Iterator[bytes]:
    """Yield a file's blocks; a link or a pipe in its place is not followed."""
    with translating(reading, source):
        opened = retry_stale(os.open, source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, "rb", buffering=0) as reader:
        while True:
            with translating(reading, source):
                block = reader.read(BLOCK_BYTES)
            if not block:
                return
            yield block


def _read_back(path: Path, writing: Translator) -> Iterator[bytes]:
    with translating(writing, path):
        yield from blocks_of(path)
