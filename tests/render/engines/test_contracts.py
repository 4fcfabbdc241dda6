"""Engines by name, plug-ins among them, and the contract suite: it passes good engines and catches bad ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from heygemd.config import job_toml, loader
from heygemd.config.schema import Render
from heygemd.errors import ConfigError, NotInstalled
from heygemd.render.engines.base import AnalysisData, Engine
from heygemd.render.engines.mesh import MeshEngine
from heygemd.render.engines.registry import ENGINES, create_engine
from heygemd.render.scene import Crop, Patch, Timeline, Track
from heygemd.testing.frame_engine_contract import FrameEngineContract

from ..tint import Batches, Forgets, Stops, Tint


class TestTint(FrameEngineContract):
    engine = Tint


class TestBatches(FrameEngineContract):
    engine = Batches


class TestMesh(FrameEngineContract):
    engine = MeshEngine


class Scribbles(Tint):
    """Breaks the contract: draws into the caller's picture."""

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        for crop in crops:
            crop.image[:] = 0
            yield Patch(crop.output, crop.image, np.zeros(crop.image.shape[:2], np.float32))


class Hoards(Tint):
    """Breaks the contract: keeps a whole video in memory."""

    batch = 1 << 30


class Idles(Tint):
    """Breaks the contract: changes nothing."""

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        return (Patch(crop.output, crop.image.copy(), np.ones(crop.image.shape[:2], np.float32)) for crop in crops)


class Learns(Tint):
    """Breaks the contract: state of one video leaks into the next."""

    seen = 0

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        for patch in super().render(crops, track, timeline, voice, data):
            self.seen += 1
            yield patch._replace(mask=patch.mask * np.float32(1 / self.seen))


class Pickles(Tint):
    """Breaks the contract: a data that only pickle could store."""

    def analyse_video(self, crops: Iterator[Crop], track: Track) -> AnalysisData:
        return {"crops": np.array([*crops, None], object)}


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Forgets, "one_patch_for_each_crop"),
        (Stops, "one_patch_for_each_crop"),
        (Scribbles, "one_patch_for_each_crop"),
        (Idles, "it_changes_something_during_speech"),
        (Learns, "no_state_is_kept_between_videos"),
        (Hoards, "it_holds_a_bounded_number_of_frames"),
        (Pickles, "analysis_data_is_plain_arrays"),
    ],
)
def test_the_suite_catches(broken: type[Tint], test: str, tmp_path: Path) -> None:
    suite = type("Suite", (FrameEngineContract,), {"engine": broken})()
    with pytest.raises((AssertionError, ValueError)):
        getattr(suite, f"test_{test}")(tmp_path)


PLUGIN = """
from tests.render.tint import Tint

class Mine(Tint):
    name = "mine"

nothing = 3
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as pip installs one, with engines on offer."""
    info = tmp_path / "heygemd_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heygemd-mine\nVersion: 1.0\n")
    points = ["mine = heygemd_mine:Mine", "wrong = heygemd_mine:nothing", "gone = heygemd_nowhere:Mine"]
    points += ["mesh = heygemd_mine:Mine"]
    (info / "entry_points.txt").write_text("[heygemd.engines]\n" + "\n".join(points) + "\n")
    (tmp_path / "heygemd_mine.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("heygemd_mine", None)


def test_a_plug_in_is_an_engine(plugin: Path, tmp_path: Path) -> None:
    made = create_engine(Render(engine="mine"), tmp_path)
    assert isinstance(made, Engine) and made.name == "mine"
    assert job_toml.load_job(b'engine = "mine"').engine == "mine"
    assert type(create_engine(Render(), tmp_path)) is MeshEngine  # nobody takes the name of ours


@pytest.mark.parametrize("name", ["wrong", "gone"])
def test_a_broken_plug_in_is_a_typed_error(plugin: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(NotInstalled) as caught:
        create_engine(Render(engine=name), tmp_path)
    assert caught.value.code == "plugin_broken" and caught.value.fields["name"] == name


def test_an_unknown_engine_names_the_known_ones(plugin: Path, tmp_path: Path) -> None:
    with pytest.raises(NotInstalled) as caught:
        create_engine(Render.model_construct(engine="maihn", command={}), tmp_path)
    assert set(caught.value.fields["known"]) == {*ENGINES, "mine", "wrong", "gone"}
    (tmp_path / "config.toml").write_text('[render]\nengine = "mihn"\n')
    with pytest.raises(ConfigError) as refused:
        loader.load(tmp_path / "config.toml")
    assert "did you mean 'mine'" in refused.value.fields["mistakes"][0]


def test_authors_of_plug_ins_can_run_the_suite(plugin: Path) -> None:
    """As the module's documentation says, in a folder of their own."""
    (plugin / "test_mine.py").write_text(
        "from heygemd.testing.frame_engine_contract import FrameEngineContract\n"
        "from heygemd_mine import Mine\n\n"
        "class TestMine(FrameEngineContract):\n    engine = Mine\n"
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    checkout = Path(__file__).parents[3]
    path = {"PYTHONPATH": f"{plugin}:{checkout}", "PATH": "/usr/bin:/bin", "HOME": str(plugin)}
    done = subprocess.run(argv, cwd=plugin, env=path, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0 and "12 passed" in done.stdout, done.stdout + done.stderr
