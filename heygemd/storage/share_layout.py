"""The folders of a share and the file that marks it as one."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from . import share_fs, share_owner

FOLDERS = ("inbox", "processing", "done", "failed")
MARKER = ".heygemd-share"
"""An empty mount point has no such file: without it the share counts as absent."""
LIVE_VIEW = re.compile(r"status-(?:picture|first-seconds)-\d+\.(?:jpg|mp4)")
"""Files beside the page that show what is being rendered."""
TEMPLATES = "templates"
"""Videos and photos of presenters that job folders can name; the daemon works without this folder."""


def create(root: Path, group: int | None = None) -> list[str]:
    """Make a share of `root`: the folders, group-writable and setgid, and the marker. Safe to repeat.

    Returns a line for each thing done. Raises the faults of `share_fs`.
    """
    root, done = root.resolve(), []
    if not share_fs.exists(root):
        root.mkdir(parents=True)
        share_owner.yield_to_group(root, group, share_owner.FOLDER_MODE)
        done.append(f"made {root}")
    for name in (*FOLDERS, TEMPLATES):
        if share_fs.exists(root / name):
            share_owner.open_to_group(root / name, group)
        else:
            share_fs.make_folder(root / name, group)
            done.append(f"made {root / name}")
    if not share_fs.exists(root / MARKER):
        share_fs.write(root / MARKER, f"{uuid.uuid4()}\n".encode(), group)
        done.append(f"marked {root} as a heygemd share ({MARKER}: do not delete it)")
    return done
