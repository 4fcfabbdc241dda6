"""The daemon's own cost for each video without rendering: probing, claiming, copying, recording, publishing.

python -m tests.bench.bench_daemon_overhead [FOLDERS VIDEOS MIB SECONDS]     defaults: 20 4 256 20

FOLDERS folders of VIDEOS one-second videos go through a daemon with eight slots, each of which returns a finished file
at once. Then a file of MIB is copied as for copy-in and publishing: written, synced, read back. Last, for comparison,
the default engine renders SECONDS of a face of 1080 x 1080 pixels (0: skip this).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from heygemd.cli import render_one
from heygemd.config import loader, schema
from heygemd.daemon import service
from heygemd.daemon.executors import factory
from heygemd.daemon.executors.base import Executor
from heygemd.protocol import Progress, Result
from heygemd.storage import transfer
from tests.e2e.harness import Site
from tests.media_factory import audio, video
from tests.render.anna import film

MIB = 1 << 20
SLOTS = 8
EVENTS = 30
"""Progress events for each video, about one every two seconds."""


class FakeExecutor(Executor):
    """Renders nothing: reports progress like a renderer and links an existing file as the result."""

    slots = SLOTS

    def __init__(self, made: Path) -> None:
        self.made = made

    @contextlib.asynccontextmanager
    async def renderer(self, folder: Path, cache: Path, job: Any) -> AsyncIterator[Any]:
        async def render(request: Any, audio_s: float, report: Any) -> Result:
            for done in range(EVENTS):
                report(Progress(phase="render", done=done, total=EVENTS, percent=100 * done / EVENTS))
            os.link(self.made, request.output)
            return Result(frames=25, fps="25/1", duration_s=1, width=160, height=160, engine="none", tracker="none")

        yield SimpleNamespace(render=render)

    async def close(self) -> None:
        pass


def drop(site: Site, folders: int, videos: int) -> Path:
    voice, face = audio(site.root / "voice.wav", 1), video(site.root / "face.mp4", 1, "160x160")
    for number in range(folders):
        folder = site.share / "inbox" / f"job {number:04d}"
        folder.mkdir()
        shutil.copyfile(voice, folder / "voice.wav")
        for each in range(videos):
            shutil.copyfile(face, folder / f"v{each:02d}.mp4")
    return face


def seconds() -> tuple[float, float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time(), children.ru_utime + children.ru_stime


def measure_daemon(root: Path, folders: int, videos: int) -> None:
    site = Site(root)
    made = drop(site, folders, videos)
    factory.create = lambda _: FakeExecutor(made)
    before = seconds()
    status = service.run(loader.load(site.config), site.config, once=True)
    wall, own, probes = (after - first for after, first in zip(seconds(), before, strict=True))
    site.close()
    number = folders * videos
    assert status == 0 and len(list((site.share / "done").iterdir())) == folders
    print(f"{number} videos in {folders} folders: {1000 * wall / number:.0f} ms each, end to end,")
    print(f"  {1000 * own / number:.1f} ms of CPU time in the daemon, {1000 * probes / number:.0f} ms in ffprobe")


def copy(root: Path, size_mib: int) -> None:
    source = root / "big"
    source.write_bytes(os.urandom(MIB) * size_mib)
    before = time.perf_counter()
    transfer.finish(transfer.copy(source, root / "copied"))
    print(f"a copy of {size_mib} MiB, local disk to local disk: {size_mib / (time.perf_counter() - before):.0f} MiB/s")


def render(root: Path, length_s: int) -> None:
    shown, voice = film(root / "face.mp4", length_s, 1080), audio(root / "voice.wav", length_s)
    before = time.perf_counter()
    asyncio.run(render_one.render(schema.Config(), render_one.Inputs(voice, shown), root / "out.mp4", lambda _: None))
    took_s = time.perf_counter() - before
    print(f"a video of {length_s} s, 1080 x 1080: {took_s:.0f} s on {os.cpu_count()} processors")


def main(folders: int = 20, videos: int = 4, size_mib: int = 256, length_s: int = 20) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-head-") as folder:
        measure_daemon(Path(folder), folders, videos)
        copy(Path(folder), size_mib)
        if length_s:
            render(Path(folder), length_s)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
