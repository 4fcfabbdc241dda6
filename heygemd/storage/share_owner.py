"""Who owns what lies on the share, and who may change it: users move and delete what we created."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ..errors import NotReady
from .share_paths import lstat, on_share, opened, parent

FOLDER_MODE, FILE_MODE = 0o2770, 0o660


def yield_to_group(path: Path, group: int | None, mode: int | None = None) -> None:
    """Let users move and delete what we created: best effort, because some servers refuse chmod and chown.

    Without `mode` the group may write, and others may do what they may do in the parent folder. Raises NotReady if it
    is a link by now.
    """
    with parent(path) as folder, opened(path.name, folder, os.O_PATH) as item:
        if stat.S_ISLNK(os.fstat(item).st_mode):
            raise NotReady("name_taken", name=path.name)
        give_to_group(item, folder, group, mode)


def give_to_group(item: int, folder: int, group: int | None, mode: int | None = None) -> None:
    """As `yield_to_group`, by descriptors of the item and of the folder that holds it."""
    if mode is None:
        others = os.fstat(folder).st_mode & 0o007
        mode = FOLDER_MODE | others if stat.S_ISDIR(os.fstat(item).st_mode) else FILE_MODE | others & 0o006
    with contextlib.suppress(OSError):
        if group is not None:
            set_owner(item, -1, group)
    with contextlib.suppress(OSError):
        set_mode(item, mode)


def set_owner(item: int, user: int, group: int) -> None:
    """Change the owner of what a descriptor stands for, also one of O_PATH. Raises OSError."""
    os.chown(f"/proc/self/fd/{item}", user, group)


def set_mode(item: int, mode: int) -> None:
    """Change the permissions of what a descriptor stands for, also one of O_PATH. Raises OSError."""
    Path(f"/proc/self/fd/{item}").chmod(mode)


def give_to_user(path: Path, user: int) -> None:
    """Change the owner (as root) of a folder or a file of ours. Raises NotReady for anything else, OSError."""
    with parent(path) as folder, opened(path.name, folder, os.O_PATH) as item:
        seen = os.fstat(item)
        if not is_single(seen):
            raise NotReady("name_taken", name=path.name)
        set_owner(item, user, -1)
        if stat.S_ISDIR(seen.st_mode):
            set_mode(item, FOLDER_MODE)


def is_single(seen: os.stat_result) -> bool:
    """Whether it is a folder, or a file without a second name elsewhere."""
    return stat.S_ISDIR(seen.st_mode) or (stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1)


@on_share
def open_to_group(path: Path, group: int | None) -> None:
    """Let the group write an existing folder, if we may change that."""
    yield_to_group(path, group, FOLDER_MODE | lstat(path).st_mode & 0o007)
