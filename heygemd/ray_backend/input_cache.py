"""The inputs on a node's disk, by the digest of their content, and a folder for each running attempt."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import InfrastructureError
from ..storage import atomic
from ..storage.atomic import AtomicFile

INPUTS, ATTEMPTS, LOCK = "inputs", "attempts", "lock"


class InputCache:
    """Everything below one folder. Safe for several processes of one machine at once."""

    def __init__(self, root: Path, keep_bytes: int) -> None:
        """`keep_bytes`: how many bytes of inputs to keep for later videos."""
        self.root = root
        self.keep_bytes = keep_bytes
        for name in (INPUTS, ATTEMPTS):
            atomic.make_folder(root / name)

    @property
    def cache(self) -> Path:
        """The analysis cache, shared by all videos: face tracks and voices, keyed by content."""
        return self.root / "analysis"

    @contextlib.contextmanager
    def attempt(self) -> Iterator[Path]:
        """Yield an empty folder and remove it afterwards; after a killed process, the next attempt removes it."""
        self._remove_abandoned()
        folder = self.root / ATTEMPTS / uuid.uuid4().hex
        unseen = folder.with_name(f".{folder.name}")  # until it is locked: others remove unlocked folders
        unseen.mkdir()
        with open(unseen / LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            unseen.rename(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def has(self, digest: str) -> bool:
        """Return whether this content is cached."""
        return (self.root / INPUTS / digest).exists()

    def put(self, digest: str, blocks: Iterable[bytes]) -> None:
        """Store a content. Raises InfrastructureError("copy_differs") if it does not match `digest`."""
        target = self.root / INPUTS / digest
        with AtomicFile(target, durable=False, unique=True) as part:
            if atomic.digest(_written(blocks, part)) != digest:
                raise InfrastructureError("copy_differs", path=str(target))
        self._prune(digest)

    def link(self, digest: str, target: Path) -> None:
        """Hard-link a content to `target`, where it stays even when the cache drops it."""
        source = self.root / INPUTS / digest
        os.utime(source)
        os.link(source, target)

    def _prune(self, wanted: str) -> None:
        """Remove the least recently used inputs."""
        found = []
        for path in (self.root / INPUTS).iterdir():
            with contextlib.suppress(FileNotFoundError):
                seen = path.stat()
                found.append((seen.st_mtime, seen.st_size, path))
        excess = sum(size for _, size, _ in found) - self.keep_bytes
        for _, size, path in sorted(found):
            if excess > 0 and path.name != wanted and not path.name.startswith("."):
                path.unlink(missing_ok=True)
                excess -= size

    def _remove_abandoned(self) -> None:
        """Remove the folders of attempts whose process has ended."""
        for folder in (self.root / ATTEMPTS).glob("[!.]*"):
            with contextlib.suppress(OSError), open(folder / LOCK) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _written(blocks: Iterable[bytes], part: AtomicFile) -> Iterator[bytes]:
    for block in blocks:
        part.write(block)
        yield block
