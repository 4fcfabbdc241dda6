"""Compares the environments of two machines: heygemd with its bundled weights, and the downloaded weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .. import __version__
from ..storage import atomic

PACKAGE = Path(__file__).parents[1]


def fingerprint(models: Path) -> dict[str, str]:
    """Return what must be equal on all machines, by name: the version, the package's files, each file in `models`."""
    found = {"version": __version__, "package": _package()}
    if models.is_dir():
        for path in sorted(p for p in models.iterdir() if p.is_file() and not p.name.startswith(".")):
            seen = path.stat()
            found[f"models/{path.name}"] = _digest(path, (seen.st_size, seen.st_mtime_ns))
    return found


def differing(here: dict[str, str], there: dict[str, str]) -> list[str]:
    """Return the names of what differs or is missing on one side."""
    return sorted(name for name in {*here, *there} if here.get(name) != there.get(name))


@cache
def _package() -> str:
    """Return one digest of the installed package: code and bundled weights."""
    files = (path for path in sorted(PACKAGE.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return atomic.digest(f"{path.relative_to(PACKAGE)}\0{_content(path)}".encode() for path in files)


def _content(path: Path) -> str:
    return atomic.digest(atomic.blocks_of(path))


@cache
def _digest(path: Path, _stamp: tuple[int, int]) -> str:
    """Return the digest of a file's content; `_stamp` changes the cache key when the file changes."""
    return _content(path)
