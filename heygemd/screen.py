"""What a terminal shows: words for faults, bars for running videos, the picture of a daemon."""

from __future__ import annotations

import locale
import os
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from . import messages
from .errors import HeygemdError, printable

if TYPE_CHECKING:
    from .daemon.status import JobView, Snapshot, VideoView

# Faults that only somebody at a terminal meets; everybody else's words are in `messages`.
ADMIN_WORDS = {
    "config_missing": "There is no configuration at {path}. Make one with: heygemd init SHARE --config {path}",
    "config_unreadable": "The configuration {path} cannot be read: {reason}",
    "config_invalid": "The configuration {path} has mistakes:",
    "config_inside_share": "{path} lies inside the share {share}: whoever can write the share could then configure the "
    "daemon. Choose a place outside it.",
    "config_other_share": "{path} already configures another share ({share}). Edit it, or choose another --config.",
    "group_unknown": "There is no group {name} on this machine (groupadd {name} makes it).",
    "setting_invalid": "These settings cannot be used:",
    "input_missing": "There is no file {path}.",
    "output_unwritable": "The result cannot be written to {path}: {reason}",
    "model_unknown": "There is no model {name}. Known: {known}",
    "model_file_missing": "There is no file {path}.",
    "model_not_known": "{path} is none of the models that heygemd knows (its SHA-256 is {sha256}). "
    "A Wav2Lip checkpoint that somebody saved again can be named in the setting render.wav2lip.checkpoint.",
    "model_no_url": "{name} cannot be downloaded. Get it from {source}, then: heygemd models add FILE",
    "model_damaged": "{name} arrived damaged or is another version (its SHA-256 is {sha256}). Nothing was changed.",
    "model_fetch_failed": "{name} could not be downloaded from {url}: {reason}",
    "models_unwritable": "The models folder {path} cannot be written: {reason}",
    "demo_not_ours": "{path} exists and was not made by the demo. Choose another --folder, or remove it yourself.",
}

MARKS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "running": "▶", "waiting": "·", "copying": "…"}


def language(configured: tuple[str, ...] = ("en", "zh")) -> str:
    """Return the language of this terminal, among those that the configuration allows."""
    name = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    wanted = "zh" if locale.normalize(name).startswith("zh") else "en"
    return wanted if wanted in configured else configured[0]


def explain(error: HeygemdError) -> str:
    """Return the words for a fault, and every mistake it lists on a line of its own."""
    shown = {key: _shown(value) for key, value in error.fields.items()}
    words = ADMIN_WORDS.get(error.code)
    text = words.format_map(shown) if words is not None else messages.text(error.code, error.fields, language())
    mistakes = error.fields.get("mistakes", ()) if words is not None else ()
    return "\n".join([text, *(f"  {printable(str(m))}" for m in mistakes)])


def _shown(value: object) -> str:
    return printable(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


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
        jobs = [*snapshot.recent[::-1], *([snapshot.current] if snapshot.current else ()), *snapshot.queue]
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


def spoken(texts: tuple[str, ...]) -> str:
    """Return the text in the terminal's language, given one per configured language (English first by default)."""
    if not texts:
        return ""
    return texts[-1] if language() == "zh" else texts[0]


def picture(snapshot: Snapshot) -> list[str]:
    """Return a daemon's picture as lines of text."""
    lines = [f"{snapshot.state}  (as of {snapshot.updated})"]
    if snapshot.detail:
        lines.append(f"  {spoken(snapshot.detail)}")
    groups: tuple[tuple[str, tuple[JobView, ...]], ...] = (
        ("now", (snapshot.current,) if snapshot.current else ()),
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
