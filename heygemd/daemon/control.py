"""What an administrator may ask of jobs: move a folder back, or stop one. Works with or without a running daemon."""

from __future__ import annotations

import time
from pathlib import Path

from .. import files
from ..config import Config
from ..errors import InputError
from . import names


def retry(config: Config, name: str) -> Path:
    """Move failed/NAME (or done/NAME) back into the inbox; return where it lies now.

    Raises InputError("job_unknown").
    """
    share = config.paths.share
    for place in ("failed", "done"):
        if files.exists(share / place / name):
            taken = {names.fold(n) for n in files.names(share / "inbox")}
            target = share / "inbox" / names.free_name(name, taken, time.strftime("%Y%m%d-%H%M%S"))
            files.rename(share / place / name, target)
            return target
    raise InputError("job_unknown", name=name, places="failed/, done/")


def cancel(config: Config, name: str) -> None:
    """Ask the daemon to stop the job: it ends within seconds and the folder goes to failed/. Raises InputError."""
    folder = config.paths.share / "processing" / name
    if not files.exists(folder):
        raise InputError("job_unknown", name=name, places="processing/")
    files.write(folder / "CANCEL", b"", durable=False)
