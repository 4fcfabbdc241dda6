"""status.json in the state folder: what the running daemon reports to `heygemd status` and `heygemd watch`."""

from __future__ import annotations

import time
from dataclasses import replace

from pydantic import ValidationError

from ...config.schema import Config
from ...i18n import catalog
from ...storage import atomic
from .snapshot import Snapshot, VideoView

NAME = "status.json"
EVERY_S = 5.0
"""An unchanged file is written again after this long, because its age shows whether the daemon works."""


class Reporter:
    """Writes the file when something changed, and every EVERY_S: with a long queue, writing is most of an idle tick."""

    def __init__(self) -> None:
        """Nothing has been written."""
        self._written: Snapshot | None = None
        self._written_at = 0.0

    def report(self, config: Config, snapshot: Snapshot, now: float) -> None:
        """Write the file if it is due at `now` (monotonic). Raises LocalDiskError; then the next call tries again."""
        timeless = snapshot.timeless()
        if timeless != self._written or now - self._written_at >= EVERY_S:
            write(config, snapshot)
            self._written, self._written_at = timeless, now


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
    waiting = [replace(job, videos=tuple(map(_stopped, job.videos))) for job in snapshot.working]
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
