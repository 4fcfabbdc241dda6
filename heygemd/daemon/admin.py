"""What administrators can do with jobs, through the same files and moves as users; no running daemon is needed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..config.schema import Config
from ..errors import InputError, NotReady
from ..job import Job
from ..storage import share_fs, share_paths
from .intake import filename_rules
from .intake.job_folder import LOG_NOTE
from .job_store import peek


@contextlib.contextmanager
def _as_this_user() -> Iterator[None]:
    """Let a refusal by the share say that it is this user who may not, and not the service."""
    try:
        yield
    except NotReady as error:
        if error.code != "no_permission":
            raise
        raise InputError("not_allowed", path=error.fields["path"]) from error


def _check_name(name: str, places: str) -> None:
    """Raise InputError("job_unknown") for what can be no folder's name, such as "..": it would mean another one."""
    if name in ("", ".", "..") or "/" in name:
        raise InputError("job_unknown", name=name, places=places)


@_as_this_user()
def retry(config: Config, name: str) -> Path:
    """Move failed/NAME (or done/NAME) back to the inbox; return its new path.

    Raises InputError("job_unknown" | "not_allowed").
    """
    share, places = config.paths.share, "failed/, done/"
    _check_name(name, places)
    for place in ("failed", "done"):
        if share_fs.exists(share / place / name):
            taken = {filename_rules.fold(n) for n in share_fs.names(share / "inbox")}
            target = share / "inbox" / filename_rules.free_name(name, taken, time.strftime("%Y%m%d-%H%M%S"))
            share_fs.rename(share / place / name, target)
            return target
    raise InputError("job_unknown", name=name, places=places)


@_as_this_user()
def cancel(config: Config, name: str) -> None:
    """Cancel a job by its name or id: the daemon stops it within seconds and moves it to failed/.

    Raises InputError("job_unknown" | "not_allowed").
    """
    jobs: list[Job] = []
    places = "processing/, inbox/"
    _check_name(name, places)
    with contextlib.suppress(PermissionError):  # staff go by the folder's name
        jobs = peek(config.paths.state)
    claimed = [job.folder for job in jobs if job.phase != "finished" and name in (job.name, job.id)]
    for place in (*(f"processing/{folder}" for folder in claimed), f"processing/{name}", f"inbox/{name}"):
        folder = config.paths.share / place
        if share_fs.exists(folder):
            share_fs.write(folder / "CANCEL", b"", durable=False)
            return
    raise InputError("job_unknown", name=name, places=places)


@_as_this_user()
def pause(config: Config) -> None:
    """Pause the queue: no further folder is claimed. Raises InputError("not_allowed")."""
    share_fs.write(config.paths.share / "inbox" / "PAUSE", b"", durable=False)


@_as_this_user()
def resume(config: Config) -> bool:
    """Remove all PAUSE files from the inbox; return whether there was one. Raises InputError("not_allowed")."""
    inbox = config.paths.share / "inbox"
    kinds = share_fs.kinds(inbox)
    found = [name for name in kinds if filename_rules.control(name, kinds[name]) == filename_rules.PAUSE]
    for name in found:
        share_fs.remove(inbox / name)
    return bool(found)


def history(config: Config) -> list[Job]:
    """Return the finished jobs whose records are kept, newest first."""
    finished = [job for job in peek(config.paths.state) if job.phase == "finished"]
    return sorted(finished, key=lambda job: job.finished, reverse=True)


def open_log(config: Config, name: str) -> BinaryIO:
    """Open the log of the latest job of that name or id, running or finished. Raises InputError("job_unknown").

    On the share only a regular file is opened: root follows no link of staff's.
    """
    places = "processing/, done/, failed/"
    _check_name(name, places)
    jobs = [job for job in peek(config.paths.state) if name in (job.name, job.id, job.folder)]
    if jobs:
        path = config.paths.state / "jobs" / f"{max(jobs, key=lambda job: job.arrived).id}.log"
        if path.exists():
            return path.open("rb")
    for place in ("done", "failed"):
        path = config.paths.share / place / name / LOG_NOTE
        if share_fs.is_file(path):
            return share_paths.open_file(path)
    raise InputError("job_unknown", name=name, places=places)
