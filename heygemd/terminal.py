"""What the command line and the demo show in a terminal: its language, errors in words, progress bars."""

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
    from .i18n.catalog import Text

MARKS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "running": "▶", "waiting": "·", "copying": "…"}


def language(known: tuple[str, ...] = ()) -> str:
    """Return the terminal's language if it is one of `known` (default: all catalogues), else the first of them."""
    known = known or catalog.languages()
    name = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    wanted = locale.normalize(name)[:2]
    return wanted if wanted in known else known[0]


def translated(text: Text) -> str:
    """Return the text in the terminal's language, or in the first language that it has."""
    return text.get(language(tuple(text)), "") if text else ""


def explain(error: HeygemdError) -> str:
    """Return the message for an error; each mistake in a configuration gets its own line."""
    mistakes = error.fields.get("mistakes", ()) if isinstance(error, ConfigError) else ()
    return "\n".join(
        [catalog.text(error.code, error.fields, language()), *(f"  {printable(str(m))}" for m in mistakes)]
    )


class Bars:
    """One progress bar for each video; without a terminal, one line for each change of state."""

    def __init__(self, console: Console | None = None) -> None:
        """`console`: where to show them; default: standard error, because standard output is for results."""
        self.console = console or Console(stderr=True)
        self._states: dict[tuple[str, str], str] = {}
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

    def print(self, text: str) -> None:
        """Print a line of plain text above the bars."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, job: str, video: str, state: str, percent: float, note: str = "") -> None:
        """Show the state of one video, which is identified by `job` and `video`."""
        key = (job, video)
        if not self.console.is_terminal:
            if self._states.get(key) != state and state != "waiting":
                self.print(f"{job}/{video}: {state}{f' ({note})' if note else ''}")
            self._states[key] = state
            return
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(escape(f"{job}/{video}"), total=100, mark="·", note="")
        task = self._tasks[key]
        self._progress.update(task, completed=percent, mark=MARKS.get(state, "·"), note=escape(note))
        if state in ("done", "failed"):
            self._progress.stop_task(task)
        elif state == "running" and self._states.get(key) != state:
            self._progress.reset(task, completed=int(percent), mark=MARKS[state], note=escape(note))
        self._states[key] = state
