"""Every recipe of docs/engines.md, word for word, with a stand-in of the same layout in the place of its program."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli

from heygemd.config.schema import Command, Render
from heygemd.errors import EngineError
from heygemd.protocol import Progress

from ... import media_factory
from .test_command import Run, redness

DOCS = Path(__file__).parents[3] / "docs"
STANDINS = Path(__file__).parent / "standins"


def recipes(page: Path) -> str:
    return "\n".join(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))


TEXT = recipes(DOCS / "engines.md")
NAMES = sorted(tomli.loads(TEXT)["render"]["command"])
WITH_PROGRESS = {"dinet", "latentsync", "video-retalking"}
FIXED_NAMES = {"dinet": "presenter", "heygem": "1002", "heygem-fork": "1002"}


class Installed:
    """All stand-ins, installed as the recipes say, with what an earlier run of a user left behind."""

    def __init__(self, root: Path) -> None:
        self.root = root / "opt"
        shutil.copytree(STANDINS, self.root)
        (self.root / "OpenFace/bin/FeatureExtraction").chmod(0o755)
        recipes = Render.model_validate(tomli.loads(TEXT.replace("/opt/", f"{self.root}/"))["render"]).command
        self.recipes = {name: command.model_copy(update={"time_limit_s": 60}) for name, command in recipes.items()}
        (self.root / "ER-NeRF/data/anna").mkdir(parents=True)
        for folder in {command.folder for command in self.recipes.values() if command.folder}:
            shutil.copyfile(STANDINS / "standin.py", folder / "standin.py")
            (folder / ".venv/bin").mkdir(parents=True)
            (folder / ".venv/bin/python").symlink_to(Path(sys.executable).resolve())
            for name in ("example/video.mp4", "result/1002-r.mp4", "temp/video.mp4_landmarks.txt", "results/old.mp4"):
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(b"of an earlier run")

    def settings(self, name: str, **changes: object) -> Render:
        command: Command = self.recipes[name].model_copy(update=changes)
        return Render(engine=name, command={name: command}, quality="draft")

    def files(self) -> dict[str, bytes]:
        found = (path for path in sorted(self.root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
        return {str(path): path.read_bytes() for path in found if path.name != "python"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    opt = Installed(tmp_path_factory.mktemp("recipes"))
    before = opt.files()
    yield opt
    assert opt.files() == before, "a program wrote into its installation"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("heygemd.render.progress.EVENT_EVERY_S", 0)
    monkeypatch.setattr("heygemd.render.engines.command.POLL_S", 0.01)
    return Run(tmp_path)


def test_there_is_a_recipe_for_each_stand_in_and_the_chinese_page_has_the_same(installed: Installed) -> None:
    folders = {command.folder.name for command in installed.recipes.values() if command.folder}
    assert folders == {path.name for path in STANDINS.iterdir() if path.is_dir()} - {"OpenFace", "__pycache__"}
    assert recipes(DOCS / "zh" / "engines.md") == TEXT


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_brings_the_program_s_picture(installed: Installed, run: Run, name: str) -> None:
    frames = run(installed.settings(name))
    assert len(frames) == 50 and redness(frames[0]) > 200 and redness(frames[-1]) > 200
    rendering = {e.percent for e in run.events if isinstance(e, Progress) and e.phase == "render" and e.total}
    assert len(rendering) > 2 or name not in WITH_PROGRESS


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_with_status_0_is_a_failure(
    installed: Installed, run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "nothing")
    with pytest.raises(EngineError) as caught:
        run(installed.settings(name))
    goes_on = name == "ip-lap"  # with a second program, which finds nothing to cut
    assert caught.value.code == ("command_failed" if goes_on else "command_no_output")
    assert "CUDA error: no kernel image" in caught.value.detail


@pytest.mark.parametrize("name", FIXED_NAMES)
def test_a_result_under_another_name_is_not_taken_and_named(
    installed: Installed, run: Run, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "renamed")
    with pytest.raises(EngineError) as caught:
        run(installed.settings(name))
    assert caught.value.code == "command_no_output" and FIXED_NAMES[name] in caught.value.fields["path"]
    other = "made/x_facial_dubbing.mp4" if name == "dinet" else "result/1003-r.mp4"
    assert f"It wrote {other}" in caught.value.detail


def test_an_old_result_is_not_taken_even_where_its_folder_is_not_fresh(
    installed: Installed, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "nothing")
    home = tmp_path / "copy"
    shutil.copytree(installed.recipes["heygem-fork"].folder or home, home, symlinks=True)
    media_factory.video(home / "result" / "1002-r.mp4", 2, "160x120")
    with pytest.raises(EngineError) as caught:
        run(installed.settings("heygem-fork", folder=home, scratch_folders=("log",)))
    assert caught.value.code == "command_no_output"
