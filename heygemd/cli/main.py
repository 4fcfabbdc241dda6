"""The command line. Verbs import what they need when they run, so that `--help` and `run` start at once.

Exit codes: see `exits`. Faults are shown in plain words; HEYGEMD_DEBUG=1 adds the traceback of a bug.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .. import exit_codes
from ..errors import HeygemdError, describe
from ..exit_codes import Exit
from . import jobs, models
from . import service as cli_service
from .jobs import ConfigFile, load

if TYPE_CHECKING:
    from ..config.schema import Config
    from ..protocol import Event


app = typer.Typer(
    help="Presenters' videos say a new voice recording: drop both into a folder.",
    epilog=exit_codes.WORDS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(jobs.app)
app.add_typer(models.app, name="models")
app.add_typer(cli_service.app, name="service")


def main() -> NoReturn:
    """Run the command line; every end has its exit status and no fault shows a traceback."""
    try:
        app()
    except HeygemdError as error:
        from .. import terminal

        print(terminal.explain(error), file=sys.stderr)
        if error.detail:
            print(f"({describe(error)})", file=sys.stderr)
        sys.exit(exit_codes.of(error))
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except PermissionError as error:
        print(f"{error.filename}: {error.strerror}. `heygemd doctor` says how to mend it.", file=sys.stderr)
        sys.exit(Exit.UNAVAILABLE)
    except Exception as error:
        if os.environ.get("HEYGEMD_DEBUG"):
            raise
        print(f"This is a bug in heygemd ({describe(error)}). HEYGEMD_DEBUG=1 shows where.", file=sys.stderr)
        sys.exit(Exit.PROBLEM)
    sys.exit(Exit.OK)


@app.command()
def run(config: ConfigFile = None) -> None:
    """Watch the share and work, until told to stop (what the systemd unit starts)."""
    settings = load(config)
    from ..daemon import service

    raise typer.Exit(service.run(settings, config))


@app.command()
def once(config: ConfigFile = None) -> None:
    """Work off the inbox with a progress bar for each video, then exit."""
    settings = load(config)
    from .. import terminal
    from ..daemon import service
    from ..weights import requirements

    requirements.require(settings.render, settings.paths.models)  # a daemon would wait for it
    with terminal.Bars() as bars:
        status = service.run(settings, config, once=True, observe=bars.show)
    raise typer.Exit(status)


@app.command()
def render(
    audio: Annotated[Path, typer.Option(help="The voice recording.")],
    video: Annotated[Path, typer.Option(help="The presenter's video.")],
    out: Annotated[Path, typer.Option(help="The MP4 to make; replaced if it exists.")],
    engine: Annotated[str, typer.Option(help="Short for --set engine=NAME.")] = "",
    tracker: Annotated[str, typer.Option(help="Short for --set tracker=NAME.")] = "",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of [render]; may be repeated."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Render one video with one voice: no folders, no daemon."""
    from .. import logging_setup
    from . import render_one

    wishes = list(assignments or [])
    wishes += [f"engine={engine}"] if engine else []
    wishes += [f"tracker={tracker}"] if tracker else []
    settings = load(config)
    settings = settings.model_copy(update={"render": render_one.override(settings.render, wishes)})
    logging_setup.setup(settings.log.model_copy(update={"level": "WARNING"}), None)
    _render_with_bar(settings, audio, video, out)


def _render_with_bar(settings: Config, audio: Path, video: Path, out: Path) -> None:
    from .. import terminal
    from ..i18n import catalog
    from . import render_one

    with terminal.Bars() as bars:

        def report(event: Event) -> None:
            if event.type == "progress":
                bars.video(video.name, out.name, "running", event.percent, f"{event.phase} {event.fps:.0f} fps")
            elif event.type == "notice":
                words = catalog.text(event.code, event.fields, terminal.language())
                bars.console.print(words, markup=False, soft_wrap=True)

        result = asyncio.run(render_one.render(settings, audio, video, out, report))
        bars.video(video.name, out.name, "done", 100, "")
    size = f"{result.width}x{result.height} at {result.fps} fps"
    typer.echo(f"{out}: {result.frames} frames, {size}, {result.duration_s:.2f} s")


