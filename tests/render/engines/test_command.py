"""The engine `command` with a real program of its own: its good days and its bad ones."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from heygemd.config.schema import Command, Limits, Render
from heygemd.errors import DeadlineExceeded, EngineError, HeygemdError, NotInstalled
from heygemd.protocol import Message, Progress
from heygemd.render import pipeline
from heygemd.render.engines import file_engine_adapter
from heygemd.render.engines.command import CommandEngine
from heygemd.render.engines.registry import create_engine
from heygemd.render.progress import Phases
from heygemd.render.video import decode as video
from heygemd.testing.file_engine_contract import FileEngineContract

from ... import media_factory
from ...e2e.harness import living, wait_for
from ..anna import film
from ..requests import request

PROGRAM = Path(__file__).parents[1] / "lipsync_program.py"
WORDS = ["{video}", "{audio}", "{output}", "{fps}"]


def command(mode: str, **options: Any) -> Render:
    argv = [sys.executable, str(PROGRAM), mode, *WORDS]
    return Render(engine="mine", command={"mine": Command(**{"argv": argv, **options})}, quality="draft")


class Run:
    """Runs the engine over a short test picture, without a face tracker before it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.events = folder, list[Message]()
        self.clip = media_factory.video(folder / "clip.mp4", 2, "160x120")
        self.picture = video.describe_video(self.clip, Limits())

    def __call__(self, settings: Render) -> list[np.ndarray]:
        made = create_engine(settings, self.folder)
        assert isinstance(made, CommandEngine)
        made.check()
        scratch = self.folder / f"scratch{len(list(self.folder.iterdir()))}"
        scratch.mkdir()
        source = iter(list(video.frames(self.picture)))
        sound = np.zeros(2 * 16_000, np.float32)
        phases = Phases(self.events.append)
        return list(file_engine_adapter.run(made, self.picture, source, 50, sound, scratch, Limits(), phases))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def redness(frame: np.ndarray) -> float:
    v = video.planes(frame, 160, 120)[2]
    return float(v[35:42, 30:50].mean())


class Mine(CommandEngine):
    """As configured."""

    def __init__(self, models: Path, *rest: Any) -> None:
        super().__init__("mine", models, settings=command("plain"))


class TestContract(FileEngineContract):
    engine = Mine


class Sleeps(Mine):
    """Breaks the contract: gives back what it got."""

    def render(self, video: Path, audio: Path, folder: Path, *rest: Any) -> Path:
        return video


class Meddles(Mine):
    """Breaks the contract: writes over what it was given."""

    def render(self, video: Path, *rest: Any) -> Path:
        made = super().render(video, *rest)
        video.write_bytes(made.read_bytes())
        return made


class Crashes(Mine):
    """Breaks the contract: an exception that nobody knows."""

    def render(self, *rest: Any) -> Path:
        try:
            return super().render(*rest)
        except EngineError as error:
            raise KeyError(0) from error


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Sleeps, "all_frames_are_returned_and_some_differ"),
        (Sleeps, "inputs_are_unchanged_and_progress_is_a_share"),
        (Meddles, "inputs_are_unchanged_and_progress_is_a_share"),
        (Crashes, "unreadable_input_is_a_typed_error"),
    ],
)
def test_the_suite_catches(broken: type[Mine], test: str, tmp_path: Path) -> None:
    suite = type("Suite", (FileEngineContract,), {"engine": broken})()
    with pytest.raises((AssertionError, KeyError)):
        getattr(suite, f"test_{test}")(tmp_path)


