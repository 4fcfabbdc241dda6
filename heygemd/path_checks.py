"""Checks of paths that never raise: whether they exist, whether files can be created there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def unwritable(path: Path) -> str:
    """Return why no file can be created in the folder `path`, or ""; a folder that does not exist must be creatable."""
    if not exists(path):
        if os.access(nearest_existing(path), os.W_OK | os.X_OK):
            return ""
        return f"does not exist and cannot be created by {_user()}"
    try:
        # Without a name that others could foresee: a link of theirs would be written through.
        with tempfile.TemporaryFile(dir=path) as trial:
            trial.write(b"x")
    except OSError as error:
        return f"cannot be written by {_user()}: {error.strerror}"
    return ""


def exists(path: Path) -> bool:
    """Return whether `path` exists, as far as this user can see. Never raises."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def nearest_existing(path: Path) -> Path:
    """Return `path`, or its nearest parent that exists."""
    return next(here for here in (path.absolute(), *path.absolute().parents) if exists(here))


def _user() -> str:
    return "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
