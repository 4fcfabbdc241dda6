"""Runs the ffmpeg and ffprobe command lines that `ffmpeg` builds: drains pipes, turns stalls and failures into errors.

A process is killed when the *thread* that started it ends (Linux, PR_SET_PDEATHSIG): start it in the thread that
reads or writes it to the end.
"""

from __future__ import annotations

import re
import signal
import socket
import struct
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, TypeVar

from ..errors import DeadlineExceeded, EngineError, HeygemdError, InfrastructureError, InputError, LocalDiskError

STDERR_LINES = 15
ADDRESS = re.compile(r"(?<=^\[)([^]]*) @ 0x[0-9a-f]+\]")
NOT_WHITELISTED = re.compile(r"^\[(\w+)[^]]*\] Format not on whitelist", re.M)
"""ffmpeg knows the format of a file, but it is not among those that heygemd accepts."""
LINE_CHARS = 400
BUFFER_BYTES = 1 << 20
"""Of a connection; the kernel may allow less. A frame has megabytes, and each transfer wakes two processes."""
STALL_S = 300.0

P = TypeVar("P", bound="Process")


@dataclass(frozen=True)
class ProcessEnd:
    """How a process ended: exit status (negative: signal), number of lines on stderr, and the last of them."""

    status: int
    lines: int
    tail: str


