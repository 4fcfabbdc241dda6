"""Terminal output: file names are not markup, and messages are in the terminal's language."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from heygemd import terminal
from heygemd.errors import InputError


def test_bars_on_a_terminal_survive_names_that_look_like_markup() -> None:
    out = io.StringIO()
    with terminal.Bars(Console(file=out, force_terminal=True, width=120)) as bars:
        bars.update("[/red]", "[bold]x.mp4", "running", 30, "render [12 fps]")
        bars.update("[/red]", "[bold]x.mp4", "done", 100, "")
    assert "[bold]x.mp4" in out.getvalue()


def test_progress_leaves_standard_output_to_results(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.Bars() as bars:
        bars.update("sync", "x.mp4", "running", 30)
        bars.print("remark")
    said = capsys.readouterr()
    assert said.out == ""
    assert "sync/x.mp4: running" in said.err and "remark" in said.err


def test_messages_follow_the_terminals_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert "人脸" in terminal.explain(InputError("no_face"))
    monkeypatch.setenv("LC_ALL", "C")
    assert "face" in terminal.explain(InputError("no_face"))
