"""What the doctor's checks report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One finding. `mend`: what to do, in commands or words; empty when all is well."""

    state: Literal["ok", "warning", "broken"]
    subject: str
    finding: str
    mend: str = ""


def unwritable(path: Path) -> str:
    """Return why a file cannot be made in `path`, or ""; a folder that could be made when needed will do."""
    if not there(path):
        return "" if os.access(existing(path), os.W_OK | os.X_OK) else f"is not there and cannot be made by {_me()}"
    trial = path / f".heygemd-doctor-{os.getpid()}"
    try:
        trial.write_bytes(b"x")
        trial.unlink()
    except OSError as error:
        return f"cannot be written by {_me()}: {error.strerror}"
    return ""


def there(path: Path) -> bool:
    """Return whether `path` is there and can be seen; a closed folder above it hides it, without an exception."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def existing(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists."""
    return next(here for here in (path.absolute(), *path.absolute().parents) if there(here))


def _me() -> str:
    return "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
