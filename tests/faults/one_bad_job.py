"""One job whose every use of one file or folder fails, among others that are well. Rendering and ffprobe are stand-ins.

Each place is found by watching a job that is well: every call of the operating system on a path of that job, on the
share and on the local disks.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from heygemd.daemon.intake import claim
from heygemd.daemon.jobs import attempt, fault_isolation, scheduler
from heygemd.daemon.queue_state import PendingFolder
from heygemd.i18n import catalog
from heygemd.job import Job
from heygemd.storage import availability
from tests.daemon.jobs.conftest import RESULT, Queue
from tests.e2e.harness import PATIENCE

VICTIM = "victim"
BY_PATH = ("stat", "lstat", "open", "mkdir", "rmdir", "unlink", "rename", "replace", "scandir", "listdir", "chmod")
BY_DESCRIPTOR = ("write", "fsync", "fchmod")
BACK_OFFS = 3
PATIENCE_S = 30.0 * PATIENCE


class Place(NamedTuple):
    """A call of the operating system on one path of the job, relative to the test's folder."""

    call: str
    path: str


class Executor:
    """Renders every video at once, and writes one line into the job's log."""

    slots = 1

    @contextlib.asynccontextmanager
    async def renderer(self, folder: Path, cache: Path, job: Job) -> Any:
        async def render(request: Any, audio_s: float, report: Callable[[Any], None]) -> Any:
            request.output.write_bytes(b"video")
            return RESULT

        yield SimpleNamespace(render=render)

    async def close(self) -> None:
        pass


def _path_of(target: Any, folder: int | None = None) -> str:
    """Return the path that a call of the operating system is about, "" if it has none; `folder`: its descriptor."""
    if isinstance(target, int):
        with contextlib.suppress(OSError):
            return str(Path(f"/proc/self/fd/{target}").readlink())
        return ""
    path = os.fspath(target) if isinstance(target, (str, Path)) else ""
    return path if folder is None else os.path.join(_path_of(folder), path)  # noqa: PTH118  the name may be "."


@contextlib.contextmanager
def calls(root: Path, happened: Callable[[Place], None]) -> Iterator[None]:
    """Call `happened` before each call of the operating system on a path of the victim below `root`."""
    real, real_open = {name: getattr(os, name) for name in (*BY_PATH, *BY_DESCRIPTOR)}, io.open

    def note(call: str, target: Any, folder: int | None = None) -> None:
        path = _path_of(target, folder)
        if VICTIM in path and path.startswith(str(root)):
            happened(Place(call, re.sub(r"[0-9a-f]{32}|\d{8}-\d{6}|-[0-9a-f]{6}\b", "*", os.path.relpath(path, root))))

    def guarded(name: str) -> Callable[..., Any]:
        def call(target: Any = ".", *rest: Any, **options: Any) -> Any:
            note(name, target, options.get("dir_fd", options.get("src_dir_fd")))
            if name in ("rename", "replace"):
                note(name, rest[0], options.get("dst_dir_fd"))
            # Nothing here has to survive a crash of the machine.
            return None if name == "fsync" else real[name](target, *rest, **options)

        return call

    def opened(file: Any, *rest: Any, **options: Any) -> Any:
        note("open", file)
        return real_open(file, *rest, **options)

    try:
        for name in real:
            setattr(os, name, guarded(name))
        io.open = opened  # type: ignore[assignment]
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)
        io.open = real_open


