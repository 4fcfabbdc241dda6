"""A queue on a real share, with an executor that renders nothing."""

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
from heygemd.config.schema import Config, Log
from heygemd.daemon.executors.base import Executor
from heygemd.daemon.intake import claim
from heygemd.daemon.job_store import Store
from heygemd.daemon.jobs.changed_folders import ChangedFolders
from heygemd.daemon.jobs.fault_isolation import FaultIsolation
from heygemd.daemon.jobs.publishing import Publisher
from heygemd.daemon.jobs.running import Running
from heygemd.daemon.jobs.scheduler import Scheduler
from heygemd.daemon.queue_state import QueueState
from heygemd.job import Job, Media, Video
from heygemd.protocol import Progress, Result
from heygemd.storage import share_layout
from heygemd.storage.availability import ShareAvailability
from heygemd.storage.io_thread import ShareThread
from tests import media_factory

RESULT = Result(frames=1, duration_s=1, width=2, height=2, fps="25/1", engine="none", tracker="none")


class ManualExecutor(Executor):
    """Finishes a video when the test says so; records what was started and stopped."""

    slots = 2

    def __init__(self) -> None:
        self.started: list[str] = []
        self.finishing: dict[str, asyncio.Future[None]] = {}
        self.stopped: list[str] = []

    @contextlib.asynccontextmanager
    async def renderer(self, folder: Path, cache: Path, job: Job) -> AsyncIterator[SimpleNamespace]:
        name = f"{job.name}/{folder.name[-1]}"
        self.started.append(name)

        async def render(request: Any, audio_s: float, report: Callable[[Any], None]) -> Result:
            self.finishing[name] = asyncio.get_running_loop().create_future()
            report(Progress(phase="render", done=1, total=4, percent=25))
            await self.finishing[name]
            request.output.write_bytes(b"video")
            return RESULT

        try:
            yield SimpleNamespace(render=render)
        finally:
            self.stopped.append(name)

    async def close(self) -> None:
        pass


class Queue:
    """A scheduler on a real share, with jobs that are claimed already."""

    def __init__(self, root: Path, voice: Path) -> None:
        paths = {key: root / key for key in ("share", "state", "cache", "log", "models")}
        limits = {"free_scratch_gib": 0, "free_share_gib": 0, "free_state_mib": 0}
        self.config = Config.model_validate({"paths": paths, "limits": limits})
        self.voice = voice
        self.executor = ManualExecutor()
        share_layout.create(root / "share")
        self.thread = ShareThread(root / "share", 10)
        self.share = ShareAvailability(root / "share", self.thread)
        self.store = Store(root / "state")
        self.state = QueueState()
        claimer = claim.Claimer(self.state, self.store, self.share, "me")
        self.isolation = isolation = FaultIsolation(self.config, self.state, self.store, self.share)
        self.running = Running(self.config, self.state, self.store, self.share, claimer, self.executor, isolation)
        changes = ChangedFolders(self.config, self.state, self.store, self.share, claimer)
        publisher = Publisher(self.config, self.state, self.store, self.share, changes)
        self.scheduler = Scheduler(self.config, self.state, self.share, claimer, self.running, publisher, isolation)

    def job(self, name: str, videos: int, arrived: float = 0, size: int = 5) -> Job:
        folder = self.config.paths.share / "processing" / name
        folder.mkdir()
        shutil.copyfile(self.voice, folder / "voice.wav")

        def media(path: Path) -> Media:
            found = path.stat()
            return Media(name=path.name, size=found.st_size, mtime_ns=found.st_mtime_ns)

        records = []
        for number in range(1, videos + 1):
            path = folder / f"v{number}.mp4"
            path.write_bytes(b"x" * size)
            records.append(Video(source=media(path), output=f"v{number}.mp4"))
        job = Job(
            id=name, name=name, arrived=arrived, folder=name, voice=media(folder / "voice.wav"), videos=records,
            phase="claimed",
        )  # fmt: skip
        self.state.active.append(job)
        self.store.save(job)
        return job

    async def until(self, condition: Callable[[], Any]) -> None:
        """Work as the daemon does until the condition holds."""
        for _ in range(2000):
            if condition():
                return
            if not await self.scheduler.step():
                await asyncio.sleep(0.005)
        raise AssertionError((self.executor.started, self.state.active))

    async def expect_started(self, *names: str) -> None:
        """Work until these videos are started, and a little longer: no others may be."""
        await self.until(lambda: len(self.executor.finishing) >= len(names))
        for _ in range(5):
            await self.scheduler.step()
            await asyncio.sleep(0.01)
        assert self.executor.started == list(names)

    def finish(self, name: str) -> None:
        """Let a video's attempt succeed."""
        self.executor.finishing[name].set_result(None)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Callable[[Queue], Awaitable[None]]], None]]:
    logging_setup.setup(Log(), tmp_path / "log")
    voice = media_factory.audio(tmp_path / "voice.wav", 0.2)

    async def play(scenario: Callable[[Queue], Awaitable[None]]) -> None:
        queue = Queue(tmp_path, voice)
        assert await queue.share.check()
        try:
            await scenario(queue)
        finally:
            await queue.running.stop()
            queue.thread.close()

    yield lambda scenario: asyncio.run(play(scenario))
    logger.remove()
