"""What administrators can do with jobs, through the same files and moves as users; no running daemon is needed."""

from __future__ import annotations

import time
from pathlib import Path

from ..config.schema import Config
from ..errors import InputError
from ..job import Job
from ..storage import share_fs
from .intake import filename_rules
from .intake.job_folder import LOG_NOTE
from .job_store import peek


def retry(config: Config, name: str) -> Path:
    """Move failed/NAME (or done/NAME) back to the inbox; return its new path.

    Raises InputError("job_unknown").
    """
    share = config.paths.share
    for place in ("failed", "done"):
        if share_fs.exists(share / place / name):
            taken = {filename_rules.fold(n) for n in share_fs.names(share / "inbox")}
            target = share / "inbox" / filename_rules.free_name(name, taken, time.strftime("%Y%m%d-%H%M%S"))
            share_fs.rename(share / place / name, target)
            return target
    raise InputError("job_unknown", name=name, places="failed/, done/")


def cancel(config: Config, name: str) -> None:
    """Cancel a job by its name or id: the daemon stops it within seconds and moves it to failed/. Raises InputError."""
    claimed = [job.folder for job in peek(config.paths.state) if job.phase != "finished" and name in (job.name, job.id)]
    for place in (*(f"processing/{folder}" for folder in claimed), f"processing/{name}", f"inbox/{name}"):
        folder = config.paths.share / place
        if share_fs.exists(folder):
            share_fs.write(folder / "CANCEL", b"", durable=False)
            return
    raise InputError("job_unknown", name=name, places="processing/, inbox/")


def pause(config: Config) -> None:
    """Pause the queue: no further folder is claimed."""
    share_fs.write(config.paths.share / "inbox" / "PAUSE", b"", durable=False)


def resume(config: Config) -> bool:
    """Remove all PAUSE files from the inbox; return whether there was one."""
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


def log_file(config: Config, name: str) -> Path:
    """Return the log of the latest job of that name or id, running or finished. Raises InputError."""
    jobs = [job for job in peek(config.paths.state) if name in (job.name, job.id, job.folder)]
    if jobs:
        path = config.paths.state / "jobs" / f"{max(jobs, key=lambda job: job.arrived).id}.log"
        if path.exists():
            return path
    for place in ("done", "failed"):
        path = config.paths.share / place / name / LOG_NOTE
        if path.exists():
            return path
    raise InputError("job_unknown", name=name, places="processing/, done/, failed/")