class Bench(Queue):
    """A queue whose folders lie in the inbox, ready to be claimed."""

    def __init__(self, root: Path, voice: Path) -> None:
        super().__init__(root, voice)
        attempts = self.config.attempts.model_copy(
            update={"retry_backoff_s": (0,), "blocked_fail_after_h": BACK_OFFS * fault_isolation.PAUSE_S / 3600}
        )
        self.config = self.config.model_copy(update={"attempts": attempts})
        for part in (self.isolation, self.running, self.scheduler):
            part.config = self.config
        self.running.executor = Executor()  # type: ignore[assignment]

    def ready(self, name: str, arrived: float) -> None:
        """Put a folder into the inbox that was looked at and can be claimed."""
        job = self.job(name, 2, arrived)
        self.state.active.remove(job)
        self.store.forget(job)
        (self.config.paths.share / "processing" / name).rename(self.config.paths.share / "inbox" / name)
        job.phase = "claiming"
        folder = PendingFolder(name, arrived)
        folder.offer(job, "ready")
        self.state.pending[name] = folder

    async def work(self, done: Callable[[], Any]) -> bool:
        """Work as the daemon does until something holds; return whether it did before nothing finished for long."""
        finished, since = -1, 0.0
        while len(self.state.finished) > finished or time.monotonic() - since < PATIENCE_S:
            if len(self.state.finished) > finished:
                finished, since = len(self.state.finished), time.monotonic()
            if done():
                return True
            if self.share.problem is not None:
                await self.share.check()
            if not await self.scheduler.step():
                await asyncio.sleep(0.002)
        return False

    def finished(self) -> set[str]:
        return {job.name for job in self.state.finished}


@contextlib.contextmanager
def short_pauses() -> Iterator[None]:
    """Shorten all the daemon's pauses, so that a day of back-offs takes a moment, and let no ffprobe take longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fault_isolation, "PAUSE_S", 0.02)
        patch.setattr(scheduler, "POLL_CANCELLATIONS_S", 0.01)
        patch.setattr(claim, "BACKOFF_S", (0.01,))
        patch.setattr(availability, "RETRY_S", 0.005)
        patch.setattr(availability, "RETRY_MAX_S", 0.005)
        patch.setattr(attempt.probe, "probe", lambda *_: SimpleNamespace(duration_s=1))  # of the copy in scratch
        yield


def places(root: Path, voice: Path) -> list[Place]:
    """Return every place of a job that is well, in the order of its way through the daemon."""
    found: dict[Place, None] = {}

    async def watch() -> None:
        bench = Bench(root, voice)
        assert await bench.share.check()
        bench.ready(VICTIM, 0)
        with calls(root, lambda place: found.setdefault(place)):
            assert await bench.work(lambda: bench.finished())
        assert bench.state.finished[0].succeeded
        bench.thread.close()

    asyncio.run(watch())
    return list(found)


def try_place(root: Path, voice: Path, place: Place, number: int, others: int) -> str:
    """Let one place of the victim fail for good; return what went wrong with the others or with its end, or ""."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    names = {f"other {n}" for n in range(others)}

    def fail(here: Place) -> None:
        if here == place:
            raise OSError(number, os.strerror(number), str(root / here.path))

    async def scenario() -> str:
        bench = Bench(root, voice)
        assert await bench.share.check()
        bench.ready(VICTIM, 0)
        for order, name in enumerate(sorted(names), 1):
            bench.ready(name, order)
        try:
            with calls(root, fail):
                if not await bench.work(lambda: names <= bench.finished()):
                    return f"others waited: {sorted(names - bench.finished())}"
                if not await bench.work(lambda: VICTIM in bench.finished() or VICTIM in bench.state.pending):
                    return "no end"
                return _end(bench)
        finally:
            await bench.running.stop()
            bench.thread.close()

    return asyncio.run(scenario())


def _end(bench: Bench) -> str:
    """Return what is wrong with the victim's end, or ""."""
    bad = [job.name for job in bench.state.finished if job.name != VICTIM and not job.succeeded]
    if bad:
        return f"others failed: {bad}"
    if VICTIM in bench.state.pending:
        reason = bench.state.pending[VICTIM].reason
        return "" if reason is None or catalog.text(reason.code, reason.fields) else "waits without a reason"
    (job,) = [job for job in bench.state.finished if job.name == VICTIM]
    problems = [p for p in (job.problem, *(video.problem for video in job.videos)) if p is not None]
    for problem in problems:
        if not catalog.text(problem.code, problem.fields):
            return f"no words for {problem.code}"
    return "" if job.succeeded or problems else "failed without a reason"
