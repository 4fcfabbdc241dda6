"""The doctor's checks of the share: it exists, is one mount, is writable, and its folders belong to the right group."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from ..config.schema import GIB, Config
from ..errors import HeygemdError, printable
from ..path_checks import exists, unwritable
from ..storage import heartbeat, mounts
from ..storage.share_layout import FOLDERS, MARKER, TEMPLATES
from .check_result import CheckResult

MAX_FOLDERS_NAMED = 5


def init_command(config: Config, option: str) -> str:
    """Return the command that creates or repairs the share; `option`: its --config part."""
    return f"heygemd init {shlex.quote(str(config.paths.share))}{option}"


def check(config: Config, option: str = "") -> Iterator[CheckResult]:
    """Yield the results about the share; `option`: the --config part of commands that fix them."""
    share = config.paths.share
    missing = [name for name in (*FOLDERS, MARKER) if not exists(share / name)]
    if missing:
        text = f"{share} lacks {', '.join(missing)}" if exists(share) else f"{share} does not exist"
        renamed = MARKER not in missing and exists(share)
        doubt = "Was it renamed? Give it its name back." if renamed else "Is it mounted?"
        fix = f"{doubt} To create what is missing: {init_command(config, option)}"
        yield CheckResult("broken", "share", text, fix)
        return
    yield from _one_mount(share)
    init = init_command(config, option)
    yield from _writable(share, init)
    yield from _space(share, config.limits.free_share_gib)
    yield from _ownership(share / "inbox", init)
    yield from _job_folders(share / "inbox", init)
    yield from _other_daemons(share, config.paths.state)
    if share.resolve().is_relative_to("/home") and os.geteuid() != 0:
        fix = "In a drop-in of the unit: ProtectHome=no"
        yield CheckResult("warning", "share", "is below /home, which the systemd unit hides", fix)


def _one_mount(share: Path) -> Iterator[CheckResult]:
    found = {name: mounts.mount(share / name) for name in FOLDERS}
    if len({mount.device for mount in found.values()}) > 1:
        fix = "Mount the share as a whole, not folder by folder: jobs are moved by renaming."
        yield CheckResult("broken", "share", "inbox, processing, done and failed are on different mounts", fix)
        return
    kind = "network share (new files are found by polling)" if found["inbox"].network else "local disk"
    yield CheckResult("ok", "share", f"{share}, one mount, {kind}")


def _writable(share: Path, init: str) -> Iterator[CheckResult]:
    """Check all folders that jobs are moved between, and the share itself, which holds the status page.

    init  the command that opens them, through no link: chown and chmod, run by root, would follow one
    """
    for folder in (share, *(share / name for name in FOLDERS)):
        if reason := unwritable(folder):
            group = _group_name(folder.stat().st_gid)
            fix = (
                f"Local disk:  {init}   (as root)\n"
                f"CIFS mount:  add uid=heygemd,gid={group},file_mode=0660,dir_mode=0770 to its options\n"
                f"NFS mount:   give the service's user the same uid on the server, or export with all_squash"
            )
            yield CheckResult("broken", "share", f"{folder} {reason}", fix)


def _space(share: Path, need_gib: float) -> Iterator[CheckResult]:
    free = shutil.disk_usage(share).free / GIB
    if free < need_gib:
        yield CheckResult(
            "broken", "share", f"has {free:.1f} GiB free", f"Free space there: {need_gib:g} GiB are needed."
        )
    else:
        yield CheckResult("ok", "share", f"{free:.0f} GiB free")


def _ownership(inbox: Path, init: str) -> Iterator[CheckResult]:
    """Check that new folders in the inbox will belong to a group that the service is in and be writable by it."""
    facts = inbox.stat()
    group = _group_name(facts.st_gid)
    if mounts.mount(inbox).network:
        yield CheckResult(
            "ok", "ownership", f"decided by the server (here the group is {group}); see job folders below"
        )
    elif not facts.st_mode & stat.S_ISGID or not facts.st_mode & stat.S_IWGRP:
        mode = stat.filemode(facts.st_mode)
        text = f"{inbox} is {mode}: new folders keep their owner's group"
        yield CheckResult("warning", "ownership", text, _inherit_group(inbox, group, init))
    elif facts.st_gid not in {os.getegid(), *os.getgroups()} and os.geteuid() != 0:
        fix = f"usermod -aG {group} {_user_name(os.geteuid())}, then restart the service"
        yield CheckResult("broken", "ownership", f"this user is not in the inbox's group {group}", fix)
    else:
        yield CheckResult("ok", "ownership", f"new folders get the group {group} (setgid)")


def _job_folders(inbox: Path, init: str) -> Iterator[CheckResult]:
    """Name what in the inbox this user may not move or read, the usual problem of a new share; templates/ likewise.

    init  the command that opens it, through no link: chmod -R, run by root, would follow one
    """
    stuck = []
    with contextlib.suppress(HeygemdError, OSError):
        for item in (inbox.parent / TEMPLATES, *sorted(inbox.iterdir())):
            moved = item.parent == inbox
            if (path := _closed(item, os.R_OK | os.X_OK | (os.W_OK if moved else 0))) is not None:
                facts = path.stat()
                owner = f"{_user_name(facts.st_uid)}:{_group_name(facts.st_gid)}"
                name = printable(str(path.relative_to(item.parent)))
                stuck.append(f"{name} ({owner} {stat.filemode(facts.st_mode)})")
    if stuck:
        named = ", ".join(stuck[:MAX_FOLDERS_NAMED]) + (" …" if len(stuck) > MAX_FOLDERS_NAMED else "")
        fix = _inherit_group(inbox, _group_name(inbox.stat().st_gid), init)
        yield CheckResult("broken", "ownership", f"these may not be moved or read by this user: {named}", fix)


def _closed(folder: Path, needed: int) -> Path | None:
    """Return the folder, or the first thing in it, if this user may not use it; None if it may, or it is no folder.

    needed  mode of os.access for the folder itself
    """
    if folder.is_symlink() or not folder.is_dir():
        return None
    if not os.access(folder, needed):
        return folder
    inside = (path for path in sorted(folder.iterdir()) if not path.is_symlink())
    return next((path for path in inside if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))), None)


def _other_daemons(share: Path, state: Path) -> Iterator[CheckResult]:
    """Name another daemon that serves the share: one whose heartbeat changes while we look."""
    with contextlib.suppress(HeygemdError, OSError):
        own = (state / "instance").read_text().strip()
        before = {key: beat for key, beat in heartbeat.read(share).items() if key != own}
        if not before:
            return
        time.sleep(heartbeat.BEAT_S * 1.5)
        for key, beat in heartbeat.read(share).items():
            if key in before and beat != before[key]:
                fix = f"Stop one of the two, or let both use the same records ({state}) one after the other."
                yield CheckResult("warning", "share", f"another heygemd, on {beat.host}, serves it too", fix)


def _inherit_group(inbox: Path, group: str, init: str) -> str:
    return (
        f"Local:  {init}   (as root: new folders inherit the group)\n"
        f"        setfacl -m d:g:{group}:rwX {inbox}   (and the group may write, whatever the umask)\n"
        f"Samba:  force user = heygemd, force group = {group}, create mask = 0660, directory mask = 2770"
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
