"""status.json in the state folder: what the running daemon reports to `heygemd status` and `heygemd watch`."""

from __future__ import annotations

from pydantic import ValidationError

from ...config.schema import Config
from ...storage import atomic
from .snapshot import Snapshot

NAME = "status.json"


def write(config: Config, snapshot: Snapshot) -> None:
    """Replace the file. Raises LocalDiskError."""
    atomic.write(config.paths.state / NAME, snapshot.as_json(), durable=False)


def read(config: Config) -> Snapshot | None:
    """Return the snapshot that a daemon with this configuration last wrote, or None."""
    try:
        return Snapshot.model_validate_json(atomic.read(config.paths.state / NAME))
    except (OSError, ValidationError):
        return None
