"""The verbs about jobs: what is being done, what was done, and what an administrator may ask."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..exit_codes import Exit

if TYPE_CHECKING:
    from ..config.schema import Config
    from ..daemon.status.snapshot import Snapshot

app = typer.Typer(rich_markup_mode=None)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="HEYGEMD_CONFIG", help="Settings. Default: /etc/heygemd/config.toml"),
]
JobName = Annotated[str, typer.Argument(help="The job folder's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Everything, as JSON.")]
FOLLOW_S = 0.5
NO_DAEMON = "No daemon has run with this configuration (or its state folder may not be read)."


def load(path: Path | None) -> Config:
    """Return the settings; every verb begins with it."""
    from ..config import loader

    return loader.load(path)


@app.command()
def status(
    config: ConfigFile = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay and keep it up to date, until Ctrl-C.")] = False,
) -> None:
    """Show what the daemon is doing. Exit status 1 when none has run with this configuration."""
    from ..daemon.status import builder as pictures
    from . import tables

    settings = load(config)
    snapshot = pictures.read(settings)
    if snapshot is None:
        typer.echo(NO_DAEMON, err=True)
        raise typer.Exit(Exit.PROBLEM)
    if as_json:
        typer.echo(snapshot.model_dump_json(indent=2))
    elif watch:
        tables.watch(_pictures(settings, snapshot))
    else:
        tables.show(snapshot)


def _pictures(settings: Config, snapshot: Snapshot) -> Iterator[Snapshot]:
    from ..daemon.status import builder as pictures

    while True:
        yield snapshot
        time.sleep(1)
        snapshot = pictures.read(settings) or snapshot


@app.command()
def history(
    config: ConfigFile = None,
    number: Annotated[int, typer.Option("-n", min=1, help="How many jobs, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List finished jobs: when, how many videos came out, how long it took, why not."""
    import json

    from ..daemon import admin
    from . import tables

    jobs = admin.history(load(config))[:number]
    if as_json:
        typer.echo(json.dumps([job.model_dump(mode="python") for job in jobs], indent=2))
    else:
        tables.history(jobs)


@app.command()
def logs(
    name: JobName,
    config: ConfigFile = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay and print what comes, until Ctrl-C.")] = False,
) -> None:
    """Print a job's own log, of the latest job of that name."""
    from ..daemon import admin

    with admin.log_file(load(config), name).open("rb") as log:
        while True:
            typer.echo(log.read(), nl=False)
            if not follow:
                return
            time.sleep(FOLLOW_S)


@app.command()
def retry(name: JobName, config: ConfigFile = None) -> None:
    """Move a finished folder back to the inbox: what is missing or changed is rendered again."""
    from ..daemon import admin

    typer.echo(f"moved to {admin.retry(load(config), name)}")


@app.command()
def cancel(name: JobName, config: ConfigFile = None) -> None:
    """Stop a job, waiting or running; its folder goes to failed/ with everything that was in it."""
    from ..daemon import admin

    admin.cancel(load(config), name)
    typer.echo(f"asked the daemon to stop {name}")


@app.command()
def pause(config: ConfigFile = None) -> None:
    """Let nothing new begin; what is being worked on is finished."""
    from ..daemon import admin

    admin.pause(load(config))
    typer.echo("paused: nothing new begins until `heygemd resume`")


@app.command()
def resume(config: ConfigFile = None) -> None:
    """Go on after a pause, whoever asked for it."""
    from ..daemon import admin

    typer.echo("going on" if admin.resume(load(config)) else "it was not paused")


@app.command()
def retention(config: ConfigFile = None) -> None:
    """Show which finished folders would be put away now, by [retention] in the settings; does nothing."""
    from ..daemon.publish import retention as rules
    from ..storage import transfer

    settings = load(config)
    steps = transfer.finish(rules.plan(settings, time.time()))
    for step in steps:
        typer.echo(f"{step.action}  {step}")
    if not steps:
        typer.echo("nothing would be put away")