class Process:
    """A running ffmpeg or ffprobe whose stderr is drained. Leaving the context kills it if it still runs."""

    def __init__(self, argv: Sequence[str], connected: Literal["stdin", "stdout"]) -> None:
        """`connected`: the one of its standard streams whose other end is ours."""
        self._end, theirs = _connection()
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, connected: theirs}
        with theirs:
            self._child = subprocess.Popen(argv, stderr=subprocess.PIPE, bufsize=0, **streams)
        self._lines = 0
        self._last: deque[str] = deque(maxlen=STDERR_LINES)
        self._drain = threading.Thread(target=self._read_stderr, name="ffmpeg-stderr", daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._child.pid

    def _read_stderr(self) -> None:
        assert self._child.stderr is not None
        rest = b""
        while chunk := self._child.stderr.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[:LINE_CHARS]
            self._note(lines)
        self._note([rest] if rest else [])

    def _note(self, lines: list[bytes]) -> None:
        self._lines += len(lines)
        self._last.extend(_shown(line[:LINE_CHARS].decode("utf-8", "replace")) for line in lines)

    def wait(self, timeout_s: float = STALL_S) -> ProcessEnd:
        """Wait for the end. Raises DeadlineExceeded("ffmpeg_stalled") after killing it."""
        try:
            status = self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.close()
            raise DeadlineExceeded("ffmpeg_stalled", seconds=timeout_s, detail=self.tail) from None
        self._drain.join(5)
        return ProcessEnd(status, self._lines, self.tail)

    @property
    def tail(self) -> str:
        """The last lines of stderr."""
        return "\n".join(tuple(self._last))

    def close(self) -> None:
        """Kill the process if it still runs, reap it and close the connections to it."""
        self._child.kill()
        self._child.wait()
        self._drain.join(5)
        self._end.close()
        assert self._child.stderr is not None
        self._child.stderr.close()

    def __enter__(self: P) -> P:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _stalled(self) -> DeadlineExceeded:
        return DeadlineExceeded("ffmpeg_stalled", seconds=STALL_S, detail=self.tail)


class Reader(Process):
    """An ffmpeg process whose standard output is read."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(argv, "stdout")

    def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer`; return the number of bytes, fewer only at the end."""
        done = 0
        while done < len(buffer):
            try:
                got = self._end.recv_into(buffer[done:], 0, socket.MSG_WAITALL)
            except BlockingIOError:
                raise self._stalled() from None
            if got == 0:
                break
            done += got
        return done


class Writer(Process):
    """An ffmpeg process whose standard input is written."""

    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__(argv, "stdin")

    def write(self, data: memoryview) -> None:
        """Write all of `data`. Raises the error of a process that has died, see `error_from`."""
        try:
            self._end.sendall(data)
        except BlockingIOError:
            raise self._stalled() from None
        except ConnectionError:
            raise error_from(self.wait(), reading=False) from None

    def finish(self) -> None:
        """Close the input and wait. Raises the error of a process that failed, see `error_from`."""
        self._end.close()
        ended = self.wait()
        if ended.status != 0 or _disk_full(ended.tail):
            raise error_from(ended, reading=False)


def _connection() -> tuple[socket.socket, socket.socket]:
    """Return our end and the process's of what is a pipe to it. A pipe of the kernel costs a third more CPU time.

    The kernel also waits for a whole frame and for STALL_S: a thread that waits needs no turn in Python between.
    """
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    for timeout in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        ours.setsockopt(socket.SOL_SOCKET, timeout, struct.pack("@ll", *divmod(round(STALL_S * 1_000_000), 1_000_000)))
    return ours, theirs


def run(argv: Sequence[str], timeout_s: float, *, reading: bool = True, stdin: int | None = None) -> bytes:
    """Run to the end and return standard output; `stdin`: a descriptor, None for nothing.

    Raises the error of a process that failed (see `error_from`), DeadlineExceeded("ffmpeg_timeout").
    """
    return capture(argv, timeout_s, reading=reading, stdin=stdin)[0]


def capture(
    argv: Sequence[str], timeout_s: float, *, reading: bool = True, stdin: int | None = None
) -> tuple[bytes, str]:
    """As `run`, but return the last lines of standard error, too."""
    source = subprocess.DEVNULL if stdin is None else stdin
    child = subprocess.Popen(argv, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with child:
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise DeadlineExceeded("ffmpeg_timeout", seconds=timeout_s) from None
        except BaseException:
            child.kill()
            raise
    lines = err.decode("utf-8", "replace").splitlines()
    tail = "\n".join(_shown(line[:LINE_CHARS]) for line in lines[-STDERR_LINES:])
    if child.returncode != 0:
        raise error_from(ProcessEnd(child.returncode, len(lines), tail), reading=reading)
    return out, tail


def _shown(line: str) -> str:
    """Return a line of stderr as it is logged: "[mov,mp4 @ 0x55d0c8]" names an address that says nothing to anybody."""
    return ADDRESS.sub(r"\1]", line).rstrip()


def _disk_full(text: str) -> bool:
    return "No space left on device" in text or "Disk quota exceeded" in text


def error_from(ended: ProcessEnd, *, reading: bool) -> HeygemdError:
    """Return the error for a process that failed; `reading`: its input was a file of a user, who may have to act."""
    if _disk_full(ended.tail):
        return LocalDiskError("scratch_full", detail=ended.tail)
    if ended.status < 0:
        name = signal.Signals(-ended.status).name
        if name == "SIGXCPU":
            return DeadlineExceeded("ffmpeg_cpu_limit", detail=ended.tail)
        return EngineError("ffmpeg_crashed", signal=name, detail=ended.tail)
    if ended.tail.startswith(("prlimit: ", "setpriv: ", "nice: ")):  # ffmpeg was never started: not the file's fault
        return InfrastructureError("ffmpeg_missing", detail=ended.tail)
    if "exceeds specified max pixel count" in ended.tail:
        return InputError("too_many_pixels", detail=ended.tail)
    if "exceeds max_streams" in ended.tail:
        return InputError("too_many_streams", detail=ended.tail)
    if refused := NOT_WHITELISTED.search(ended.tail):
        return InputError("format_unsupported", detail=ended.tail, format=refused[1].removesuffix("_pipe"))
    if "Cannot allocate memory" in ended.tail:
        return EngineError("ffmpeg_memory", detail=ended.tail)
    if reading:
        return InputError("media_unreadable", detail=ended.tail)
    return EngineError("encode_failed", detail=ended.tail)
