"""status.json in the state folder: what the running daemon reports to `heygemd status` and `heygemd watch`."""

from __future__ import annotations

import time

from pydantic import ValidationError

from ...config.schema import Config
from ...i18n import catalog
from ...storage import atomic
from .snapshot import Snapshot, VideoView

NAME = "status.json"


def write(config: Config, snapshot: Snapshot) -> None:
    """Replace the file. Raises LocalDiskError."""
    atomic.write(config.paths.state / NAME, snapshot.as_json(), durable=False)


def age_s(config: Config) -> float:
    """Return the seconds since the daemon last reported; 0 if unknown, or after a clock was set back."""
    try:
        return max(0.0, time.time() - (config.paths.state / NAME).stat().st_mtime)
    except OSError:
        return 0.0


def outdated(config: Config, snapshot: Snapshot, code: str, fields: dict[str, object]) -> Snapshot:
    """Return the last report of a daemon that does not work any more: what was being rendered is next."""
    why = catalog.texts(code, fields, config.pages.languages)
    waiting = [job.model_copy(update={"videos": tuple(map(_stopped, job.videos))}) for job in snapshot.working]
    queue = (*waiting, *snapshot.queue)
    return snapshot.model_copy(
        update={"state": "stopped", "detail": why, "current": None, "beside": (), "queue": queue}
    )


def _stopped(video: VideoView) -> VideoView:
    return VideoView(name=video.name, state="waiting") if video.state == "running" else video


def read(config: Config) -> Snapshot | None:
    """Return the snapshot that a daemon with this configuration last wrote, or None."""
    try:
        return Snapshot.model_validate_json(atomic.read(config.paths.state / NAME))
    except (OSError, ValidationError):
        return None
