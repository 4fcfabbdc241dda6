"""What a job's folder on the share holds besides the users' files: our report, our log and a hidden folder.

The hidden folder names the daemon that owns the job and keeps finished results until the job is published.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from ...media import completeness
from ...storage import share_fs, share_paths
from ...storage.atomic import PART

REPORT = "report.html"
LOG_NOTE = "HEYGEMD-log.txt"
OWNER = "owner"
INTERMEDIATE = (OWNER, ".mp4", PART)
"""Endings of hidden files that mean nothing outside processing/."""
OURS = (*INTERMEDIATE, ".mp4.json", ".mp4.jpg", ".mp4.faces.jpg", "manifest.json")
"""Endings of all hidden files that we write; whatever else lies there is a user's."""


def member(folder: Path, name: str) -> Path:
    """Return the path of one of a job's files; those of templates/ are named as seen from the folder ("../../…")."""
    return Path(os.path.normpath(folder / name))


@share_paths.on_share
def examine(path: Path) -> completeness.Completeness:
    """Return the structure of a complete file on the share. Raises the faults of `completeness.examine`."""
    with share_paths.open_file(path) as file:
        return completeness.examine_open(file.fileno())


def hidden_files(folder: Path) -> list[str]:
    """Return the names of files in a job's hidden folder; a link that users put in its place is not followed."""
    hidden = folder / share_fs.HIDDEN
    return files(hidden) if share_fs.is_folder(hidden) else []


def files(folder: Path) -> list[str]:
    """Return the names of files in a folder."""
    return [name for name, kind in share_fs.kinds(folder).items() if kind == "file"]


def clean_hidden(folder: Path, keep: Collection[str]) -> None:
    """Remove our files except `keep` from a job's hidden folder, and the folder itself once it is empty."""
    hidden = folder / share_fs.HIDDEN
    for name in hidden_files(folder):
        if name.endswith(OURS) and name not in keep:
            share_fs.remove(hidden / name)
    if share_fs.is_folder(hidden):
        share_fs.remove_folder(hidden)


def must_exist(folder: Path) -> None:
    """Raise FileNotFoundError for a missing folder: a share that went away must not look like an empty one."""
    if not share_fs.exists(folder):
        raise FileNotFoundError(str(folder))