def test_its_pixels_come_back_with_progress(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygemd.render.progress.EVENT_EVERY_S", 0)
    frames = run(command("good", progress=r"(\d+)%\|"))
    assert len(frames) == 50 and all(redness(frame) > 200 for frame in frames)
    percents = [event.percent for event in run.events if isinstance(event, Progress)]
    assert percents == sorted(percents) and len({p for p in percents if 20 < p <= 58}) >= 3


@pytest.mark.parametrize("mode", ["short", "other rate", "smaller", "flood"])
def test_what_can_be_brought_to_our_terms_is(run: Run, mode: str) -> None:
    frames = run(command(mode))
    assert len(frames) == 50 and {len(frame) for frame in frames} == {160 * 120 * 3 // 2}
    assert redness(frames[-1]) > 200


def test_it_runs_beside_its_installation(run: Run, tmp_path: Path) -> None:
    """What lies in its folder is found there, what it writes stays ours."""
    home = tmp_path / "opt"
    (home / "results").mkdir(parents=True)
    (home / "weights.txt").write_text("weights")
    (home / "results" / "done_v0.mp4").write_bytes(b"of another video")
    settings = command("elsewhere", folder=home, scratch_folders=["results"], output="results/*.mp4")
    assert len(run(settings)) == 50
    assert sorted(path.name for path in home.rglob("*")) == ["done_v0.mp4", "results", "weights.txt"]


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("fail", "command_failed"),
        ("garbage", "command_output"),
        ("very short", "command_output"),
        ("other shape", "command_output"),
        ("nothing", "command_no_output"),
    ],
)
def test_its_faults_are_typed(run: Run, mode: str, code: str) -> None:
    with pytest.raises(EngineError) as caught:
        run(command(mode))
    assert caught.value.code == code
    if mode == "fail":
        assert caught.value.fields["status"] == 3 and "CUDA driver is too old" in caught.value.detail


def test_a_program_that_hangs_is_ended_with_its_children(run: Run) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        run(command("hang", time_limit_s=3))
    assert caught.value.code == "command_timeout" and time.monotonic() - began < 60
    ours = psutil.Process()
    wait_for(lambda: "sleep" not in [p.name() for p in living(ours.children(recursive=True))], "no child left", 5)


def test_without_a_pattern_there_are_signs_of_life(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heygemd.render.engines.command.HEARTBEAT_S", 0.3)
    monkeypatch.setattr("heygemd.render.progress.EVENT_EVERY_S", 0)
    run(command("good"))
    counts = [e.done for e in run.events if isinstance(e, Progress) and e.phase == "render" and e.total == 0]
    assert len(set(counts)) >= 2


def test_what_is_not_there_is_said_before_anything_is_done(tmp_path: Path) -> None:
    for options in ({"argv": ["no-such-program", *WORDS]}, {"folder": tmp_path / "nowhere"}):
        with pytest.raises(NotInstalled) as caught:
            create_engine(command("good", **options), tmp_path).check()
        assert caught.value.code == "command_missing"


def test_colours_stay_whatever_the_program_tags(tmp_path: Path) -> None:
    """A program that writes untagged BT.601, as OpenCV does, for a picture that is BT.709."""
    bars = tmp_path / "bars.mp4"
    tagged = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    media_factory.ffmpeg("-f", "lavfi", "-i", "smptehdbars=s=320x240:d=0.4", "-pix_fmt", "yuv420p", *tagged, bars)
    picture = video.describe_video(bars, Limits())
    plain = tmp_path / "plain.mp4"
    media_factory.ffmpeg(
        "-i", bars, "-vf", "scale=out_color_matrix=bt601,setparams=colorspace=unknown", "-crf", "4", plain
    )
    ours = next(video.frames(picture)).astype(int)
    back = next(file_engine_adapter._frames(plain, picture, 10, Limits())).astype(int)
    assert np.abs(ours - back).mean() < 2


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("presenter") / "anna.mp4", 1.4)


def test_a_whole_render(tmp_path: Path, anna: Path) -> None:
    """From voice and video to a finished, measured file, with the sound as staff gave it."""
    voice = media_factory.audio(tmp_path / "voice.m4a", 1.2)
    asked = request(tmp_path, voice, anna, command("good"))
    result = pipeline.render(asked, lambda event: None)
    assert result.engine == "mine" and result.fps == "25/1" and result.frames in (30, 31, 32)
    shown = video.describe_video(asked.output, Limits())
    frame = next(video.frames(shown))
    assert video.planes(frame, 320, 320)[2][95:110, 60:100].mean() > 200

    def packets(path: Path) -> bytes:
        argv = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
        return subprocess.run(argv, check=True, capture_output=True).stdout

    assert packets(voice) == packets(asked.output)


def test_a_failed_program_leaves_no_output(tmp_path: Path, anna: Path) -> None:
    asked = request(tmp_path, media_factory.audio(tmp_path / "voice.wav", 1.2), anna, command("fail"))
    with pytest.raises(HeygemdError):
        pipeline.render(asked, lambda event: None)
    assert not asked.output.exists() and not list(tmp_path.glob("*.part"))
