"""A cache on disk that renders share, keyed by content: face tracks, voice samples, engines' analysis data.

An entry is a folder that appears complete, by rename. Its digests are checked when it is used; a damaged entry counts
as missing. When the cache exceeds its size, the least recently used entries are removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ..storage import atomic

INDEX = "index.json"
DRAFT = ".draft-"
DRAFT_S = 3600.0
"""A draft is finished within seconds; one this old was left by a process that was killed."""


class Cache:
    """A folder of entries; `root` is created when first needed."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root, self.max_bytes = root, max_bytes

    def fetch(self, kind: str, key: str, into: Path) -> bool:
        """Put the files of an entry into the folder `into`; return whether there was an undamaged one."""
        entry = self._path(kind, key)
        try:
            digests: dict[str, str] = json.loads((entry / INDEX).read_text())
            into.mkdir(parents=True, exist_ok=True)
            for name, digest in digests.items():
                _link(entry / name, into / name)
                if _digest(into / name) != digest:
                    raise ValueError(name)
            os.utime(entry)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, AttributeError):
            shutil.rmtree(entry, ignore_errors=True)
            return False
        return True

    def store(self, kind: str, key: str, files: list[Path]) -> None:
        """Keep copies of `files` as one entry. OSError is ignored: without the entry it only takes longer."""
        size = sum(file.stat().st_size for file in files)
        if size > self.max_bytes:
            return
        with contextlib.suppress(OSError):
            self._make_room(size)
            final = self._path(kind, key)
            final.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=self.root))
            try:
                self._publish(draft, final, files)
            finally:
                shutil.rmtree(draft, ignore_errors=True)

    def _publish(self, draft: Path, final: Path, files: list[Path]) -> None:
        for file in files:
            shutil.copyfile(file, draft / file.name)
        digests = {file.name: _digest(draft / file.name) for file in files}
        (draft / INDEX).write_text(json.dumps(digests))
        for name in (*digests, INDEX):
            atomic.sync_file(draft / name)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)

    def _make_room(self, wanted: int) -> None:
        """Remove drafts that a dead process left, and as many of the least recently used entries as needed."""
        for draft in self.root.glob(f"{DRAFT}*"):
            if time.time() - draft.stat().st_mtime > DRAFT_S:
                shutil.rmtree(draft, ignore_errors=True)
        entries = sorted((e for e in self.root.glob("*/*") if e.is_dir()), key=lambda e: e.stat().st_mtime)
        sizes = {e: sum(f.stat().st_size for f in e.iterdir()) for e in entries}
        total = sum(sizes.values()) + wanted
        for entry in entries:
            if total <= self.max_bytes:
                break
            shutil.rmtree(entry, ignore_errors=True)
            total -= sizes[entry]

    def _path(self, kind: str, key: str) -> Path:
        return self.root / kind / atomic.digest([key.encode()])


def fetch_or_make(cache: Cache, kind: str, key: str, into: Path, make: Callable[[], list[Path]]) -> bool:
    """Fetch an entry into `into`, or `make` its files there and store them; return whether it was cached."""
    if cache.fetch(kind, key, into):
        return True
    into.mkdir(parents=True, exist_ok=True)
    cache.store(kind, key, make())
    return False


def _link(source: Path, target: Path) -> None:
    """Hard-link, so that an entry removed meanwhile stays readable; copy across file systems."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _digest(path: Path) -> str:
    return atomic.digest(atomic.blocks_of(path))
