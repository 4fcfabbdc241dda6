"""Options that several commands share, and how each command reads its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..config.schema import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="HEYGEMD_CONFIG", help="The settings. Default: /etc/heygemd/config.toml"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print all details as JSON.")]


def load(path: Path | None) -> Config:
    """Return the settings. Raises ConfigError."""
    from ..config import loader
    from ..storage import share_paths

    config = loader.load(path)
    share_paths.anchor(config.paths.share)
    return config
