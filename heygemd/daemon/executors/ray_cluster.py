"""Renders on a Ray cluster: a separate driver process talks to Ray, so that the daemon does not load it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from async_timeout import timeout
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
from .base import Executor, Task, completed

CONNECT_S = 60.0
RESTART_S = 5.0
SILENT_S = 60.0
"""The driver reports the cluster's capacity every few seconds; if silent for this long it hangs and is replaced."""
STOP_S = 20.0
STOP_UNCONNECTED_S = 0.1
"""A driver that still connects has started nothing."""


class RayExecutor(Executor):
    """Keeps a driver process running and passes messages between it and the attempts."""

    def __init__(self, config: Config) -> None:
        """Needs a running loop; connects in the background."""
        self.config = config
        self._capacity = 0
        self._last_number = 0
        self._events: dict[int, asyncio.Queue[Event | None]] = {}
        self._connected = asyncio.Event()
        self._reason = "not connected yet"
        self._process: asyncio.subprocess.Process | None = None
        self._supervision = asyncio.create_task(self._supervise())

    @property
    def slots(self) -> int:
        """As many as configured, or as the cluster can render at once."""
        workers = self.config.work.workers
        return max(1, self._capacity) if workers == "per-gpu" else workers

    @contextlib.asynccontextmanager
    async def renderer(self, _folder: Path, _cache: Path, job: Job) -> AsyncIterator[Task]:
        """Wait for the cluster. Raises InfrastructureError("cluster_unavailable")."""
        try:
            async with timeout(CONNECT_S):
                await self._connected.wait()
        except (TimeoutError, asyncio.TimeoutError):
            raise InfrastructureError("cluster_unavailable", reason=self._reason) from None
        self._last_number += 1
        remote = RemoteTask(self, self.config, self._last_number, job)
        self._events[remote.number] = remote.events
        try:
            yield remote
        finally:
            try:
                await completed(remote.stop())
            finally:
                del self._events[remote.number]

    def send(self, message: Message) -> None:
        """Send the driver a command; if the driver is gone, the attempt gets a Failed event anyway."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(message.model_dump_json().encode() + b"\n")

    async def close(self) -> None:
        """End the driver and everything it started."""
        self._supervision.cancel()
        await asyncio.wait({self._supervision})

    async def _supervise(self) -> None:
        """Restart the driver as long as the daemon runs."""
        while True:
            try:
                await self._run_driver()
            except Exception as error:
                logger.opt(exception=error).error("the Ray driver process failed")
            logger.warning("the Ray cluster cannot be used: {}; retrying", self._reason)
            await asyncio.sleep(RESTART_S)

    async def _run_driver(self) -> None:
        """Run one driver process to its end."""
        reading, writing = os.pipe()
        settings = self.config.work.ray.model_dump_json()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heygemd.ray_backend.driver", str(writing), settings),
                stdin=asyncio.subprocess.PIPE,
                cwd="/",  # Ray makes the driver's working directory visible to the nodes
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        messages, transport = await open_pipe_reader(reading)
        try:
            await self._dispatch(messages)
        finally:
            timeout_s = STOP_S if self._connected.is_set() else STOP_UNCONNECTED_S
            self._fail_attempts()
            transport.close()
            await _end(process, timeout_s)

    async def _dispatch(self, messages: asyncio.StreamReader) -> None:
        while True:
            try:
                async with timeout(SILENT_S):
                    line = await messages.readline()
            except (TimeoutError, asyncio.TimeoutError):
                self._reason = f"the driver was silent for {SILENT_S:g} s"
                return
            if not line.endswith(b"\n"):
                return
            message = DRIVER_MESSAGE.validate_json(line)
            if isinstance(message, Capacity):
                self._set_capacity(message.slots)
            elif isinstance(message, ClusterFailure):
                self._reason = message.reason
            elif message.number in self._events:
                self._events[message.number].put_nowait(message.event)

    def _set_capacity(self, capacity: int) -> None:
        if not self._connected.is_set():
            logger.info("connected to the Ray cluster, which can render {} videos at once", capacity)
        self._capacity, self._reason = capacity, "the connection was lost"
        self._connected.set()

    def _fail_attempts(self) -> None:
        """Fail all attempts; the cluster ends what its driver left behind."""
        self._connected.clear()
        for events in self._events.values():
            events.put_nowait(
                Failed(kind="infrastructure", code="cluster_unavailable", fields={"reason": self._reason})
            )
            events.put_nowait(None)


class RemoteTask:
    """One video's attempt somewhere in the cluster."""

    def __init__(self, executor: RayExecutor, config: Config, number: int, job: Job) -> None:
        """`number`: identifies the attempt in messages."""
        self.number = number
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._executor = executor
        self._attempts = config.attempts
        self._job = job
        self._running = False

    async def render(self, request: RenderRequest, audio_s: float, report: Callable[[Event], None]) -> Result:
        """As `Task.render`; deadlines are checked on the node and count from the start there."""
        say = logger.bind(job=self._job.name, id=self._job.id)
        self._running = True
        name = self._job.name.encode("utf-8", "replace").decode()
        self._executor.send(
            StartAttempt(number=self.number, job=name, request=request, audio_s=audio_s, attempts=self._attempts)
        )
        while True:
            event = await self.events.get()
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
        self._executor.send(StopAttempt(number=self.number))
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            async with timeout(4 * self._attempts.stop_grace_s + STOP_S):
                await self._until_ended()

    async def _until_ended(self) -> None:
        while await self.events.get() is not None:
            pass


async def _end(process: asyncio.subprocess.Process, timeout_s: float) -> None:
    """Let the driver end what it started, then kill it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with timeout(timeout_s):
            await process.wait()
    except (TimeoutError, asyncio.TimeoutError):
        process.kill()
        await process.wait()
