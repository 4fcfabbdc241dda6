"""The simulation behind docs/scaling.md, checked against queueing theory; the document, checked against it."""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def scaling() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaling", DOCS / "scaling.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = module
    spec.loader.exec_module(module)
    return module


def test_without_load_a_video_takes_the_sum_of_its_steps(scaling: ModuleType) -> None:
    costs = replace(scaling.TODAY, spread=0.01)
    files_s = scaling.io_s(costs, costs.video_mib + costs.result_mib) + costs.probe_s
    steps = files_s + costs.render_s + costs.head_s
    assert math.isclose(scaling.simulate(costs, 1000, 100)[0], steps, rel_tol=0.02)


def test_one_server_waits_like_an_m_m_1_queue(scaling: ModuleType) -> None:
    """The median time in an M/M/1 system at 60 % load is ln 2 / (mu - lambda). Moving files costs nothing here."""
    costs = replace(scaling.TODAY, spread=1.0, copy_mib_s=1e9, share_mib_s=1e9, head_s=0.0, probe_s=0.0)
    videos = int(0.6 * scaling.DAY_S / costs.render_s)
    medians = [scaling.simulate(costs, 1, videos, seed)[0] for seed in range(40)]
    wanted = math.log(2) / (1 / costs.render_s - videos / scaling.DAY_S)
    assert math.isclose(sum(medians) / len(medians), wanted, rel_tol=0.2)


def test_overload_shows_in_the_waiting_time(scaling: ModuleType) -> None:
    assert not scaling.keeps_up(scaling.TODAY, 1, 3000)
    assert scaling.simulate(scaling.TODAY, 1, 3000)[1] > 100 * scaling.TODAY.render_s
    assert scaling.keeps_up(scaling.TODAY, 10, 3000)


def test_the_document_has_the_figures_and_plots(scaling: ModuleType, tmp_path: Path) -> None:
    text = (DOCS / "scaling.md").read_text("utf-8")
    for row in (*scaling.table(), *scaling.limits()):
        assert row in text, row
    scaling.draw(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (DOCS / "scaling").iterdir()}
