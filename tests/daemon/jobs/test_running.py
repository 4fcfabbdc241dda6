"""Several videos at once: who is next, who is stopped, who is to blame; with an executor that renders nothing."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger

from heygemd import logging_setup
from heygemd.config.schema import GIB, Config, Log
from heygemd.daemon.executors.base import Executor
from heygemd.daemon.executors.local import LocalExecutor, gpu_environments
from heygemd.daemon.intake import claim
from heygemd.daemon.job_store import Store
from heygemd.daemon.jobs import recovery
from heygemd.daemon.jobs.publishing import Publisher
from heygemd.daemon.jobs.running import Running
from heygemd.daemon.jobs.scheduler import Scheduler
from heygemd.daemon.queue_state import QueueState
from heygemd.daemon.status.builder import Board
from heygemd.errors import InfrastructureError, NotReady
from heygemd.job import Job, Media, Video
from heygemd.protocol import Progress, Result
from heygemd.storage import share_layout
from heygemd.storage.availability import ShareAvailability
from heygemd.storage.io_thread import ShareThread
from tests import media_factory

RESULT = Result(frames=1, duration_s=1, width=2, height=2, fps="25/1", engine="none", tracker="none")


class Puppet(Executor):
    """Renders when it is told to; remembers what was begun."""

    slots = 2

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.words: dict[str, asyncio.Future[None]] = {}
        self.stopped: list[str] = []

    @contextlib.asynccontextmanager
    async def renderer(self, folder: Path, cache: Path, job: Job) -> AsyncIterator[SimpleNamespace]:
        name = f"{job.name}/{folder.name[-1]}"
        self.begun.append(name)

        async def render(request: Any, audio_s: float, report: Callable[[Any], None]) -> Result:
            self.words[name] = asyncio.get_running_loop().create_future()
            report(Progress(phase="render", done=1, total=4, percent=25))
            await self.words[name]
            request.output.write_bytes(b"video")
            return RESULT

        try:
            yield SimpleNamespace(render=render)
        finally:
            self.stopped.append(name)

    async def close(self) -> None:
        pass


class Floor:
    """A scheduler on a real share, with jobs that are claimed already."""

    def __init__(self, root: Path, voice: Path) -> None:
        paths = {key: root / key for key in ("share", "state", "cache", "log", "models")}
        limits = {"free_scratch_gib": 0, "free_share_gib": 0, "free_state_mib": 0}
        self.config = Config.model_validate({"paths": paths, "limits": limits})
        self.voice = voice
        self.executor = Puppet()
        share_layout.create(root / "share")
        self.thread = ShareThread(root / "share", 10)
        self.share = ShareAvailability(root / "share", self.thread)
        self.store = Store(root / "state")
        self.state = QueueState()
        claimer = claim.Claimer(self.state, self.store, self.share, "me")
        self.running = Running(self.config, self.state, self.store, self.share, claimer, self.executor)
        publisher = Publisher(self.config, self.state, self.store, self.share)
        self.scheduler = Scheduler(self.config, self.state, self.share, claimer, self.running, publisher)

    def job(self, name: str, videos: int, arrived: float = 0, size: int = 5) -> Job:
        folder = self.config.paths.share / "processing" / name
        folder.mkdir()
        shutil.copyfile(self.voice, folder / "voice.wav")

        def media(path: Path) -> Media:
            found = path.stat()
            return Media(name=path.name, size=found.st_size, mtime_ns=found.st_mtime_ns)

        shown = []
        for number in range(1, videos + 1):
            path = folder / f"v{number}.mp4"
            path.write_bytes(b"x" * size)
            shown.append(Video(source=media(path), output=f"v{number}.mp4"))
        made = Job(
            id=name, name=name, arrived=arrived, folder=name, voice=media(folder / "voice.wav"), videos=shown,
            phase="claimed",
        )  # fmt: skip
        self.state.active.append(made)
        self.store.save(made)
        return made

    async def until(self, condition: Callable[[], Any]) -> None:
        """Work as the daemon does until something is so."""
        for _ in range(2000):
            if condition():
                return
            if not await self.scheduler.step():
                await asyncio.sleep(0.005)
        raise AssertionError((self.executor.begun, self.state.active))

    async def begun(self, *names: str) -> None:
        await self.until(lambda: len(self.executor.words) >= len(names))
        for _ in range(5):
            await self.scheduler.step()
            await asyncio.sleep(0.01)
        assert self.executor.begun == list(names)

    def let(self, name: str) -> None:
        self.executor.words[name].set_result(None)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Callable[[Callable[[Floor], Awaitable[None]]], None]]:
    logging_setup.setup(Log(), tmp_path / "log")
    voice = media_factory.audio(tmp_path / "voice.wav", 0.2)

    async def told(tale: Callable[[Floor], Awaitable[None]]) -> None:
        floor = Floor(tmp_path, voice)
        assert await floor.share.check()
        try:
            await tale(floor)
        finally:
            await floor.running.stop()
            floor.thread.close()

    yield lambda tale: asyncio.run(told(tale))
    logger.remove()


def test_as_many_videos_as_there_are_places(story):
    async def tale(floor):
        job = floor.job("a", 3)
        await floor.begun("a/1", "a/2")
        assert [v.running for v in job.videos] == [True, True, False]
        assert [v.running for v in floor.store.load()[0].videos] == [True, True, False]
        floor.let("a/2")
        await floor.begun("a/1", "a/2", "a/3")
        floor.let("a/1"), floor.let("a/3")
        await floor.until(lambda: floor.state.finished)
        assert [v.state for v in job.videos] == ["done"] * 3
        assert sorted(p.name for p in (floor.config.paths.share / "done" / "a").glob("*.mp4")) == [
            "v1.mp4", "v2.mp4", "v3.mp4",
        ]  # fmt: skip

    story(tale)


def test_the_picture_shows_all_that_is_rendered(story):
    async def tale(floor):
        floor.executor.slots = 3
        floor.job("a", 2, arrived=0), floor.job("b", 1, arrived=100)
        await floor.begun("a/1", "a/2", "b/1")
        snapshot = Board(floor.config, floor.state, floor.share).snapshot()
        assert (snapshot.current.name, [job.name for job in snapshot.beside], snapshot.queue) == ("a", ["b"], ())
        assert [v.percent for v in snapshot.running] == [25, 25, 25]
        assert "v1.mp4 25% and 2 more videos" in snapshot.line()

    story(tale)


def test_small_jobs_pass_a_huge_one_and_yet_it_is_not_passed_for_ever(story):
    async def tale(floor):
        floor.job("huge", 10, arrived=0), floor.job("small", 1, arrived=500), floor.job("late", 1, arrived=1000)
        floor.state.slots = 1
        assert [job.name for job in floor.state.ordered()] == ["huge", "small", "late"]
        floor.state.slots = 2
        assert [job.name for job in floor.state.ordered()] == ["small", "huge", "late"]
        await floor.begun("small/1", "huge/1")
        floor.let("small/1")
        await floor.begun("small/1", "huge/1", "huge/2")

    story(tale)


def test_cancelling_a_job_stops_its_videos_only(story):
    async def tale(floor):
        floor.executor.slots = 3
        job, other = floor.job("a", 2), floor.job("b", 1, arrived=100)
        await floor.begun("a/1", "a/2", "b/1")
        (floor.config.paths.share / "processing" / "a" / "CANCEL").touch()
        await floor.running.poll_cancellations()
        assert sorted(floor.executor.stopped) == ["a/1", "a/2"]
        assert [v.attempts for v in job.videos] == [0, 0]
        await floor.until(lambda: floor.state.finished)
        assert (job.destination, other.problem, len(floor.state.running)) == ("failed/a", None, 1)

    story(tale)


def test_a_stop_costs_no_attempt(story):
    async def tale(floor):
        floor.job("a", 2)
        await floor.begun("a/1", "a/2")
        await floor.running.stop()
        videos = floor.store.load()[0].videos
        assert [(v.attempts, v.running, v.state) for v in videos] == [(0, False, "waiting")] * 2
        assert not list((floor.config.paths.cache / "jobs" / "a").glob("attempt-*"))

    story(tale)


def test_without_room_for_two_the_second_waits_for_the_first(story, monkeypatch):
    async def tale(floor):
        floor.job("a", 2, size=GIB >> 10)
        free = floor.voice.stat().st_size + 6 * (GIB >> 10)
        monkeypatch.setattr("heygemd.daemon.jobs.attempt.mounts.local_free_bytes", lambda _: free)
        await floor.begun("a/1")
        assert floor.state.paused_by is None
        floor.let("a/1")
        await floor.begun("a/1", "a/2")

    story(tale)


def test_a_disk_that_fills_up_is_nobodys_fault_while_two_write_to_it(story):
    async def tale(floor):
        job = floor.job("a", 2)
        await floor.begun("a/1", "a/2")
        floor.executor.words["a/1"].set_exception(InfrastructureError("scratch_full"))
        await floor.until(lambda: floor.state.paused_by)
        assert [(v.attempts, v.disk_full) for v in job.videos] == [(0, 0), (1, 0)]
        assert len(floor.state.running) == 1

    story(tale)


def test_a_folder_that_is_still_written_to_goes_back_whole(story):
    async def tale(floor):
        job = floor.job("a", 2)
        await floor.begun("a/1", "a/2")
        floor.executor.words["a/2"].set_exception(NotReady(claim.STILL_CHANGING[0]))
        await floor.until(lambda: job not in floor.state.active and not floor.state.running)
        assert sorted(floor.executor.stopped) == ["a/1", "a/2"]
        assert (floor.config.paths.share / "inbox" / "a").is_dir()

    story(tale)


def test_only_a_video_that_was_alone_is_blamed_for_the_daemons_end(story):
    async def tale(floor):
        floor.job("a", 2)
        for death in (1, 2):
            for job in floor.store.load():
                for video in job.videos:
                    video.running = True
                floor.store.save(job)
            floor.state.active.clear()
            recovery.restore(floor.state, floor.store, floor.config)
            again = floor.state.active[0]
            assert [(v.unclean_ends, v.state) for v in again.videos] == [(death, "waiting")] * 2
        await floor.begun("a/1")  # both are suspects now: one at a time
        floor.let("a/1")
        await floor.begun("a/1", "a/2")
        assert [v.unclean_ends for v in again.videos] == [0, 2]
        floor.state.active.clear()
        recovery.restore(floor.state, floor.store, floor.config)
        job = floor.state.active[0]
        assert (job.videos[1].state, job.videos[1].problem.code) == ("failed", "machine_stopped")

    story(tale)


def test_places_are_pinned_to_cards(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_environments(tmp_path) == [{}]
    for bus in ("0000:01:00.0", "0000:41:00.0"):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text("Model: NVIDIA H200\n")
    assert [place["CUDA_VISIBLE_DEVICES"] for place in gpu_environments(tmp_path)] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1, 3")
    assert [place["CUDA_VISIBLE_DEVICES"] for place in gpu_environments(tmp_path)] == ["MIG-1", "3"]
    assert LocalExecutor(Config.model_validate({"work": {"workers": "per-gpu"}})).slots == 2
