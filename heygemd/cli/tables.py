"""What the verbs about jobs show: a live picture with progress bars, and the list of finished jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .. import terminal
from ..errors import printable
from ..i18n import catalog
from ..protocol import CONTROL_MS

if TYPE_CHECKING:
    from ..daemon.status.snapshot import JobView, Snapshot, VideoView
    from ..job import Job
    from ..protocol import SyncMeasurement

SHOWN_JOBS = 10
BAR_WIDTH = 24
COLOURS = {"done": "green", "failed": "red", "running": "cyan"}


def show(snapshot: Snapshot) -> None:
    """Print the picture; on a pipe as plain lines, one for each thing."""
    console = Console()
    if console.is_terminal:
        console.print(picture(snapshot))
        return
    for line in terminal.picture(snapshot):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def watch(snapshots: Iterable[Snapshot]) -> None:
    """Show each picture in place of the one before."""
    with Live(auto_refresh=False, screen=False) as live:
        for snapshot in snapshots:
            live.update(picture(snapshot), refresh=True)


def picture(snapshot: Snapshot) -> RenderableType:
    """Return everything on one screen: what is done now with bars, what follows, what waits, what was finished."""
    head = Text.assemble((snapshot.state, "bold"), f"  as of {snapshot.updated}", style="")
    parts: list[RenderableType] = [head]
    if snapshot.detail:
        parts.append(Text(terminal.spoken(snapshot.detail), style="yellow"))
    parts += [_current(job) for job in snapshot.working]
    for title, jobs in (("next", snapshot.queue), ("not ready", snapshot.waiting), ("finished", snapshot.recent)):
        if jobs:
            parts.append(_jobs(f"{title} ({len(jobs)})", jobs))
    return Group(*parts)


def _current(job: JobView) -> Table:
    table = Table(title=f"now: {escape(job.name)}", title_justify="left", box=None, padding=(0, 1))
    for column in ("", "video", "", "", ""):
        table.add_column(column)
    for video in job.videos:
        bar = ProgressBar(total=100, completed=video.percent, width=BAR_WIDTH)
        percent = f"{video.percent:.0f} %" if video.state == "running" else ""
        table.add_row(_mark(video), escape(video.name), bar, percent, escape(terminal.note(video)))
    return table


def _mark(video: VideoView) -> str:
    return terminal.MARKS.get(video.state, "·")


def _jobs(title: str, jobs: tuple[JobView, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), show_header=False)
    for job in jobs[:SHOWN_JOBS]:
        colour = COLOURS.get(job.state, "default")
        counted = f"{job.done}/{len(job.videos)}" if job.videos else ""
        table.add_row(
            f"[{colour}]{job.state}[/]", escape(job.name), counted, job.finished, escape(terminal.spoken(job.text))
        )
    if len(jobs) > SHOWN_JOBS:
        table.add_row("", f"… {len(jobs) - SHOWN_JOBS} more", "", "", "")
    return table


def history(jobs: list[Job]) -> None:
    """Print finished jobs, the newest first."""
    table = Table(box=None, padding=(0, 1))
    for column in ("finished", "state", "job", "videos", "took", "id", "why"):
        table.add_column(column, overflow="fold")
    for job in jobs:
        state = "done" if job.succeeded else "failed"
        good = sum(video.state == "done" for video in job.videos)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.finished))
        took = f"{job.finished - job.started:.0f} s"
        counted = f"{good}/{len(job.videos)}" if job.videos else ""
        row = (counted, took, job.id, escape("; ".join(_reasons(job))))
        table.add_row(when, f"[{COLOURS[state]}]{state}[/]", escape(printable(job.name)), *row)
    Console().print(table)


def _reasons(job: Job) -> list[str]:
    language = terminal.language()
    found = [catalog.text(job.problem.code, job.problem.fields, language)] if job.problem else []
    return found + [
        catalog.text_with_file_name(v.problem.code, v.facts(), language) for v in job.videos if v.problem is not None
    ]


def verdict(found: SyncMeasurement) -> str:
    """Return in words whether lips and sound are in step, and what the controls say of that."""
    sure = f"confidence {found.offset_confidence}"
    if found.offset_ms is None or found.offset_frames is None:
        return f"It cannot be told: the lips do not move with this sound, or too little is said ({sure})."
    where = "behind" if found.offset_ms >= 0 else "ahead of"
    frames = f"{abs(found.offset_frames):g} frames"
    moved = "nothing" if found.control_shift_ms is None else f"{found.control_shift_ms:.0f} ms more"
    return (
        f"The lips are {abs(found.offset_ms):.0f} ms ({frames}) {where} the sound, {sure}.\n"
        f"Controls: of the sound moved by {CONTROL_MS} ms it measures {moved}; of the sound played backwards "
        f"the confidence is {found.reversed_confidence}."
    )
