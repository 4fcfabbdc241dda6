"""Engines by name; one is imported only when it is asked for."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from ...config.schema import PLUGINS, Render
from ...errors import NotInstalled
from .base import Engine
from .command import CommandEngine

ENGINES = {
    "mesh": "heygemd.render.engines.mesh:MeshEngine",
    "wav2lip": "heygemd.render.engines.wav2lip:Wav2LipEngine",
}
"""Engines that ship with heygemd, as "module:class"."""


def create_engine(settings: Render, models: Path, device: str = "cpu", machine_cache: Path | None = None) -> Engine:
    """Return the engine that the settings name, not yet checked. The parameters are those of Engine.

    Raises NotInstalled("engine_unknown", known=[...]), or ("plugin_broken") when a plug-in cannot be imported.
    """
    name = settings.engine
    if name in settings.command:
        return CommandEngine(name, models, device, settings, machine_cache)
    found = {point.name: point for point in metadata.entry_points(group=PLUGINS)} if name not in ENGINES else {}
    if name in ENGINES:
        found[name] = metadata.EntryPoint(name, ENGINES[name], PLUGINS)
    if name not in found:
        raise NotInstalled("engine_unknown", name=name, known=sorted({*ENGINES, *settings.command, *found}))
    try:
        engine_class = found[name].load()
    except Exception as error:
        if name in ENGINES:
            raise
        raise NotInstalled("plugin_broken", name=name, detail=f"{type(error).__name__}: {error}") from error
    if not (isinstance(engine_class, type) and issubclass(engine_class, Engine)):
        raise NotInstalled(
            "plugin_broken", name=name, detail=f"{engine_class!r} is not a heygemd.render.engines.base.Engine"
        )
    return engine_class(models, device, settings, machine_cache)
