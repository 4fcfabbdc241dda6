"""Long share operations as generators of small steps.

Each step is one block, so that the I/O thread is never held for longer and a stalled share shows at once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from ..errors import InfrastructureError, NotReady
from .share_fs import (
    fingerprint,
    make_folder,
    on_share,
    part_of,
    remove,
    remove_folder,
    rename,
    sync_folder,
    translate,
    yield_to_group,
)

BLOCK_BYTES = 1 << 20

R = TypeVar("R")
Steps = Generator[int, None, R]


def finish(steps: Steps[R]) -> R:
    """Run a long operation to its end here and now, for those who have no other thread to spare."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


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
    raise translate(error)


def copy(source: Path, target: Path, group: int | None = None) -> Steps[str]:
    """Copy a file in blocks, yielding the bytes done; return its BLAKE2 digest (hex).

    The copy appears under its name only when it is on the disk and reads back with the same size and digest, and the
    source did not change meanwhile (else NotReady). Content only: shares refuse copied times and modes.
    """
    before = fingerprint(source)
    part = part_of(target)
    try:
        digest, size = yield from _pump(source, part)
        if (yield from _digest(part)) != digest or part.stat().st_size != size:
            raise InfrastructureError("copy_differs", path=str(target))
        if fingerprint(source) != before or size != before[0]:
            raise NotReady("changed_while_copying", path=str(source))
        on_share(yield_to_group)(part, group)
        on_share(part.replace)(target)
        sync_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return digest


def _pump(source: Path, part: Path) -> Steps[tuple[str, int]]:
    running, size = hashlib.blake2b(digest_size=20), 0
    opened = on_share(os.open)(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, "rb", buffering=0) as reader, on_share(open)(part, "wb", buffering=0) as writer:
        while block := on_share(reader.read)(BLOCK_BYTES):
            running.update(block)
            size += on_share(_write_all)(writer.fileno(), block)
            yield size
        on_share(os.fsync)(writer.fileno())
    return running.hexdigest(), size


def _write_all(handle: int, block: bytes) -> int:
    view = memoryview(block)
    while view:
        view = view[os.write(handle, view) :]
    return len(block)


def _digest(path: Path) -> Steps[str]:
    running, size = hashlib.blake2b(digest_size=20), 0
    with on_share(open)(path, "rb", buffering=0) as file:
        while block := on_share(file.read)(BLOCK_BYTES):
            running.update(block)
            size += len(block)
            yield size
    return running.hexdigest()
