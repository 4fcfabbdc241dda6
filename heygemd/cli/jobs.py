"""The commands about jobs: status, history, logs, retry, cancel, pause, resume, retention."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ..exit_codes import Exit
from .options import AsJson, ConfigFile, load
from .panels import ADMINISTRATION, DAEMON, JOBS

if TYPE_CHECKING:
    from ..config.schema import Config
    from ..daemon.status.snapshot import Snapshot

app = typer.Typer(rich_markup_mode=None)

JobName = Annotated[str, typer.Argument(help="The name of the job folder.")]
REFRESH_S = 1.0
FOLLOW_S = 0.5
SILENT_S = 30.0
"""The daemon reports every second; after this long without a report it no longer works."""
NO_DAEMON = "No daemon has run with this configuration, or its state folder cannot be read."


@app.command(rich_help_panel=DAEMON)
def status(
    config: ConfigFile = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep updating until Ctrl-C.")] = False,
) -> None:
    """Show what the daemon is doing.

    Exit status 1: no daemon has run with this configuration, it ended without stopping, or it no longer reports. A
    paused or stopped daemon gives 0; its state is part of the output.
    """
    from . import tables

    settings = load(config)
    snapshot, alive = _snapshot(settings)
    if snapshot is None:
        typer.echo(NO_DAEMON, err=True)
        raise typer.Exit(Exit.PROBLEM)
    if as_json:
        typer.echo(snapshot.model_dump_json(indent=2))
    elif watch:
        tables.watch(_snapshots(settings, snapshot))
    else:
        tables.print_status(snapshot)
    raise typer.Exit(Exit.OK if alive else Exit.PROBLEM)


def _snapshot(settings: Config) -> tuple[Snapshot | None, bool]:
    """Return what the daemon last reported, and whether that is how it is: it may have been killed, or hang."""
    from ..daemon import daemon_lock
    from ..daemon.status import status_file

    snapshot = status_file.read(settings)
    if snapshot is None or snapshot.state == "stopped":
        return snapshot, True
    silent_s = status_file.age_s(settings)
    if daemon_lock.is_held(settings.paths.state) is False:
        return status_file.outdated(settings, snapshot, "service_ended", {}), False
    if silent_s > SILENT_S:
        return status_file.outdated(settings, snapshot, "service_silent", {"seconds": round(silent_s)}), False
    return snapshot, True


def _snapshots(settings: Config, snapshot: Snapshot) -> Iterator[Snapshot]:
    while True:
        yield snapshot
        time.sleep(REFRESH_S)
        snapshot = _snapshot(settings)[0] or snapshot


@app.command(rich_help_panel=DAEMON)
def pause(config: ConfigFile = None) -> None:
    """Start no new videos. Running ones are finished."""
    from ..daemon import admin

    admin.pause(load(config))
    typer.echo("paused: no new video starts until `heygemd resume`")


@app.command(rich_help_panel=DAEMON)
def resume(config: ConfigFile = None) -> None:
    """Continue after a pause, whoever paused the daemon."""
    from ..daemon import admin

    typer.echo("resumed" if admin.resume(load(config)) else "was not paused")


@app.command(rich_help_panel=JOBS)
def history(
    config: ConfigFile = None,
    number: Annotated[int, typer.Option("-n", min=1, help="How many jobs, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List finished jobs, with durations and reasons for failures."""
    import json

    from ..daemon import admin
    from . import tables

    jobs = admin.history(load(config))[:number]
    if as_json:
        typer.echo(json.dumps([job.model_dump(mode="python") for job in jobs], indent=2))
    else:
        tables.print_history(jobs)


@app.command(rich_help_panel=JOBS)
def logs(
    name: JobName,
    config: ConfigFile = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until Ctrl-C.")] = False,
) -> None:
    """Print a job's log. If several jobs share the name, the latest."""
    from ..daemon import admin

    with admin.open_log(load(config), name) as log:
        while True:
            typer.echo(log.read(), nl=False)
            if not follow:
                return
            time.sleep(FOLLOW_S)


@app.command(rich_help_panel=JOBS)
def retry(name: JobName, config: ConfigFile = None) -> None:
    """Move a finished job back to the inbox. Only videos that are missing or changed are rendered again."""
    from ..daemon import admin

    typer.echo(f"moved to {admin.retry(load(config), name)}")


@app.command(rich_help_panel=JOBS)
def cancel(name: JobName, config: ConfigFile = None) -> None:
    """Stop a queued or running job and move its folder to failed."""
    from ..daemon import admin

    admin.cancel(load(config), name)
    typer.echo(f"asked the daemon to stop {name}")


@app.command(rich_help_panel=ADMINISTRATION)
def retention(config: ConfigFile = None) -> None:
    """List the folders that [retention] would archive or delete now."""
    from ..daemon import admin
    from ..daemon.publish import retention as rules
    from ..storage import transfer

    settings = load(config)
    known = rules.finish_times(admin.history(settings))
    steps = transfer.finish(rules.plan(settings, time.time(), known))
    for step in steps:
        typer.echo(f"{step.action}  {step}")
    if not steps:
        typer.echo("nothing to archive or delete")
