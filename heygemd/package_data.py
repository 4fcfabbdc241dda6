"""Data files of the package. In a wheel they are inside the package, in a checkout one level above it."""

from __future__ import annotations

import json
from pathlib import Path

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent


def example_config() -> str:
    """Return the text of config.example.toml."""
    return _find("config.example.toml", "config.example.toml").read_text("utf-8")


def manifest() -> str:
    """Return the text of the model manifest."""
    return _find("models-manifest.toml", "models/manifest.toml").read_text("utf-8")


def units() -> Path:
    """Return the folder of the systemd units, sysusers.conf and tmpfiles.conf."""
    return _find("systemd", "systemd")


def config_for(**paths: Path) -> str:
    """Return the example configuration with these keys of [paths] set; all other settings keep their defaults."""
    text = example_config()
    for key, path in paths.items():
        start = text.index(f"\n#{key} = ") + 1
        end = text.index("\n", start)
        quoted = json.dumps(str(path), ensure_ascii=False)  # a JSON string is a TOML basic string
        text = text[:start] + f"{key} = {quoted}" + text[end:]
    return text


def _find(packaged: str, checkout: str) -> Path:
    inside = PACKAGE / packaged
    return inside if inside.exists() else CHECKOUT / checkout
