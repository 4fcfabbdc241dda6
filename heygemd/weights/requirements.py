"""What the chosen engine and tracker need beyond the package, and whether it is installed, as far as files tell.

Nothing is loaded here: the daemon and the doctor ask too. What a file really holds, the renderer finds out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NotInstalled
from ..path_checks import exists
from . import file_type, registry

if TYPE_CHECKING:
    from ..config.schema import Command, DetectorName, Render

WAV2LIP_FILES = ("wav2lip_gan.pth", "wav2lip.pth")
"""Names in the models folder, the better picture first."""
DETECTOR_FILES: dict[DetectorName, str] = {"s3fd": "s3fd-619a316812.pth", "blazeface": "blazefaceback.pth"}
FAN_FILE = "2DFAN4-11f355bf06.pth.tar"


def lacking(render: Render, models: Path) -> Iterator[NotInstalled]:
    """Yield what the engine and the tracker of these settings lack."""
    for ask in (_engine, _tracker):
        try:
            ask(render, models)
        except NotInstalled as fault:
            yield fault


def require(render: Render, models: Path) -> None:
    """Raise the first NotInstalled of `lacking`."""
    for fault in lacking(render, models):
        raise fault


def wav2lip(render: Render, models: Path) -> Path:
    """Return the checkpoint. Raises NotInstalled("wav2lip_missing") or what weightfile.usable says of it."""
    here = [models / name for name in WAV2LIP_FILES if exists(models / name)]
    chosen = render.wav2lip.checkpoint
    if not here and not chosen:
        source = registry.find("wav2lip-gan").source
        raise NotInstalled("wav2lip_missing", fix=f"heygemd models add wav2lip_gan.pth, from {source}")
    path = Path(chosen) if chosen else here[0]
    file_type.usable(path)
    return path


def face_alignment(detector: DetectorName, models: Path) -> tuple[Path, Path]:
    """Return the files of the detector and of FAN.

    Raises NotInstalled("tracker_weights_missing") or what weightfile.usable says of one.
    """
    files = models / DETECTOR_FILES[detector], models / FAN_FILE
    missing = [path.name for path in files if not exists(path)]
    if missing:
        names = [model.name for model in registry.register() if model.file in missing]
        fix = "; ".join(f"heygemd models fetch {name}" for name in names)
        raise NotInstalled("tracker_weights_missing", files=missing, fix=fix)
    for path in files:
        file_type.usable(path)
    return files


def program(name: str, command: Command) -> None:
    """Raise NotInstalled("command_missing") when the program or its folder does not exist."""
    folder = command.folder
    fix = f"install it, or correct render.command.{name} in the settings"
    if folder is not None and not folder.is_dir():
        raise NotInstalled("command_missing", name=name, path=str(folder), fix=fix)
    if not command.is_installed():
        raise NotInstalled("command_missing", name=name, path=command.argv[0], fix=fix)


def _engine(render: Render, models: Path) -> None:
    if render.engine in render.command:
        program(render.engine, render.command[render.engine])
    elif render.engine == "wav2lip":
        wav2lip(render, models)


def _tracker(render: Render, models: Path) -> None:
    if render.tracker == "face-alignment":
        face_alignment(render.detector, models)
