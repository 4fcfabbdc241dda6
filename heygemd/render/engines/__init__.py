"""The engines by name; one is imported only when it is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path

from ...errors import EngineError
from .base import FrameEngine

ENGINES = {"mesh": "heygemd.render.engines.mesh:MeshEngine"}
"""name: module:class"""


def engine(name: str, models: Path, device: str = "cpu") -> FrameEngine:
    """Return an engine, not yet checked. Raises EngineError("engine_unknown")."""
    if name not in ENGINES:
        raise EngineError("engine_unknown", name=name, known=sorted(ENGINES))
    module, _, kind = ENGINES[name].partition(":")
    found: type[FrameEngine] = getattr(importlib.import_module(module), kind)
    return found(models, device)
