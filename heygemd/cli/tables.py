"""What `status`, `history`, `sync` and `once` print: snapshots as tables, plain lines or progress bars."""

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

MAX_JOBS = 10
"""Jobs that a table of the status shows."""
BAR_WIDTH = 24
COLOURS = {"done": "green", "failed": "red", "running": "cyan"}


def print_status(snapshot: Snapshot) -> None:
    """Print the snapshot; without a terminal as plain lines, one for each item."""
    console = Console()
    if console.is_terminal:
        console.print(status_tables(snapshot))
        return
    for line in status_lines(snapshot):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def watch(snapshots: Iterable[Snapshot]) -> None:
    """Show each snapshot in place of the one before."""
    with Live(auto_refresh=False, screen=False) as live:
        for snapshot in snapshots:
            live.update(status_tables(snapshot), refresh=True)


def status_lines(snapshot: Snapshot) -> list[str]:
    """Return the snapshot as plain lines."""
    lines = [f"{snapshot.state}  (as of {snapshot.updated})"]
    if snapshot.detail:
        lines.append(f"  {terminal.translated(snapshot.detail)}")
    groups: tuple[tuple[str, tuple[JobView, ...]], ...] = (
        ("now", snapshot.working),
        ("next", snapshot.queue),
        ("not ready", snapshot.waiting),
        ("recent", snapshot.recent),
    )
    for title, jobs in groups:
        for job in jobs:
            lines += _job_lines(title, job)
    return lines


def _job_lines(title: str, job: JobView) -> list[str]:
    folder = f" ({job.folder})" if job.folder else ""
    text = terminal.translated(job.text)
    lines = [f"{title:>9}  {job.name}: {job.state}{folder}{f': {text}' if text else ''}"]
    for video in job.videos:
        percent = f" {video.percent:.0f}%" if video.state == "running" else ""
        lines.append(f"{'':>13}{video.name}: {video.state}{percent} {_note(video)}".rstrip())
    if job.omitted:
        lines.append(f"{'':>13}… {job.omitted} more: done")
    return lines


def status_tables(snapshot: Snapshot) -> RenderableType:
    """Return the snapshot on one screen: current jobs with bars, then queued, incomplete and finished ones."""
    head = Text.assemble((snapshot.state, "bold"), f"  as of {snapshot.updated}", style="")
    parts: list[RenderableType] = [head]
    if snapshot.detail:
        parts.append(Text(terminal.translated(snapshot.detail), style="yellow"))
    parts += [_current_job(job) for job in snapshot.working]
    for title, jobs in (("next", snapshot.queue), ("not ready", snapshot.waiting), ("finished", snapshot.recent)):
        if jobs:
            parts.append(_job_table(f"{title} ({len(jobs)})", jobs))
    return Group(*parts)


def _current_job(job: JobView) -> Table:
    table = Table(title=f"now: {escape(job.name)}", title_justify="left", box=None, padding=(0, 1))
    for column in ("", "video", "", "", ""):
        table.add_column(column)
    for video in job.videos:
        bar = ProgressBar(total=100, completed=video.percent, width=BAR_WIDTH)
        percent = f"{video.percent:.0f} %" if video.state == "running" else ""
        mark = terminal.MARKS.get(video.state, "·")
        table.add_row(mark, escape(video.name), bar, percent, escape(_note(video)))
    return table


def _job_table(title: str, jobs: tuple[JobView, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), show_header=False)
    for job in jobs[:MAX_JOBS]:
        colour = COLOURS.get(job.state, "default")
        counted = f"{job.done}/{job.total}" if job.videos else ""
        text = escape(terminal.translated(job.text))
        table.add_row(f"[{colour}]{job.state}[/]", escape(job.name), counted, job.finished, text)
    if len(jobs) > MAX_JOBS:
        table.add_row("", f"… {len(jobs) - MAX_JOBS} more", "", "", "")
    return table


def update_bars(bars: terminal.Bars, snapshot: Snapshot) -> None:
    """Bring the progress bars up to date with the snapshot."""
    jobs = (*snapshot.recent[::-1], *snapshot.working, *snapshot.queue)
    # A folder that came back has several jobs of its name: the latest counts, or states would alternate for ever.
    latest = {(job.name, video.name): video for job in jobs for video in job.videos}
    for (job, name), video in latest.items():
        bars.update(job, name, video.state, video.percent, _note(video))


def left_lines(snapshot: Snapshot) -> list[str]:
    """Return a line for each folder that was left, with the reason, and why the daemon stopped if it had to."""
    why = terminal.translated(snapshot.detail)
    left = [*snapshot.working, *snapshot.queue, *snapshot.waiting]
    return [
        *([why] if why else []),
        *(f"left: {job.name} ({job.folder}): {terminal.translated(job.text) or why or job.state}" for job in left),
    ]


def _note(video: VideoView) -> str:
    """Return the text behind a video: phase, rate and remaining time while it runs, else why it failed."""
    if video.state != "running":
        return terminal.translated(video.text)
    rate = f" {video.fps:.0f} fps" if video.fps else ""
    left = f", {video.eta_s // 60:.0f}:{video.eta_s % 60:02.0f} left" if video.eta_s else ""
    return f"{video.phase}{rate}{left}"


def print_history(jobs: list[Job]) -> None:
    """Print finished jobs in the given order."""
    table = Table(box=None, padding=(0, 1))
    for column in ("finished", "state", "job", "videos", "took", "id", "reason"):
        table.add_column(column, overflow="fold")
    for job in jobs:
        state = "done" if job.succeeded else "failed"
        done = sum(video.state == "done" for video in job.videos)
        finished = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.finished))
        took = f"{job.finished - job.started:.0f} s"
        counted = f"{done}/{len(job.videos)}" if job.videos else ""
        rest = (counted, took, job.id, escape("; ".join(_reasons(job))))
        table.add_row(finished, f"[{COLOURS[state]}]{state}[/]", escape(printable(job.name)), *rest)
    Console().print(table)


def _reasons(job: Job) -> list[str]:
    language = terminal.language()
    found = [catalog.text(job.problem.code, job.problem.fields, language)] if job.problem else []
    return found + [
        catalog.text_with_file_name(v.problem.code, v.facts(), language) for v in job.videos if v.problem is not None
    ]


def describe_sync(measured: SyncMeasurement) -> str:
    """Return the offset of lips against sound in words, and the two controls of the measurement."""
    confidence = f"confidence {measured.offset_confidence}"
    if measured.offset_ms is None or measured.offset_frames is None:
        return f"No offset found: the lips do not match this sound, or there is too little speech ({confidence})."
    direction = "behind" if measured.offset_ms >= 0 else "ahead of"
    frames = f"{abs(measured.offset_frames):g} frames"
    shift = "no offset" if measured.control_shift_ms is None else f"{measured.control_shift_ms:.0f} ms more"
    return (
        f"The lips are {abs(measured.offset_ms):.0f} ms ({frames}) {direction} the sound ({confidence}).\n"
        f"Controls: with the sound shifted by {CONTROL_MS} ms, the measurement gives {shift}; with the sound reversed, "
        f"its confidence is {measured.reversed_confidence}."
    )
