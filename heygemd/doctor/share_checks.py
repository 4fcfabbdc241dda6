"""The doctor's look at the share: is it there, may we work in it, may staff, is it one mount."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from ..config.schema import GIB, Config
from ..errors import HeygemdError, printable
from ..finding import Row, there, unwritable
from ..storage import mounts
from ..storage.share_layout import FOLDERS, MARKER

FOREIGN_SHOWN = 5


def check(config: Config, option: str = "") -> Iterator[Row]:
    """Yield the findings about the share; `option` is the --config part of commands in mends."""
    share = config.paths.share
    missing = [name for name in (*FOLDERS, MARKER) if not there(share / name)]
    if missing:
        finding = f"{share} is not there" if not there(share) else f"{share} lacks {', '.join(missing)}"
        yield Row("broken", "share", finding, f"Is it mounted? For a new one: heygemd init {share}{option}")
        return
    yield from _one_mount(share)
    yield from _writable(share)
    yield from _space(share, config.limits.free_share_gib)
    yield from _ownership(share / "inbox")
    yield from _dropped(share / "inbox")
    if share.resolve().is_relative_to("/home") and os.geteuid() != 0:
        mend = "In a drop-in of the unit: ProtectHome=no"
        yield Row("warning", "share", "lies under /home, which the systemd unit hides", mend)


def _one_mount(share: Path) -> Iterator[Row]:
    found_on = {name: mounts.mount(share / name) for name in FOLDERS}
    if len({found.device for found in found_on.values()}) > 1:
        mend = "Mount the share as a whole, not its folders one by one: a job moves by one rename."
        yield Row("broken", "share", "inbox, processing, done and failed lie on different mounts", mend)
        return
    kind = "a network share: events do not arrive, polling finds files" if found_on["inbox"].network else "a local disk"
    yield Row("ok", "share", f"{share}, one mount, {kind}")


def _writable(share: Path) -> Iterator[Row]:
    """A rename between two folders needs both; the status page needs the share itself."""
    for folder in (share, *(share / name for name in FOLDERS)):
        if why := unwritable(folder):
            group = _name_of_group(folder.stat().st_gid)
            mend = (
                f"Local disk:  chown heygemd:{group} {folder} && chmod 2770 {folder}\n"
                f"CIFS mount:  add uid=heygemd,gid={group},file_mode=0660,dir_mode=0770 to its options\n"
                f"NFS mount:   the service's user needs the same number on the server, or the export all_squash"
            )
            yield Row("broken", "share", f"{folder} {why}", mend)


def _space(share: Path, need_gib: float) -> Iterator[Row]:
    free = shutil.disk_usage(share).free / GIB
    if free < need_gib:
        yield Row("broken", "share", f"has {free:.1f} GiB free", f"Make room: {need_gib:g} GiB are kept free.")
    else:
        yield Row("ok", "share", f"{free:.0f} GiB free")


def _ownership(inbox: Path) -> Iterator[Row]:
    """Folders that staff drop must come to belong to a group that the service is in, and be writable by it."""
    facts = inbox.stat()
    group = _name_of_group(facts.st_gid)
    if mounts.mount(inbox).network:
        yield Row("ok", "ownership", f"decided by the server (group {group} here); see dropped folders below")
    elif not facts.st_mode & stat.S_ISGID or not facts.st_mode & stat.S_IWGRP:
        mode = stat.filemode(facts.st_mode)
        mend = _mend(inbox, group)
        yield Row("warning", "ownership", f"{inbox} is {mode}: dropped folders keep their owner's group", mend)
    elif facts.st_gid not in {os.getegid(), *os.getgroups()} and os.geteuid() != 0:
        mend = f"usermod -aG {group} {_name_of_user(os.geteuid())}, then start the service again"
        yield Row("broken", "ownership", f"this user is not in the inbox's group {group}", mend)
    else:
        yield Row("ok", "ownership", f"dropped folders get the group {group} (setgid)")


def _dropped(inbox: Path) -> Iterator[Row]:
    """Name folders in the inbox that this user could not take: the day-one case of a share."""
    stuck = []
    with contextlib.suppress(HeygemdError, OSError):
        for item in sorted(inbox.iterdir()):
            if item.is_dir() and not item.is_symlink() and not os.access(item, os.W_OK | os.X_OK):
                facts = item.stat()
                owner = f"{_name_of_user(facts.st_uid)}:{_name_of_group(facts.st_gid)}"
                stuck.append(f"{printable(item.name)} ({owner} {stat.filemode(facts.st_mode)})")
    if stuck:
        shown = ", ".join(stuck[:FOREIGN_SHOWN]) + (" …" if len(stuck) > FOREIGN_SHOWN else "")
        mend = f"Now:   chmod -R g+rwX {inbox}/*\n{_mend(inbox, _name_of_group(inbox.stat().st_gid))}"
        yield Row("broken", "ownership", f"these folders may not be moved by this user: {shown}", mend)


def _mend(inbox: Path, group: str) -> str:
    return (
        f"Local:  chgrp {group} {inbox} && chmod 2770 {inbox}   (new folders inherit the group)\n"
        f"        setfacl -m d:g:{group}:rwX {inbox}            (and the group may write, whatever staff's umask)\n"
        f"Samba:  force user = heygemd, force group = {group}, create mask = 0660, directory mask = 2770"
    )


def _name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
