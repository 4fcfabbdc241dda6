"""Starts, feeds, watches and ends one renderer process, which renders one video."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from async_timeout import timeout
from loguru import logger

from .config.schema import Attempts
from .errors import DeadlineExceeded, HeygemdError, WorkerLost, printable
from .media.sandbox import librosa_folder
from .protocol import (
    Done,
    Event,
    FacesSeen,
    Failed,
    FirstSeconds,
    LivePicture,
    LogLine,
    Notice,
    Progress,
    RenderRequest,
    Result,
    SyncMeasurement,
    SyncRequest,
    parse,
)

TAIL_LINES = 30
LINE_BYTES = 8 << 20


class Renderer:
    """A child process that waits for its request, renders one video and exits."""

    def __init__(
        self,
        folder: Path,
        cache: Path,
        settings: Attempts,
        job: str,
        job_id: str,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`folder`: for temporary files; `cache`: shared analysis cache; `job`, `job_id`: for the log.

        `environment`: added to the daemon's own, for example to select a GPU.
        """
        self._extra_environment = environment
        self.cache = cache
        self.folder = folder
        self.settings = settings
        self._log = logger.bind(job=job, id=job_id)
        self._process: asyncio.subprocess.Process | None = None
        self._events: asyncio.StreamReader | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._output: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process early: it imports its libraries while the input is still being copied."""
        reading, writing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "heygemd.render.worker",
                str(self.folder),
                str(writing),
                str(os.getpid()),
                str(self.cache),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
                env={**_environment(self.folder, self.cache), **self._extra_environment},
                limit=LINE_BYTES,
            )
        finally:
            os.close(writing)
        self._events, self._transport = await open_pipe_reader(reading)
        self._output = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with contextlib.suppress(ValueError, ConnectionError):
            async for raw in self._process.stdout:
                line = printable(raw.decode("utf-8", "replace").rstrip())
                self._tail.append(line)
                self._log.debug("renderer: {}", line)

    async def render(self, request: RenderRequest, audio_s: float, report: Callable[[Event], None]) -> Result:
        """Hand over the request and wait for the renderer to finish.

        `audio_s`: duration of the voice, which sets the deadline; `report`: called for each event.
        Raises InputError, EngineError, InfrastructureError (reported by the renderer), WorkerLost, DeadlineExceeded.
        """
        result = await self._run(request, audio_s, report)
        assert isinstance(result, Result)
        return result

    async def measure_sync(
        self, request: SyncRequest, audio_s: float, report: Callable[[Event], None]
    ) -> SyncMeasurement:
        """Measure an existing video; arguments and errors as for `render`."""
        return await self._run(request, audio_s, report)

    async def _run(
        self, request: RenderRequest | SyncRequest, audio_s: float, report: Callable[[Event], None]
    ) -> Result | SyncMeasurement:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(request.model_dump_json().encode())
        self._process.stdin.close()  # if it has ended already, its events say so
        deadline_s = self.settings.deadline_base_s + self.settings.deadline_per_audio_s * audio_s
        try:
            async with timeout(deadline_s):
                return await self._await_result(report)
        except (TimeoutError, asyncio.TimeoutError):  # two classes until Python 3.11
            raise DeadlineExceeded("deadline_exceeded", seconds=round(deadline_s)) from None

    async def _await_result(self, report: Callable[[Event], None]) -> Result | SyncMeasurement:
        last: tuple[str, int] = ("", -1)
        since = time.monotonic()
        while True:
            event = await self._next_event(since + self.settings.stall_s - time.monotonic())
            if isinstance(event, Done):
                return event.result
            if isinstance(event, Failed):
                raise event.error()
            if isinstance(event, LogLine):
                self._log.log(event.level, "{}", event.message)
            elif isinstance(event, Progress):
                if (event.phase, event.done) != last:
                    last, since = (event.phase, event.done), time.monotonic()
                report(event)
            elif isinstance(event, Notice | FacesSeen | LivePicture | FirstSeconds):
                report(event)

    async def _next_event(self, timeout_s: float) -> Event | None:
        assert self._events is not None
        try:
            async with timeout(max(0.01, timeout_s)):
                line = await self._events.readline()
        except (TimeoutError, asyncio.TimeoutError):
            raise DeadlineExceeded("stalled", seconds=round(self.settings.stall_s)) from None
        if not line.endswith(b"\n"):
            raise await self._exit_error()
        return parse(line)

    async def _exit_error(self) -> HeygemdError:
        """Return the error for a process that ended without Done or Failed."""
        assert self._process is not None
        try:
            async with timeout(10):
                code = await self._process.wait()
        except (TimeoutError, asyncio.TimeoutError):
            return WorkerLost("worker_silent")
        if self._output is not None:
            await asyncio.wait([self._output], timeout=2)
        tail = "\n".join(self._tail)
        if code < 0:
            return WorkerLost("worker_killed", detail=tail, signal=signal.Signals(-code).name)
        return WorkerLost("worker_exited", detail=tail, status=code)

    async def stop(self) -> None:
        """End the process group: SIGTERM, a grace period, then SIGKILL. Safe to call at any time."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                async with timeout(self.settings.stop_grace_s):
                    await process.wait()
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        if self._output is not None:
            await asyncio.wait([self._output], timeout=2)
            self._output.cancel()
        if self._transport is not None:
            self._transport.close()


async def open_pipe_reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    """Return a line reader for the read end of a pipe, and the transport that closes it."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader, transport


def _environment(folder: Path, cache: Path) -> dict[str, str]:
    """Return the renderer's environment: temporary files go to its own folder, systemd's variables are left out.

    Importing librosa fails unless numba has a writable cache folder.
    """
    compiled = cache.with_name("compiled")
    own = {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "WATCHDOG_PID")}
    own |= {"TMPDIR": str(folder), "CUDA_CACHE_PATH": str(compiled / "cuda")}
    if not os.access(librosa_folder(), os.W_OK):  # otherwise numba caches beside the library, once for all
        own["NUMBA_CACHE_DIR"] = str(compiled)
    return own


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
