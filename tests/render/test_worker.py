"""The renderer as a process: its words on the event pipe, and its end in every way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from heygemd.config.schema import Limits, Render
from heygemd.protocol import Done, Event, Failed, Notice, Progress, Ready, RenderRequest, parse

from .. import media_factory
from .anna import film

ENTRY = """
import sys
from heygemd.render import worker
from heygemd.render.engines import registry
registry.ENGINES["mesh"] = "tests.render.tint:Tint"
import os
os._exit(worker.main(sys.argv[1:]))
"""
OWN_ENTRY = "import runpy; runpy.run_module('heygemd.render.worker', run_name='__main__')"


class Child:
    """A renderer started as the daemon starts it, by default with the small engine of the tests."""

    def __init__(self, folder: Path, parent: int | None = None, entry: str = ENTRY, **environment: str) -> None:
        self.folder = folder
        reading, writing = os.pipe()
        parent = parent or os.getpid()
        argv = [sys.executable, "-c", entry, str(folder), str(writing), str(parent), str(folder / "cache")]
        self.process = subprocess.Popen(
            argv, pass_fds=(writing,), env={**os.environ, **environment}, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(writing)
        self.events = os.fdopen(reading, "rb")

    def ask(self, voice: Path, shown: Path) -> None:
        (self.folder / "scratch").mkdir(exist_ok=True)
        request = RenderRequest(
            voice=voice, video=shown, voice_digest="v", video_digest=str(shown), output=self.folder / "out.mp4",
            scratch=self.folder / "scratch", cache=self.folder / "cache", models=self.folder,
            settings=Render(quality="draft"), limits=Limits(),
        )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(request.model_dump_json().encode())
        self.process.stdin.close()

    def next(self) -> Event | None:
        line = self.events.readline()
        return parse(line) if line else None

    def rest(self) -> list[Event]:
        return [event for line in self.events if (event := parse(line))]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.events.close()
        assert self.process.stdin is not None
        self.process.stdin.close()


@pytest.fixture
def children() -> Iterator[list[Child]]:
    made: list[Child] = []
    yield made
    for child in made:
        child.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("files")
    return media_factory.audio(folder / "v.wav", 1.2), film(folder / "anna.mp4", 1.3)


def start(children: list[Child], folder: Path, **environment: str) -> Child:
    children.append(Child(folder, **environment))
    return children[-1]


def processes_of(session: int) -> list[str]:
    """Return the names of the living processes of a session."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, _, its_session = rest.split()[:4]
        if int(its_session) == session and state != "Z":
            alive.append(name)
    return alive


def test_ready_then_done(children: list[Child], tmp_path: Path, files: tuple[Path, Path]) -> None:
    child = start(children, tmp_path)
    assert isinstance(child.next(), Ready)
    child.ask(*files)
    events = child.rest()
    assert isinstance(events[-1], Done) and events[-1].result.frames == 30
    assert {type(e) for e in events} >= {Progress, Notice}
    assert child.process.wait(20) == 0
    assert (tmp_path / "out.mp4").exists()


def test_the_default_engine_does_without_what_takes_long_to_import(
    children: list[Child], tmp_path: Path, files: tuple[Path, Path]
) -> None:
    (tmp_path / "modules").mkdir()
    for name in ("torch", "scipy", "librosa"):
        (tmp_path / "modules" / f"{name}.py").write_text("raise ImportError('it takes long')")
    child = start(children, tmp_path, entry=OWN_ENTRY, PYTHONPATH=str(tmp_path / "modules"))
    child.ask(*files)
    last = child.rest()[-1]
    assert isinstance(last, Done) and last.result.engine == "mesh"


def test_a_fault_is_said_and_the_exit_is_clean(children: list[Child], tmp_path: Path, files: tuple[Path, Path]) -> None:
    child = start(children, tmp_path)
    child.ask(files[0], files[0])
    last = child.rest()[-1]
    assert isinstance(last, Failed) and (last.kind, last.code) == ("input", "no_video")
    assert child.process.wait(20) == 0


@pytest.mark.parametrize("fault", ["analyse:segv", "render:kill", "measure:kill"])
def test_when_it_dies_nothing_of_it_lives(
    children: list[Child], tmp_path: Path, files: tuple[Path, Path], fault: str
) -> None:
    where = fault.partition(":")[0]
    child = start(children, tmp_path, HEYGEMD_FAULT=fault, HEYGEMD_FAULT_ONCE=str(tmp_path / "once"))
    child.ask(*files)
    assert not any(isinstance(e, Done | Failed) for e in child.rest())
    assert child.process.wait(20) == -(signal.SIGSEGV if "segv" in fault else signal.SIGKILL)
    for _ in range(250):
        if not processes_of(child.process.pid):
            break
        time.sleep(0.02)
    assert processes_of(child.process.pid) == []
    assert (tmp_path / "out.mp4").exists() == (where == "measure")
    if where == "render":
        again = start(children, tmp_path, HEYGEMD_FAULT=fault, HEYGEMD_FAULT_ONCE=str(tmp_path / "once"))
        again.ask(*files)
        assert isinstance(again.rest()[-1], Done)


def test_a_renderer_whose_daemon_gives_it_up_ends(children: list[Child], tmp_path: Path) -> None:
    child = start(children, tmp_path)
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert not any(isinstance(event, Done | Failed) for event in child.rest())
    assert child.process.wait(20) == 1


def test_term_ends_it_at_once(children: list[Child], tmp_path: Path) -> None:
    child = start(children, tmp_path)
    assert isinstance(child.next(), Ready)
    child.process.terminate()
    assert child.process.wait(10) == 128 + signal.SIGTERM


def test_it_does_not_work_for_a_parent_that_is_gone(children: list[Child], tmp_path: Path) -> None:
    children.append(Child(tmp_path, parent=1 << 22))
    assert children[-1].process.wait(20) == 1
    assert children[-1].rest() == []


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    middle = (
        "import os, sys, subprocess, time; r, w = os.pipe();"
        "p = subprocess.Popen([sys.executable, '-m', 'heygemd.render.worker', sys.argv[1], str(w), str(os.getpid()),"
        "sys.argv[1] + '.cache'],"
        "pass_fds=(w,), stdin=subprocess.PIPE); os.close(w);"
        "os.read(r, 4096); print(p.pid, flush=True); time.sleep(600)"
    )
    argv = [sys.executable, "-c", middle, str(tmp_path / "work")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        parent.kill()
    for _ in range(250):
        if not processes_of(parent.pid):
            return
        time.sleep(0.02)
    os.killpg(parent.pid, signal.SIGKILL)
    pytest.fail("the renderer outlived its parent")
