"""Rendering in a Ray cluster: one bridge process speaks to Ray for all videos, so that the daemon need not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from loguru import logger

from ...config.schema import Config
from ...errors import InfrastructureError
from ...job import Job
from ...protocol import (
    DRIVER_MESSAGE,
    Capacity,
    ClusterFailure,
    Done,
    Event,
    Failed,
    LogLine,
    Message,
    RenderRequest,
    Result,
    StartAttempt,
    StopAttempt,
)
from ...renderer_process import open_pipe_reader
from .local import Executor, Task

CONNECT_S = 60.0
AGAIN_S = 5.0
SILENT_S = 60.0
"""The bridge tells the cluster's capacity every few seconds; without a word for so long it hangs and is replaced."""
LEAVE_S = 20.0


class Cluster(Executor):
    """Keeps a bridge to the cluster alive and gives each attempt a line on it."""

    def __init__(self, config: Config) -> None:
        """Needs a running loop; connects in the background."""
        self.config = config
        self._capacity = 0
        self._numbers = 0
        self._lines: dict[int, asyncio.Queue[Event | None]] = {}
        self._ready = asyncio.Event()
        self._why = "not connected yet"
        self._process: asyncio.subprocess.Process | None = None
        self._keeper = asyncio.create_task(self._keep())

    @property
    def slots(self) -> int:
        """As many as configured, or as the cluster has room for."""
        workers = self.config.work.workers
        return max(1, self._capacity) if workers == "per-gpu" else workers

    @contextlib.asynccontextmanager
    async def renderer(self, _folder: Path, _cache: Path, job: Job) -> AsyncIterator[Task]:
        """Wait for the cluster. Raises InfrastructureError("cluster_unavailable")."""
        try:
            await asyncio.wait_for(self._ready.wait(), CONNECT_S)
        except (TimeoutError, asyncio.TimeoutError):
            raise InfrastructureError("cluster_unavailable", reason=self._why) from None
        self._numbers += 1
        remote = Remote(self, self.config, self._numbers, job)
        self._lines[remote.number] = remote.heard
        try:
            yield remote
        finally:
            await remote.stop()
            del self._lines[remote.number]

    def send(self, message: Message) -> None:
        """Give the bridge an order; if it is gone the attempt hears of that by itself."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(message.model_dump_json().encode() + b"\n")

    async def close(self) -> None:
        """End the bridge, and with it all that it lets be done."""
        self._keeper.cancel()
        await asyncio.wait({self._keeper})

    async def _keep(self) -> None:
        """Have a bridge as long as the daemon lives."""
        while True:
            try:
                await self._serve()
            except Exception as error:
                logger.opt(exception=error).error("the bridge to the cluster failed")
            logger.warning("the cluster cannot be used: {}; trying again", self._why)
            await asyncio.sleep(AGAIN_S)

    async def _serve(self) -> None:
        """Run one bridge to its end."""
        reading, writing = os.pipe()
        settings = self.config.work.ray.model_dump_json()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heygemd.ray_backend.driver", str(writing), settings),
                stdin=asyncio.subprocess.PIPE,
                cwd="/",  # Ray shows the nodes what a driver finds in its folder
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        answers, transport = await open_pipe_reader(reading)
        try:
            await self._hear(answers)
        finally:
            patience_s = LEAVE_S if self._ready.is_set() else 0.1  # one that still connects has begun nothing
            self._lost()
            transport.close()
            await _end(process, patience_s)

    async def _hear(self, answers: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await asyncio.wait_for(answers.readline(), SILENT_S)
            except (TimeoutError, asyncio.TimeoutError):
                self._why = f"the bridge was silent for {SILENT_S:g} s"
                return
            if not line.endswith(b"\n"):
                return
            answer = DRIVER_MESSAGE.validate_json(line)
            if isinstance(answer, Capacity):
                self._connected(answer.slots)
            elif isinstance(answer, ClusterFailure):
                self._why = answer.reason
            elif answer.number in self._lines:
                self._lines[answer.number].put_nowait(answer.event)

    def _connected(self, capacity: int) -> None:
        if not self._ready.is_set():
            logger.info("connected to the cluster, which has room for {} videos", capacity)
        self._capacity, self._why = capacity, "the connection was lost"
        self._ready.set()

    def _lost(self) -> None:
        """Tell all attempts; the cluster ends what its driver left behind."""
        self._ready.clear()
        for line in self._lines.values():
            line.put_nowait(Failed(kind="infrastructure", code="cluster_unavailable", fields={"reason": self._why}))
            line.put_nowait(None)


class Remote:
    """One video's attempt somewhere in the cluster."""

    def __init__(self, cluster: Cluster, config: Config, number: int, job: Job) -> None:
        """`number`: what the bridge knows it by."""
        self.number = number
        self.heard: asyncio.Queue[Event | None] = asyncio.Queue()
        self._cluster = cluster
        self._attempts = config.attempts
        self._job = job
        self._running = False

    async def render(self, request: RenderRequest, audio_s: float, report: Callable[[Event], None]) -> Result:
        """As `Task.render`; deadlines are watched on the node, and run from the start there."""
        say = logger.bind(job=self._job.name, id=self._job.id)
        self._running = True
        name = self._job.name.encode("utf-8", "replace").decode()
        self._cluster.send(
            StartAttempt(number=self.number, job=name, request=request, audio_s=audio_s, attempts=self._attempts)
        )
        while True:
            event = await self.heard.get()
            if isinstance(event, LogLine):
                say.log(event.level, "{}", event.message)
            elif isinstance(event, Done) and isinstance(event.result, Result):
                return event.result
            elif isinstance(event, Failed):
                raise event.error()
            elif event is not None:
                report(event)

    async def stop(self) -> None:
        """Wait until nothing of it runs any more."""
        if not self._running:
            return
        self._cluster.send(StopAttempt(number=self.number))
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._silence(), 4 * self._attempts.stop_grace_s + LEAVE_S)

    async def _silence(self) -> None:
        while await self.heard.get() is not None:
            pass


async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    """Let the bridge end what it began, then end it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), patience_s)
    except (TimeoutError, asyncio.TimeoutError):
        process.kill()
        await process.wait()
