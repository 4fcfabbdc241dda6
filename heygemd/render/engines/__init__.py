"""The engines by name; one is imported only when it is asked for."""

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
"""name: module:class"""


def engine(settings: Render, models: Path, device: str = "cpu", keep: Path | None = None) -> Engine:
    """Return the engine that the settings name, not yet checked; see Engine for the rest.

    Raises NotInstalled("engine_unknown", known=[...]), or ("plugin_broken") when a plug-in cannot be imported.
    """
    name = settings.engine
    if name in settings.command:
        return CommandEngine(name, models, device, settings, keep)
    found = {point.name: point for point in metadata.entry_points(group=PLUGINS)} if name not in ENGINES else {}
    if name in ENGINES:
        found[name] = metadata.EntryPoint(name, ENGINES[name], PLUGINS)
    if name not in found:
        raise NotInstalled("engine_unknown", name=name, known=sorted({*ENGINES, *settings.command, *found}))
    try:
        kind = found[name].load()
    except Exception as error:
        if name in ENGINES:
            raise
        raise NotInstalled("plugin_broken", name=name, detail=f"{type(error).__name__}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Engine)):
        raise NotInstalled("plugin_broken", name=name, detail=f"{kind!r} is no heygemd.render.engines.base.Engine")
    return kind(models, device, settings, keep)
