"""The renderer process: waits for its request, renders one video or measures its sync, reports the outcome, exits.

python -m heygemd.render.worker FOLDER EVENT_FD PARENT_PID CACHE

The request comes through standard input. It may change files in FOLDER and in the cache (CACHE, and "compiled" beside
it) only; see `confine`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
from pathlib import Path

from ..config.schema import GIB
from ..media.sandbox import confine, limit_file_size
from ..protocol import REQUEST, Done, LogLine, Message, Ready, RenderRequest, SyncRequest, failed, send

PR_SET_PDEATHSIG = 1
SWITCH_S = 0.0005
"""How long a thread that returns from a pipe waits for one that computes in Python (CPython's default: 5 ms)."""


def main(arguments: list[str]) -> int:
    """Render one video; return the exit status."""
    folder, fd, parent, cache = Path(arguments[0]), int(arguments[1]), int(arguments[2]), Path(arguments[3])
    die_with_parent(parent)
    os.umask(0o077)
    missing = confine([folder, cache, cache.with_name("compiled")])
    os.set_inheritable(fd, False)
    signal.signal(signal.SIGTERM, _exit_at_once)
    lock = threading.Lock()

    def report(event: Message) -> None:
        with lock:
            send(fd, event)

    try:
        _log_to(report)
        if missing:
            report(LogLine(level="DEBUG", message=f"this kernel cannot confine the renderer by {', '.join(missing)}"))
        _limit_threads()
        gc.disable()  # collecting garbage during the imports takes a sixth of their time
        from . import measure_sync, pipeline
        from .engines import mesh  # noqa: F401 nearly all requests need it

        gc.freeze()
        gc.enable()
        report(Ready())
        request = _request()
        if request is None:
            return 1
        limit_file_size(int(request.limits.max_file_gib * GIB))
        if isinstance(request, SyncRequest):
            report(Done(result=measure_sync.check_sync(request, report)))
        else:
            report(Done(result=pipeline.render(request, report)))
    except BrokenPipeError:
        return 1  # nobody reads the events any more
    except Exception as error:
        report(failed(error))
    return 0


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends; leave at once if it already has."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _exit_at_once(number: int, _frame: object) -> None:
    """Exit at once: whatever this process started dies with it, and its files are scratch."""
    os._exit(128 + number)


def _log_to(report: object) -> None:
    """Send log records to the daemon, which owns the sinks."""
    from loguru import logger

    def sink(message: object) -> None:
        record = message.record  # type: ignore[attr-defined]
        text = record["message"]
        if record["exception"]:
            text = f"{text}\n{message}"
        report(LogLine(level=record["level"].name, message=text))  # type: ignore[operator]

    logger.remove()
    logger.add(sink, level="DEBUG", format="{message}")


def _limit_threads() -> None:
    """Leave cores to ffmpeg, which decodes and encodes beside the engine; threads that feed it must not wait long."""
    from ..media import ffmpeg

    ffmpeg.be_nice()
    sys.setswitchinterval(SWITCH_S)
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores - 1)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads that spin starve the encoder
    import cv2

    cv2.setNumThreads(max(1, cores // 2))


def _request() -> RenderRequest | SyncRequest | None:
    """Wait for the request; None if the daemon gave this renderer up."""
    data = sys.stdin.buffer.read()
    return REQUEST.validate_json(data) if data else None


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # skip exit handlers: CUDA's and OpenCV's have crashed after the work was done
