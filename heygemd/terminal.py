"""What a terminal shows: words for faults, bars for running videos, the picture of a daemon."""

from __future__ import annotations

import locale
import os
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from .errors import ConfigError, HeygemdError, printable
from .i18n import catalog

if TYPE_CHECKING:
    from .daemon.status.snapshot import JobView, Snapshot, VideoView
    from .i18n.catalog import Text

MARKS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "running": "▶", "waiting": "·", "copying": "…"}


def language(known: tuple[str, ...] = ()) -> str:
    """Return the language of this terminal, among those `known` (default: all that there are words in)."""
    known = known or catalog.languages()
    name = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    wanted = locale.normalize(name)[:2]
    return wanted if wanted in known else known[0]


def explain(error: HeygemdError) -> str:
    """Return the words for a fault; the mistakes in a configuration each on a line of their own."""
    mistakes = error.fields.get("mistakes", ()) if isinstance(error, ConfigError) else ()
    return "\n".join(
        [catalog.text(error.code, error.fields, language()), *(f"  {printable(str(m))}" for m in mistakes)]
    )


class Bars:
    """A progress bar for each video, fed with snapshots; on a pipe, a line for each change instead."""

    def __init__(self, console: Console | None = None) -> None:
        """`console`: where to show it; default: standard output."""
        self.console = console or Console()
        self._said: dict[tuple[str, str], str] = {}
        self._tasks: dict[tuple[str, str], TaskID] = {}
        columns = (
            TextColumn("{task.fields[mark]} {task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=self.console, disable=not self.console.is_terminal)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Bring the bars to this moment."""
        jobs = [*snapshot.recent[::-1], *snapshot.working, *snapshot.queue]
        for job in jobs:
            for video in job.videos:
                self.video(job.name, video.name, video.state, video.percent, note(video))

    def video(self, job: str, name: str, state: str, percent: float, text: str) -> None:
        """Bring one video's bar to this state."""
        key = (job, name)
        if not self.console.is_terminal:
            if self._said.get(key) != state and state != "waiting":
                self.console.print(f"{job}/{name}: {state}{f' ({text})' if text else ''}", markup=False, soft_wrap=True)
            self._said[key] = state
            return
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(escape(f"{job}/{name}"), total=100, mark="·", note="")
        task = self._tasks[key]
        self._progress.update(task, completed=percent, mark=MARKS.get(state, "·"), note=escape(text))
        if state in ("done", "failed"):
            self._progress.stop_task(task)
        elif state == "running" and self._said.get(key) != state:
            self._progress.reset(task, completed=int(percent), mark=MARKS[state], note=escape(text))
        self._said[key] = state


def note(video: VideoView) -> str:
    """Return the few words behind a video's bar."""
    if video.state != "running":
        return spoken(video.text)
    rate = f" {video.fps:.0f} fps" if video.fps else ""
    left = f", {video.eta_s // 60:.0f}:{video.eta_s % 60:02.0f} left" if video.eta_s else ""
    return f"{video.phase}{rate}{left}"


def spoken(text: Text) -> str:
    """Return the text in the terminal's language, or in the first one that it is there in."""
    return text.get(language(tuple(text)), "") if text else ""


def picture(snapshot: Snapshot) -> list[str]:
    """Return a daemon's picture as lines of text."""
    lines = [f"{snapshot.state}  (as of {snapshot.updated})"]
    if snapshot.detail:
        lines.append(f"  {spoken(snapshot.detail)}")
    groups: tuple[tuple[str, tuple[JobView, ...]], ...] = (
        ("now", snapshot.working),
        ("next", snapshot.queue),
        ("not ready", snapshot.waiting),
        ("recent", snapshot.recent),
    )
    for title, jobs in groups:
        for job in jobs:
            lines += _job(title, job)
    return lines


def _job(title: str, job: JobView) -> list[str]:
    place = f" ({job.folder})" if job.folder else ""
    words = spoken(job.text)
    lines = [f"{title:>9}  {job.name}: {job.state}{place}{f': {words}' if words else ''}"]
    for video in job.videos:
        percent = f" {video.percent:.0f}%" if video.state == "running" else ""
        lines.append(f"{'':>13}{video.name}: {video.state}{percent} {note(video)}".rstrip())
    return lines