@app.command()
def sync(
    video: Annotated[Path, typer.Argument(help="Any video of someone talking.")],
    audio: Annotated[Path | None, typer.Option(help="Judge it against this sound instead of its own.")] = None,
    as_json: jobs.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Measure whether a video's lips move with its sound. Exit status 1 if they do not, or it cannot be told."""
    from .. import logging_setup, terminal
    from . import render_one, tables

    settings = load(config)
    logging_setup.setup(settings.log.model_copy(update={"level": "WARNING"}), None)
    with terminal.Bars() as bars:

        def report(event: Event) -> None:
            if event.type == "progress":
                bars.video("sync", video.name, "running", event.percent, f"{event.fps:.0f} fps")

        verdict = asyncio.run(render_one.judge(settings, video, audio, report))
        bars.video("sync", video.name, "done", 100, "")
    if as_json:
        typer.echo(json.dumps({**verdict.model_dump(), "offset_frames": verdict.offset_frames}, indent=2))
    else:
        typer.echo(tables.verdict(verdict))
    frames = verdict.offset_frames
    in_step = frames is not None and abs(frames) <= settings.render.max_offset_frames
    raise typer.Exit(Exit.OK if in_step else Exit.PROBLEM)


@app.command()
def init(
    share: Annotated[Path, typer.Argument(help="The folder that staff will see.")],
    config: ConfigFile = None,
    group: Annotated[
        str | None,
        typer.Option(help="The group that shares the folders. Default: heygemd, if there is one."),
    ] = None,
) -> None:
    """Make a share (folders, marker, permissions) and a configuration outside it. Safe to repeat."""
    from ..setup import init_share

    for line in init_share.initialise(share, config, group):
        typer.echo(line)
    path = config or init_share.default_config()
    option = "" if os.geteuid() == 0 and config is None else f" --config {path}"
    typer.echo(f"Next: heygemd doctor{option}, then heygemd run{option}")


@app.command("config")
def show_config(config: ConfigFile = None) -> None:
    """Print the settings in force and where each comes from."""
    from ..config import loader

    section = ""
    for key, value, origin in loader.effective(load(config), config):
        head, _, name = key.partition(".")
        if head != section:
            typer.echo(f"{chr(10) if section else ''}[{head}]")
            section = head
        typer.echo(f"{f'{name} = {_toml(value)}':<50} # {origin}")


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(words)}' for key, words in value.items())}}}"
    return json.dumps(value, ensure_ascii=False, default=str)  # a path as its name, a secret as asterisks


@app.command()
def doctor(
    config: ConfigFile = None,
    inside_unit: Annotated[
        bool, typer.Option("--inside-unit", help="As the service's user, under the installed unit's confinement.")
    ] = False,
) -> None:
    """Check this machine and the share; every problem comes with its mend. Exit status 1 if something is broken."""
    if inside_unit:
        from ..setup import systemd_units

        said = systemd_units.examine_inside()
        typer.echo(said, nl=False)
        raise typer.Exit(Exit.PROBLEM if "BROKEN" in said else Exit.OK)
    from ..doctor import checks

    rows = checks.examine(load(config), config)
    for row in rows:
        mark = {"ok": "ok     ", "warning": "WARNING", "broken": "BROKEN "}[row.state]
        typer.echo(f"{mark} {row.subject}: {row.finding}")
        for line in row.mend.splitlines() if row.state != "ok" else ():
            typer.echo(f"{'':>10}{line}")
    if any(row.state == "broken" for row in rows):
        raise typer.Exit(Exit.PROBLEM)


@app.command()
def notify(config: ConfigFile = None) -> None:
    """Send the notifications that the daemon put into its outbox (what systemd starts when there are some)."""
    settings = load(config)
    from .. import logging_setup
    from ..daemon.status import send_notifications as post

    logging_setup.setup(settings.log, None)
    raise typer.Exit(Exit.OK if post.deliver(settings) else Exit.PROBLEM)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Made afresh each time.")] = Path("demo-share"),
) -> None:
    """Let the daemon work on a sample job: three clips of a real portrait, a recorded voice, one bad video."""
    from ..demo import run as show

    raise typer.Exit(Exit.OK if show.run(folder) else Exit.SOME_FAILED)
