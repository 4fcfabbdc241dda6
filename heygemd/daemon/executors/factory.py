"""Chooses the executor that the configuration asks for."""

from __future__ import annotations

from ...config.schema import Config
from .base import Executor
from .local import LocalExecutor


def create(config: Config) -> Executor:
    """Return the configured executor; needs a running loop."""
    if config.work.executor == "ray":
        from .ray_cluster import RayExecutor  # here, because few installations need it

        return RayExecutor(config)
    return LocalExecutor(config)
