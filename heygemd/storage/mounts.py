"""What a folder is mounted from: a local disk or a network share, and its free space."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from . import share_paths
from .atomic import on_local_disk
from .share_paths import on_share

NETWORK_TYPES = {"cifs", "smb3", "nfs", "nfs4", "9p", "virtiofs", "ceph", "glusterfs", "afs", "vboxsf", "drvfs"}
MOUNTINFO = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """The mount of a path; `free_bytes` is what an unprivileged writer may use."""

    device: int
    network: bool
    attribute_cache: bool
    group: int
    free_bytes: int = 0
    read_only: bool = False


@on_share
def mount(path: Path) -> Mount:
    """Return the mount of `path`. Calls statvfs, because stat can be answered from the cache of a dead mount."""
    folder = share_paths.open_folder(path)
    try:
        space, facts, real = os.statvfs(folder), os.fstat(folder), str(Path(f"/proc/self/fd/{folder}").readlink())
    finally:
        os.close(folder)
    best, kind, options = "", "", ""
    for line in MOUNTINFO.read_bytes().splitlines():
        fields = [os.fsdecode(_unescaped(field)) for field in line.split(b" ")]
        point = fields[4]
        dash = fields.index("-")
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind, options = point, fields[dash + 1], fields[dash + 3]
    network = kind in NETWORK_TYPES or (kind.startswith("fuse") and kind not in ("fuse.mergerfs", "fuseblk"))
    cached = kind.startswith("nfs") and "noac" not in options and "actimeo=0" not in options
    read_only = bool(space.f_flag & os.ST_RDONLY)
    return Mount(facts.st_dev, network, cached, facts.st_gid, space.f_bavail * space.f_frsize, read_only)


def _unescaped(field: bytes) -> bytes:
    """Undo the octal escapes of proc(5), which stand for single bytes and not for characters."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field)


def free_bytes(path: Path) -> int:
    """Return what an unprivileged writer may still use on the file system of `path`. Raises OSError."""
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


share_free_bytes = on_share(free_bytes)


def local_free_bytes(path: Path) -> int:
    """As `free_bytes`, for a local disk. Raises LocalDiskError."""
    with on_local_disk(path):
        return free_bytes(path)
