"""A node's own disk: inputs by the digest of their content, and a folder for each attempt under way."""

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


class Shelf:
    """Everything below one folder. Safe for any number of processes of one machine at once."""

    def __init__(self, root: Path, keep_bytes: int) -> None:
        """`keep_bytes`: how much of the inputs to keep for the next video."""
        self.root = root
        self.keep_bytes = keep_bytes
        for name in (INPUTS, ATTEMPTS):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def cache(self) -> Path:
        """What videos share: face tracks and voices, keyed by content."""
        return self.root / "analysis"

    @contextlib.contextmanager
    def attempt(self) -> Iterator[Path]:
        """Give an empty folder that is removed afterwards; one whose process was killed goes with the next."""
        self._sweep()
        folder = self.root / ATTEMPTS / uuid.uuid4().hex
        unseen = folder.with_name(f".{folder.name}")  # until it is locked, or another sweeps it away
        unseen.mkdir()
        with open(unseen / LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            unseen.rename(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def has(self, digest: str) -> bool:
        """Whether this content is here."""
        return (self.root / INPUTS / digest).exists()

    def put(self, digest: str, blocks: Iterable[bytes]) -> None:
        """Keep a content. Raises InfrastructureError("copy_differs") when it is another than was promised."""
        target = self.root / INPUTS / digest
        with AtomicFile(target, durable=False, unique=True) as part:
            if atomic.digest(_written(blocks, part)) != digest:
                raise InfrastructureError("copy_differs", path=str(target))
        self._prune(digest)

    def place(self, digest: str, target: Path) -> None:
        """Show a content under another name; it stays there whatever is removed from the shelf."""
        source = self.root / INPUTS / digest
        os.utime(source)
        os.link(source, target)

    def _prune(self, wanted: str) -> None:
        """Remove what was not used for longest."""
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

    def _sweep(self) -> None:
        """Remove the folders of attempts whose process is gone."""
        for folder in (self.root / ATTEMPTS).glob("[!.]*"):
            with contextlib.suppress(OSError), open(folder / LOCK) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _written(blocks: Iterable[bytes], part: AtomicFile) -> Iterator[bytes]:
    for block in blocks:
        part.write(block)
        yield block
