"""One renderer process for one video: started early, heard, timed, and ended with everything it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from loguru import logger

from .config.schema import Attempts
from .errors import DeadlineExceeded, HeygemdError, WorkerLost, printable
from .protocol import Done, Event, Failed, Found, JudgeRequest, LogLine, Progress, RenderRequest, Result, Verdict, parse

TAIL_LINES = 30
LINE_BYTES = 1 << 20


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
        """`folder`: for the request and all it makes; `cache`: what videos share; `job`, `job_id`: for its log.

        `environment`: what it gets besides the daemon's own, to tell it its GPU.
        """
        self._place = environment
        self.cache = cache
        self.request_path = folder / "request.json"
        self.settings = settings
        self._log = logger.bind(job=job, id=job_id)
        self._process: asyncio.subprocess.Process | None = None
        self._events: asyncio.StreamReader | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._output: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process; it imports while its input is still being copied."""
        reading, writing = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "heygemd.render.worker",
                str(self.request_path),
                str(writing),
                str(os.getpid()),
                str(self.cache),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,
                env={**_environment(self.request_path.parent, self.cache), **self._place},
                limit=LINE_BYTES,
            )
        finally:
            os.close(writing)
        self._events, self._transport = await listen(reading)
        self._output = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with contextlib.suppress(ValueError, ConnectionError):
            async for raw in self._process.stdout:
                line = printable(raw.decode("utf-8", "replace").rstrip())
                self._tail.append(line)
                self._log.debug("renderer: {}", line)

    async def render(self, request: RenderRequest, audio_s: float, report: Callable[[Event], None]) -> Result:
        """Hand over the request and hear the renderer to its end.

        `audio_s`: the voice's length, from which the deadline follows; `report`: called for each event.
        Raises InputError, EngineError, InfrastructureError (as the renderer said), WorkerLost, DeadlineExceeded.
        """
        result = await self._work(request, audio_s, report)
        assert isinstance(result, Result)
        return result

    async def judge(self, request: JudgeRequest, audio_s: float, report: Callable[[Event], None]) -> Verdict:
        """As `render`, for a video that is measured only."""
        return await self._work(request, audio_s, report)

    async def _work(
        self, request: RenderRequest | JudgeRequest, audio_s: float, report: Callable[[Event], None]
    ) -> Result | Verdict:
        temp = self.request_path.with_suffix(".part")
        temp.write_text(request.model_dump_json())
        temp.replace(self.request_path)
        deadline_s = self.settings.deadline_base_s + self.settings.deadline_per_audio_s * audio_s
        try:
            return await asyncio.wait_for(self._hear(report), deadline_s)
        except (TimeoutError, asyncio.TimeoutError):  # two classes until Python 3.11
            raise DeadlineExceeded("deadline_exceeded", seconds=round(deadline_s)) from None

    async def _hear(self, report: Callable[[Event], None]) -> Result | Verdict:
        last: tuple[str, int] = ("", -1)
        since = time.monotonic()
        while True:
            event = await self._next(since + self.settings.stall_s - time.monotonic())
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
            elif isinstance(event, Found):
                report(event)

    async def _next(self, patience_s: float) -> Event | None:
        assert self._events is not None
        try:
            line = await asyncio.wait_for(self._events.readline(), max(0.01, patience_s))
        except (TimeoutError, asyncio.TimeoutError):
            raise DeadlineExceeded("stalled", seconds=round(self.settings.stall_s)) from None
        if not line.endswith(b"\n"):
            raise await self._lost()
        return parse(line)

    async def _lost(self) -> HeygemdError:
        """Return why the process ended without a word."""
        assert self._process is not None
        try:
            code = await asyncio.wait_for(self._process.wait(), 10)
        except (TimeoutError, asyncio.TimeoutError):
            return WorkerLost("worker_silent")
        if self._output is not None:
            await asyncio.wait([self._output], timeout=2)
        tail = "\n".join(self._tail)
        if code < 0:
            return WorkerLost("worker_killed", detail=tail, signal=signal.Signals(-code).name)
        return WorkerLost("worker_exited", detail=tail, status=code)

    async def stop(self) -> None:
        """End the process and all it started: TERM, a grace, KILL on the whole group. Safe at any time."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), self.settings.stop_grace_s)
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        if self._output is not None:
            await asyncio.wait([self._output], timeout=2)
            self._output.cancel()
        if self._transport is not None:
            self._transport.close()


async def listen(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    """Return a reader of the lines that come through a pipe, and what closes it."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader, transport


def _environment(folder: Path, cache: Path) -> dict[str, str]:
    """Return the renderer's environment: temporary files in its own folder, nothing of systemd's.

    librosa's compiled code (numba) needs a writable place or its import fails.
    """
    compiled = cache.with_name("compiled")
    own = {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "WATCHDOG_PID")}
    own |= {"TMPDIR": str(folder), "CUDA_CACHE_PATH": str(compiled / "cuda")}
    if not os.access(sysconfig.get_path("purelib"), os.W_OK):  # else beside the library: one compilation for all
        own["NUMBA_CACHE_DIR"] = str(compiled)
    return own


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
