"""Peak memory against video length: of the renderer, of its ffmpeg processes, and of the daemon.

python -m tests.bench.bench_memory [SHORT_S LONG_S LOOPED_S]     defaults: 10 600 60 seconds of 1080p

Three renders: SHORT_S and LONG_S of video under a voice as long, LOOPED_S of video under a voice of LONG_S (ping-pong).
The daemon gets SHORT_S and LONG_S of video under four seconds of voice; it copies, probes and publishes both.
The exit status is 1 if the peaks differ by more than 15 %.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from heygemd.config.schema import Limits, Render
from heygemd.protocol import Done, Event, Failed, Progress, Ready, RenderRequest, parse

from .. import media_factory
from ..e2e.harness import Site
from ..render.anna import X264, film

MAX_DIFFERENCE = 0.15
SAMPLE_EVERY_S = 0.1
MIB = 1 << 20


def presenter(path: Path, seconds: float, rate: str = "25", size: tuple[int, int] = (1920, 1080)) -> Path:
    """Ten seconds of `size` (width, height), repeated."""
    square = film(path.with_name("square.mp4"), min(10, seconds), size[1], rate)
    once = path.with_name("once.mp4")
    media_factory.ffmpeg("-i", square, "-vf", f"pad={size[0]}:{size[1]}:(ow-iw)/2:0:gray", *X264, once)
    media_factory.ffmpeg("-stream_loop", "-1", "-i", once, "-t", str(seconds), "-c", "copy", path)
    return path


def pss(process: psutil.Process) -> int:
    """Return a process's memory in bytes (PSS: shared pages count in part)."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def read_events(fd: int, said: list[Event | None], ready: list[float]) -> None:
    """Keep the renderer's events and the time of its Ready. They must be read, because a full pipe would stop it."""
    with os.fdopen(fd, "rb") as events:
        for line in events:
            said.append(parse(line))
            if isinstance(said[-1], Ready):
                ready.append(time.monotonic())


def measure(
    folder: Path, voice: Path, video: Path, settings: Render | None = None, models: Path | None = None,
    every_s: float = SAMPLE_EVERY_S,
) -> dict[str, Any]:  # fmt: skip
    """Render in a renderer process and sample its memory. A second run in the same folder finds the face track cached.

    every_s  seconds between samples, each of which takes CPU time
    """
    reading, writing = os.pipe()
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    (folder / "scratch").mkdir()
    job = RenderRequest(
        voice=voice, video=video, voice_digest=voice.name, video_digest=video.name, output=folder / "out.mp4",
        scratch=folder / "scratch", cache=folder / "cache", models=models or folder,
        settings=settings or Render(), limits=Limits(),
    )  # fmt: skip
    argv = [sys.executable, "-m", "heygemd.render.worker", str(folder), str(writing), str(os.getpid()), str(job.cache)]
    began, cpu = time.monotonic(), _children_cpu_s()
    peaks = {"renderer": 0, "ffmpeg": 0}
    by_phase: dict[str, int] = {}
    said: list[Event | None] = []
    ready: list[float] = []
    with subprocess.Popen(argv, pass_fds=(writing,), stdin=subprocess.PIPE) as child:
        os.close(writing)
        assert child.stdin is not None
        child.stdin.write(job.model_dump_json().encode())
        child.stdin.close()
        reader = threading.Thread(target=read_events, args=(reading, said, ready))
        reader.start()
        watched = psutil.Process(child.pid)
        while child.poll() is None:
            try:
                helpers = [p for p in watched.children(recursive=True)]
            except psutil.NoSuchProcess:
                break
            now, phase = pss(watched), next((e.phase for e in reversed(said) if isinstance(e, Progress)), "start")
            by_phase[phase] = max(by_phase.get(phase, 0), now)
            peaks["renderer"] = max(peaks["renderer"], now)
            peaks["ffmpeg"] = max(peaks["ffmpeg"], sum(pss(p) for p in helpers))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(every_s)
    reader.join()
    last = said[-1]
    if isinstance(last, Failed):
        raise SystemExit(f"{last.code} {last.fields} {last.detail}")
    assert isinstance(last, Done)
    seconds = round(time.monotonic() - began, 1)
    shown, by_phase = ({name: round(peak / MIB) for name, peak in each.items()} for each in (peaks, by_phase))
    used = round(_children_cpu_s() - cpu, 1)
    facts = {"frames": last.result.frames, "seconds": seconds, "start_s": round(ready[0] - began, 1), "cpu_s": used}
    facts["peak_mib"] = shown
    return {**facts, "renderer_mib": by_phase, "phases": last.result.seconds}


def _children_cpu_s() -> float:
    """Return the CPU time of the ended child processes: the renderer and all that it started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def daemon(video_s: float) -> int:
    """Return the peak memory in MiB of a daemon that has finished one job with a video of `video_s`."""
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as temp, contextlib.closing(Site(Path(temp))) as site:
        voice, video = media_factory.audio(site.root / "voice.wav", 4.0), presenter(site.root / "anna.mp4", video_s)
        process = site.start()
        site.drop("job", voice__wav=voice, anna__mp4=video)
        site.finished("job", patience_s=3600)
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) >> 10


def main(short_s: float = 10, long_s: float = 600, looped_s: float = 60) -> int:
    """Measure the three renders, print them, compare."""
    cases = {"short": (short_s, short_s), "long": (long_s, long_s), "ping-pong": (looped_s, long_s)}
    results: dict[str, dict[str, Any]] = {}
    for name, (video_s, voice_s) in cases.items():
        with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as temp:
            folder = Path(temp)
            voice = media_factory.audio(folder / "voice.wav", voice_s)
            video = presenter(folder / "video.mp4", video_s)
            results[name] = measure(folder, voice, video)
        print(name, json.dumps(results[name]), flush=True)
    peaks = {p: [result["peak_mib"][p] for result in results.values()] for p in ("renderer", "ffmpeg")}
    peaks["daemon"] = [daemon(short_s), daemon(long_s)]
    apart = {part: max(each) / min(each) - 1 for part, each in peaks.items()}
    for part, each in peaks.items():
        print(f"{part}: {' '.join(map(str, each))} MiB, {apart[part]:.0%} apart")
    return 0 if max(apart["renderer"], apart["daemon"]) <= MAX_DIFFERENCE else 1


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
