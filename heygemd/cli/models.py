"""`heygemd models`: list, verify, add and download model weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..exit_codes import Exit
from .options import ConfigFile, load

app = typer.Typer(rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List, verify, add or download model weights."""
    if context.invoked_subcommand is None:
        models_list()


@app.command("list")
def models_list(config: ConfigFile = None) -> None:
    """List all known weights and which are installed. Does not check their contents; see verify."""
    from ..weights import registry

    folder = load(config).paths.models
    for model in registry.known_models():
        state = "shipped" if model.shipped else "installed" if model.path(folder).exists() else "missing"
        typer.echo(f"{model.name:<16} {state:<9} {model.purpose} ({model.licence})")
        if state == "missing":
            how = f"heygemd models fetch {model.name}" if model.url else "heygemd models add FILE"
            typer.echo(f"{'':<26} from {model.source}: {how}")
    typer.echo(f"folder: {folder}")


@app.command("verify")
def models_verify(config: ConfigFile = None) -> None:
    """Check every installed file against its hash. Exit status 1: one is damaged."""
    from ..weights import registry

    folder = load(config).paths.models
    states = {model.name: registry.state(model, folder) for model in registry.known_models()}
    for name, state in states.items():
        typer.echo(f"{name:<16} {state}")
    if "damaged" in states.values():
        raise typer.Exit(Exit.PROBLEM)


@app.command("add")
def models_add(
    file: Annotated[Path, typer.Argument(help="The file, under any name.")], config: ConfigFile = None
) -> None:
    """Copy a downloaded weights file into the models folder."""
    from ..weights import registry

    folder = load(config).paths.models
    model = registry.add(file, folder)
    typer.echo(f"{model.name}: {model.path(folder)}")


@app.command("fetch")
def models_fetch(name: str, config: ConfigFile = None) -> None:
    """Download weights by name and check their hash."""
    from .. import terminal
    from ..weights import registry

    folder = load(config).paths.models
    model = registry.find(name)
    with terminal.Bars() as bars:
        size = model.size or 0

        def report(done: int) -> None:
            percent = 100 * done / size if size else 0
            bars.update("models", name, "running", percent, f"{done >> 20} MiB")

        registry.fetch(model, folder, report)
        bars.update("models", name, "done", 100)
    typer.echo(f"{model.name}: {model.path(folder)}")
