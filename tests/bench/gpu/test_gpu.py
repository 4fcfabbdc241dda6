"""`make gpu` on the CPU, small: a step that rots would be noticed only when somebody has a card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heygemd.render import worker

from ...render import wav2lip_weights
from . import __main__ as runner
from . import speed
from .memory import Run, _finished
from .report import Plan, Row, write
from .step import STEPS

SECONDS = 0.8


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    wav2lip_weights.write(folder / "wav2lip.pth")
    return folder


def failed(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.ok is False]


@pytest.mark.parametrize(
    "name", ["stages", *(pytest.param(n, marks=pytest.mark.slow) for n in ("wav2lip", "memory-wav2lip", "vanishing"))]
)
def test_a_step(name: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SIZES", {"small": (320, 240)})
    monkeypatch.setattr(worker, "_limit_threads", lambda: None)  # it is for a process, and this one has more to do
    rows = list(STEPS[name](Plan("cpu", SECONDS, tmp_path, models)))
    assert len(rows) >= 3 and failed(rows) == []
    assert all(row.value > 0 for row in rows if row.unit == "fps" and isinstance(row.value, float))


@pytest.mark.slow
def test_end_to_end(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SIZES", {"720p": (320, 240)})
    monkeypatch.setattr(speed, "ENGINES", ("wav2lip",))  # the render before all others is the default engine's
    rows = list(speed.end_to_end(Plan("cpu", SECONDS, tmp_path, models)))
    assert [row.what for row in rows if row.unit == "fps"] == ["wav2lip, 720p, first", "wav2lip, 720p, again"]


def test_the_command_runs_a_step_in_a_process_and_writes_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner.wav2lip_weights, "write", lambda path: None)
    monkeypatch.setattr(runner.face_alignment_weights, "write", lambda folder: None)
    chosen = ["--device", "cpu", "--seconds", str(SECONDS), "--output", str(tmp_path / "gpu"), "--steps", "codecs"]
    assert runner.main(chosen) == 0
    steps = json.loads((tmp_path / "gpu" / "gpu.json").read_text())["steps"]
    values = {row["what"]: row["value"] for row in steps["codecs"]}
    assert values["1080p, decode, the CPU: frames"] == "20" and values["the whole step"] > 0


def test_all_steps_are_run_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def step(name: str, device: str, seconds: float, *rest: Path) -> list[Row]:
        asked.append((name, seconds))
        return [Row.check("a card", "none", "none")]

    monkeypatch.setattr(runner, "_step", step)
    monkeypatch.setattr(runner.wav2lip_weights, "write", lambda path: None)
    monkeypatch.setattr(runner.face_alignment_weights, "write", lambda folder: None)
    assert runner.main(["--device", "cpu", "--output", str(tmp_path)]) == 0
    assert asked == [(name, runner.SECONDS["cpu"]) for name in STEPS]


def test_a_step_that_does_not_end_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(runner.LIMIT_S, "cpu", 0.01)
    rows = runner._step("codecs", "cpu", SECONDS, tmp_path / "step", tmp_path)
    assert ["not done within" in str(row.value) for row in failed(rows)] == [True]


def test_a_step_that_breaks_off_is_a_failure(tmp_path: Path) -> None:
    rows = runner._step("no such step", "cpu", SECONDS, tmp_path / "step", tmp_path)
    assert ["no such step" in str(row.value) for row in failed(rows)] == [True]


def test_results_that_differ_too_much_or_are_an_error_are_failures() -> None:
    usual = Run("cuda", 16, np.zeros(2), 0)
    for made, wanted in ((np.full(2, 6.0), True), (np.full(2, 7.0), False), ("RuntimeError: illegal access", False)):
        assert [row.ok for row in _finished("what", usual, Run("cpu", 8, made, 0))] == [wanted]


def test_the_report_says_what_failed_and_that_there_was_no_card(tmp_path: Path) -> None:
    rows = {"a step": [Row.at_most("error", 2.0, 1.0), Row.check("frames", 3, 3), Row("rate", 12.34567, "a|b\nc")]}
    text = write(tmp_path, {"device": "cpu"}, rows)
    assert text == (tmp_path / "gpu.md").read_text() and "CUDA is still to be run" in text
    assert "| a step | error | 2 | ≤ 1 | **FAILED** |" in text and "| a step | frames | 3 | 3 | ok |" in text
    assert "| a step | rate | 12.35 a\\|b c |  |  |" in text
    assert "still to be run" not in write(tmp_path, {"device": "cuda"}, rows)
