"""The command line. Commands import what they need when they run, so that `--help` and `run` start at once.

Exit statuses are in `exit_codes`. Errors are shown as plain messages; HEYGEMD_DEBUG=1 shows the traceback of a bug.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .. import __version__, exit_codes
from ..errors import HeygemdError, describe
from ..exit_codes import Exit
from . import jobs, models
from . import service as service_commands
from .options import AsJson, ConfigFile, load
from .panels import ADMINISTRATION, DAEMON, ONE_VIDEO, PanelGroup

if TYPE_CHECKING:
    from ..config.schema import Config
    from ..daemon.status.snapshot import Snapshot
    from ..protocol import Event, Result
    from .render_one import Inputs

app = typer.Typer(
    cls=PanelGroup,
    help="Lip-sync presenters' videos to a new voice recording: drop both into a folder.",
    epilog=f"\b\n{exit_codes.table()}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(jobs.app)
app.add_typer(models.app, name="models", rich_help_panel=ADMINISTRATION)
app.add_typer(service_commands.app, name="service", rich_help_panel=ADMINISTRATION)


def main() -> NoReturn:
    """Run the command line and exit. No error shows a traceback."""
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
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"{where}{error.strerror or error}. `heygemd doctor` shows how to fix it.", file=sys.stderr)
        sys.exit(Exit.UNAVAILABLE)
    except Exception as error:
        if os.environ.get("HEYGEMD_DEBUG"):
            raise
        print(f"This is a bug in heygemd ({describe(error)}). HEYGEMD_DEBUG=1 shows where.", file=sys.stderr)
        sys.exit(Exit.PROBLEM)
    sys.exit(Exit.OK)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heygemd {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Declare the options that come before a command; they act through their callbacks."""


@app.command(rich_help_panel=DAEMON)
def run(config: ConfigFile = None) -> None:
    """Watch the share and process jobs until stopped. systemd runs this."""
    settings = load(config)
    from ..daemon import service

    raise typer.Exit(service.run(settings, config))


@app.command(rich_help_panel=DAEMON)
def once(config: ConfigFile = None) -> None:
    """Process the inbox with progress bars, then exit.

    Says what was left and why. Exit status 3: some videos failed, or something was left in the inbox.
    """
    settings = load(config)
    from .. import terminal
    from ..daemon import service
    from ..weights import requirements
    from . import tables

    requirements.require(settings.render, settings.paths.models)  # a daemon would wait until they are met
    last: list[Snapshot] = []

    def observe(snapshot: Snapshot) -> None:
        last[:] = [snapshot]
        tables.update_bars(bars, snapshot)

    with terminal.Bars() as bars:
        status = service.run(settings, config, once=True, observe=observe)
    for line in tables.left_lines(last[0]) if last else ():
        typer.echo(line)
    raise typer.Exit(status)


@app.command(rich_help_panel=DAEMON)
def demo(
    folder: Annotated[Path, typer.Option(help="Where to work. It is emptied each time.")] = Path("demo-share"),
) -> None:
    """Run the daemon on two sample jobs.

    One has two clips and a photo of a public-domain portrait, a recorded voice, and one video that shows nobody. In
    the other, two people speak in one clip.
    """
    from .. import terminal
    from ..demo import run as sample
    from . import tables

    with terminal.Bars() as bars:
        succeeded = sample.run(folder, bars.print, functools.partial(tables.update_bars, bars))
    raise typer.Exit(Exit.OK if succeeded else Exit.SOME_FAILED)


