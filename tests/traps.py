"""Traps: links, folders, pipes, sockets, devices and locked files under the names of our files."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from heygemd.daemon.intake.filename_rules import LOOSE_NOTE, WAITING_NOTE, WHY_NOTE
from heygemd.storage.share_fs import HIDDEN

KINDS = ("link", "link to nothing", "link to a folder", "folder", "pipe", "socket", "device", "unreadable")
SECRET = b"not for anybody"

IN_ROOT = ("status.html", "status.js", "status.json", "HOW-TO.html", ".status.js.heygemd-part")
IN_INBOX = ("PAUSE", "READY", "CANCEL.txt", "report.html", "manifest.json", HIDDEN, LOOSE_NOTE, "x.mp4.part")
IN_PLACE = ("report.html", "HEYGEMD-log.txt", HIDDEN, "originals", "CANCEL", "anna.mp4", ".anna.mp4.heygemd-part")
"""In processing/, done/ and failed/ themselves, where only folders of jobs are expected."""
IN_JOB = (
    "report.html", "HEYGEMD-log.txt", "HEYGEMD-job.zip", HIDDEN, "originals", "manifest.json", "READY", "CANCEL",
    "PAUSE", "Ready", "Cancel.txt", "job.toml", "presenters.txt", WAITING_NOTE, WHY_NOTE, "b.mp4.part",
    ".report.html.heygemd-part",
)  # fmt: skip
IN_HIDDEN = (
    "manifest.json", "owner", "results.zip", "anna.mp4", "anna.mp4.json", "anna.mp4.jpg", ".anna.mp4.heygemd-part",
    ".manifest.json.heygemd-part",
)  # fmt: skip
"""In a job's hidden folder."""


def target(folder: Path) -> Path:
    """Return the file that links point to, made if need be; nobody may read or change it."""
    outside = folder / "outside"
    outside.mkdir(exist_ok=True)
    secret = outside / "secret"
    if not secret.exists():
        secret.write_bytes(SECRET)
        os.utime(secret, (1, 1))
    return secret


def lay(folder: Path, name: str, kind: str, outside: Path | None = None) -> Path:
    """Put a trap into a folder, unless something has that name; links lead below `outside` (default: `folder`)."""
    path, secret = folder / name, target(outside or folder)
    if os.path.lexists(path):
        return path
    if kind.startswith("link"):
        leads_to = {"link": secret, "link to nothing": secret.with_name("nothing"), "link to a folder": secret.parent}
        path.symlink_to(leads_to[kind])
    elif kind == "folder":
        path.mkdir()
        (path / "notes").write_text("mine")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = os.open(folder, os.O_PATH | os.O_DIRECTORY)  # an address has 107 bytes only
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{name}")
        os.close(here)
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero: reading it never ends
        except PermissionError:  # only root can: another kind then
            os.mkfifo(path)
    else:
        path.write_bytes(b"")
        path.chmod(0)
    return path


def untouched(folder: Path) -> bool:
    """Return whether nobody followed a link laid with this `outside`."""
    outside = folder / "outside"
    secret = outside / "secret"
    return os.listdir(outside) == ["secret"] and secret.read_bytes() == SECRET


def lay_everywhere(share: Path, kinds: tuple[str, ...]) -> list[Path]:
    """Lay traps into the root, the inbox, processing/, done/ and failed/, taking the kinds in turn; return them.

    A locked file named PAUSE is one nevertheless, and left out.
    """
    places = {"": IN_ROOT, "inbox": IN_INBOX, "processing": IN_PLACE, "done": IN_PLACE, "failed": IN_PLACE}
    everything = [(share / place, name) for place, names in places.items() for name in names]
    laid = []
    for number, (folder, name) in enumerate(everything):
        kind = kinds[number % len(kinds)]
        if (name, kind) != ("PAUSE", "unreadable"):
            laid.append(lay(folder, name, kind, share.parent))
    return laid


def names_in_job() -> list[str]:
    """Return the names of traps in a job's folder, those in its hidden folder with a slash."""
    return [*IN_JOB, *(f"{HIDDEN}/{name}" for name in IN_HIDDEN)]


def lay_in_job(folder: Path, name: str, kind: str, outside: Path) -> None:
    """Lay a trap into a job's folder; `name` as `names_in_job` has it."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    lay(path.parent, path.name, kind, outside)


def kept(share: Path) -> int:
    """Return how many of the files in folders that were laid are still on the share."""
    return sum(path.read_text() == "mine" for path in share.rglob("notes") if path.is_file())
