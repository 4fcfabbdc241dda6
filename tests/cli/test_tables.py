"""Snapshots as progress bars."""

from __future__ import annotations

import io

from rich.console import Console

from heygemd import terminal
from heygemd.cli import tables
from heygemd.daemon.status.snapshot import JobView, Snapshot, VideoView


def view(state: str, percent: float = 0) -> VideoView:
    return VideoView(name="anna.mp4", state=state, phase="render", percent=percent, fps=12, eta_s=65)  # type: ignore[arg-type]


def test_bars_on_a_pipe_are_one_line_for_each_change() -> None:
    out = io.StringIO()
    bars = terminal.Bars(Console(file=out, width=200))
    states = [view("waiting"), view("running", 1), view("running", 50), view("done", 100)]
    with bars:
        for video in states:
            job = JobView(id="1", name="promo [1]", state="claimed", videos=(video,))
            tables.update_bars(bars, Snapshot(state="working", current=job))
    assert [line.split(" (")[0] for line in out.getvalue().splitlines()] == [
        "promo [1]/anna.mp4: running",
        "promo [1]/anna.mp4: done",
    ]


def test_a_folder_that_came_back_shows_its_latest_state_once() -> None:
    out = io.StringIO()
    bars = terminal.Bars(Console(file=out, width=200))
    first, second = (
        JobView(id=state, name="promo", state=state, videos=(view(state),))  # type: ignore[arg-type]
        for state in ("failed", "done")
    )
    with bars:
        for _ in range(3):
            tables.update_bars(bars, Snapshot(state="idle", recent=(second, first)))
    assert out.getvalue().splitlines() == ["promo/anna.mp4: done"]