@app.command(rich_help_panel=ONE_VIDEO)
def render(
    audio: Annotated[Path, typer.Option(help="The voice recording.")],
    video: Annotated[Path, typer.Option(help="The presenter's video.")],
    out: Annotated[Path, typer.Option(help="The MP4 file to write. An existing file is replaced.")],
    lips: Annotated[
        Path | None, typer.Option(help="A clean recording of the same words, to drive the lips instead.")
    ] = None,
    subtitles: Annotated[
        list[Path] | None, typer.Option(help="An .srt, .vtt or .ass file, such as text.zh.srt. May be repeated.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Short for --set engine=NAME.")] = "",
    tracker: Annotated[str, typer.Option(help="Short for --set tracker=NAME.")] = "",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting of [render]. May be repeated."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Render one video with one voice recording, without the daemon."""
    from .. import logging_setup
    from . import render_one

    overrides = list(assignments or [])
    overrides += [f"engine={engine}"] if engine else []
    overrides += [f"tracker={tracker}"] if tracker else []
    settings = load(config)
    settings = settings.model_copy(update={"render": render_one.override(settings.render, overrides)})
    logging_setup.setup(settings.log.model_copy(update={"level": "WARNING"}), None)
    result = _render_with_bar(settings, render_one.Inputs(audio, video, lips, tuple(subtitles or ())), out)
    size = f"{result.width}x{result.height} at {result.fps} fps"
    typer.echo(f"{out}: {result.frames} frames, {size}, {result.duration_s:.2f} s")


def _render_with_bar(settings: Config, inputs: Inputs, out: Path) -> Result:
    from .. import terminal
    from ..i18n import catalog
    from . import render_one

    with terminal.Bars() as bars:

        def report(event: Event) -> None:
            if event.type == "progress":
                bars.update(inputs.video.name, out.name, "running", event.percent, f"{event.phase} {event.fps:.0f} fps")
            elif event.type == "notice":
                bars.print(catalog.text(event.code, event.fields, terminal.language()))

        result = asyncio.run(render_one.render(settings, inputs, out, report))
        bars.update(inputs.video.name, out.name, "done", 100)
    return result


@app.command(rich_help_panel=ONE_VIDEO)
def sync(
    video: Annotated[Path, typer.Argument(help="Any video of a talking person.")],
    audio: Annotated[
        Path | None, typer.Option(help="Compare with this recording instead of the video's sound.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Measure whether the lips in a video match its sound.

    Exit status 1: they are further apart than render.max_offset_frames, or the offset cannot be measured.
    """
    from .. import logging_setup, terminal
    from . import render_one, tables

    settings = load(config)
    logging_setup.setup(settings.log.model_copy(update={"level": "WARNING"}), None)
    with terminal.Bars() as bars:

        def report(event: Event) -> None:
            if event.type == "progress":
                bars.update("sync", video.name, "running", event.percent, f"{event.fps:.0f} fps")

        measured = asyncio.run(render_one.measure_sync(settings, video, audio, report))
        bars.update("sync", video.name, "done", 100)
    if as_json:
        typer.echo(json.dumps({**measured.model_dump(), "offset_frames": measured.offset_frames}, indent=2))
    else:
        typer.echo(tables.describe_sync(measured))
    frames = measured.offset_frames
    in_sync = frames is not None and abs(frames) <= settings.render.max_offset_frames
    raise typer.Exit(Exit.OK if in_sync else Exit.PROBLEM)


@app.command(rich_help_panel=ADMINISTRATION)
def init(
    share: Annotated[Path, typer.Argument(help="The folder that staff will see.")],
    config: ConfigFile = None,
    group: Annotated[
        str | None,
        typer.Option(help="The group that owns the folders. Default: heygemd-share, if it exists."),
    ] = None,
) -> None:
    """Create a share and its configuration. Safe to repeat.

    The share gets its folders, a marker file and permissions; the configuration is written outside it.
    """
    from ..setup import init_share

    for line in init_share.initialise(share, config, group):
        typer.echo(line)
    path = config or init_share.default_config()
    option = "" if os.geteuid() == 0 and config is None else f" --config {path}"
    typer.echo(f"Next: heygemd doctor{option}, then heygemd run{option}")


@app.command("config", rich_help_panel=ADMINISTRATION)
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
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False, default=str)  # paths as strings, secrets as asterisks


@app.command(rich_help_panel=ADMINISTRATION)
def doctor(
    config: ConfigFile = None,
    inside_unit: Annotated[
        bool,
        typer.Option("--inside-unit", help="Check as the service's user, with the restrictions of the systemd unit."),
    ] = False,
) -> None:
    """Check this machine and the share, and show how to fix problems.

    Exit status 1: something is broken.
    """
    if inside_unit:
        from ..setup import systemd_units

        output = systemd_units.run_doctor_inside_unit()
        typer.echo(output, nl=False)
        raise typer.Exit(Exit.PROBLEM if "BROKEN" in output else Exit.OK)
    from ..doctor import checks

    results = checks.examine(load(config), config)
    for result in results:
        mark = {"ok": "ok     ", "warning": "WARNING", "broken": "BROKEN "}[result.state]
        typer.echo(f"{mark} {result.subject}: {result.text}")
        for line in result.fix.splitlines() if result.state != "ok" else ():
            typer.echo(f"{'':>10}{line}")
    if any(result.state == "broken" for result in results):
        raise typer.Exit(Exit.PROBLEM)


@app.command(rich_help_panel=ADMINISTRATION)
def notify(config: ConfigFile = None) -> None:
    """Send waiting notifications. systemd runs this."""
    settings = load(config)
    from .. import logging_setup
    from ..daemon.status import send_notifications

    logging_setup.setup(settings.log, None)
    raise typer.Exit(Exit.OK if send_notifications.deliver(settings) else Exit.PROBLEM)
