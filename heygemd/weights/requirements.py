"""Checks that the files and programs exist which the chosen engine and tracker need beyond the package.

Nothing is loaded, so that the daemon and the doctor can ask too; the renderer finds out what a file really holds.
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
"""Names in the models folder, the sharper picture first."""
DETECTOR_FILES: dict[DetectorName, str] = {"s3fd": "s3fd-619a316812.pth", "blazeface": "blazefaceback.pth"}
FAN_FILE = "2DFAN4-11f355bf06.pth.tar"


def missing(render: Render, models: Path) -> Iterator[NotInstalled]:
    """Yield an error for each requirement of the engine and the tracker of these settings that is not met."""
    for check in (_check_engine, _check_tracker):
        try:
            check(render, models)
        except NotInstalled as fault:
            yield fault


def require(render: Render, models: Path) -> None:
    """Raise the first NotInstalled of `missing`."""
    for fault in missing(render, models):
        raise fault


def wav2lip_checkpoint(render: Render, models: Path) -> Path:
    """Return the checkpoint. Raise NotInstalled("wav2lip_missing") or what `file_type.require_torch_file` raises."""
    found = [models / name for name in WAV2LIP_FILES if exists(models / name)]
    chosen = render.wav2lip.checkpoint
    if not found and not chosen:
        source = registry.find("wav2lip-gan").source
        raise NotInstalled("wav2lip_missing", fix=f"heygemd models add wav2lip_gan.pth, from {source}")
    path = Path(chosen) if chosen else found[0]
    file_type.require_torch_file(path)
    return path


def face_alignment_files(detector: DetectorName, models: Path) -> tuple[Path, Path]:
    """Return the files of the detector and of FAN.

    Raise NotInstalled("tracker_weights_missing") or what `file_type.require_torch_file` raises.
    """
    files = models / DETECTOR_FILES[detector], models / FAN_FILE
    absent = [path.name for path in files if not exists(path)]
    if absent:
        names = [model.name for model in registry.known_models() if model.file in absent]
        fix = "; ".join(f"heygemd models fetch {name}" for name in names)
        raise NotInstalled("tracker_weights_missing", files=absent, fix=fix)
    for path in files:
        file_type.require_torch_file(path)
    return files


def require_program(name: str, command: Command) -> None:
    """Raise NotInstalled("command_missing") when the program or its folder does not exist."""
    folder = command.folder
    fix = f"install it, or correct render.command.{name} in the settings"
    if folder is not None and not folder.is_dir():
        raise NotInstalled("command_missing", name=name, path=str(folder), fix=fix)
    if not command.is_installed():
        raise NotInstalled("command_missing", name=name, path=command.argv[0], fix=fix)


def _check_engine(render: Render, models: Path) -> None:
    if render.engine in render.command:
        require_program(render.engine, render.command[render.engine])
    elif render.engine == "wav2lip":
        wav2lip_checkpoint(render, models)


def _check_tracker(render: Render, models: Path) -> None:
    if render.tracker == "face-alignment":
        face_alignment_files(render.detector, models)
