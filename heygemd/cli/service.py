"""`heygemd service`: install heygemd as a systemd service, and remove it."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import ConfigFile, load

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Install heygemd as a systemd service, or uninstall it."
)

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.command("install")
def service_install(
    config: ConfigFile = None,
    yes: Yes = False,
    now: Annotated[bool, typer.Option("--now", help="Start the service now and at boot.")] = False,
) -> None:
    """Show the systemd units for this machine, then write them."""
    from ..setup import systemd_units

    files = systemd_units.plan(load(config), config)
    for path, text in files.items():
        typer.echo(f"--- {path}{' (replaced)' if path.exists() else ''}\n{text}")
    for warning in systemd_units.warnings(config):
        typer.echo(f"WARNING {warning}", err=True)
    if yes or typer.confirm("Write these files?"):
        systemd_units.install(files, now)
        typer.echo("Installed." if now else "Installed. To start: systemctl enable --now heygemd heygemd-notify.path")


@app.command("uninstall")
def service_uninstall(config: ConfigFile = None, yes: Yes = False) -> None:
    """Stop the service and remove its units. Configuration, job records and the share are kept."""
    from ..setup import systemd_units

    files = systemd_units.plan(load(config), config)
    for path in files:
        if path.exists():
            typer.echo(f"--- {path}")
    if yes or typer.confirm("Stop heygemd and remove these files?"):
        for path in systemd_units.uninstall(files):
            typer.echo(f"removed {path}")
