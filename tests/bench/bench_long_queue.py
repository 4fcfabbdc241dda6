"""The daemon with a long queue and a long history: start-up time, time to classify the queue, memory, idle CPU load.

python -m tests.bench.bench_long_queue [QUEUED DONE]     defaults: 1000 10000

A tenth of each number is measured too, for comparison. Queued jobs are complete (a voice, a face) but the inbox is
paused, so nothing is rendered. The exit status is 1 if a cost grows more than linearly, or if the daemon with an empty
inbox and the full history uses more than 1 % of a core.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

from heygemd.daemon.job_store import KEEP_FINISHED, Store
from heygemd.job import Job, Media, Video
from heygemd.protocol import Result
from tests.e2e.harness import Site, wait_for
from tests.media_factory import audio, video

QUIET_S = 40
PATIENCE_S = 1800
SLACK = 1.5
"""Tolerance for the growth of a cost, because one measurement is never exact."""


def fill(site: Site, queued: int, done: int) -> None:
    """Put complete jobs into the inbox, and finished folders with their records into done/."""
    voice, face = audio(site.root / "voice.wav", 1), video(site.root / "face.mp4", 1, "160x160")
    (site.share / "inbox" / "PAUSE").touch()
    for number in range(queued):
        folder = site.share / "inbox" / f"queued {number:05d}"
        folder.mkdir()
        os.link(voice, folder / "voice.wav")
        os.link(face, folder / "anna.mp4")
    for number in range(done):
        folder = site.share / "done" / f"done {number:05d}"
        (folder / "originals").mkdir(parents=True)
        for name in ("originals/voice.wav", "originals/anna.mp4", "anna.mp4", "report.html"):
            os.link(voice, folder / name)
    store = Store(site.root / "state")
    for number in range(min(done, KEEP_FINISHED)):
        store.save(_finished(f"done {number:05d}", number))


def _finished(name: str, number: int) -> Job:
    media = [Media(name=n, size=9, mtime_ns=9) for n in ("voice.wav", "anna.mp4")]
    result = Result(frames=25, fps="25/1", duration_s=1, width=160, height=160, engine="mesh", tracker="facemesh")
    shown = Video(source=media[1], output="anna.mp4", state="done", result=result)
    return Job(
        id=f"20260101-000000-{number:06d}", name=name, arrived=number, folder=name, voice=media[0], videos=[shown],
        phase="finished", destination=f"done/{name}", finished=number,
    )  # fmt: skip


def measure(queued: int, done: int) -> dict[str, float]:
    """Return times and memory of a daemon with that many folders."""
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as root:
        site = Site(Path(root), inbox={"poll_s": 5, "settle_local_s": 2}, pages={"refresh_s": 5})
        fill(site, queued, done)
        began = time.monotonic()
        process = psutil.Process(site.start().pid)
        wait_for(lambda: "READY=1" in site.notifications, "READY", PATIENCE_S)
        ready_s = time.monotonic() - began

        def classified() -> bool:
            return sum(job["state"] == "ready" for job in site.status()["queue"]) == queued

        wait_for(classified, "the queue classified", PATIENCE_S)
        classified_s = time.monotonic() - began
        time.sleep(10)
        before = sum(process.cpu_times()[:2])
        time.sleep(QUIET_S)
        used_s = sum(process.cpu_times()[:2]) - before
        memory_mb = process.memory_info().rss / 1e6
        site.close()
    return {
        "ready_s": round(ready_s, 2), "classified_s": round(classified_s, 1), "memory_mb": round(memory_mb, 1),
        "quiet_percent": round(100 * used_s / QUIET_S, 2),
    }  # fmt: skip


def main(queued: int = 1000, done: int = 10_000) -> int:
    """Measure a tenth and the full number, with and without a queue, and compare."""
    good = True
    found = {}
    for size in ((0, done), (queued // 10, done // 10), (queued, done)):
        found[size] = measure(*size)
        print(f"{size[0]} queued, {size[1]} done:", json.dumps(found[size]), flush=True)
    small, large = found[queued // 10, done // 10], found[queued, done]
    for cost in ("classified_s", "quiet_percent", "memory_mb"):
        growth = large[cost] / max(small[cost], 0.01)
        print(f"{cost}: {growth:.1f} times for ten times as much")
        good &= growth <= 10 * SLACK
    idle = found[0, done]["quiet_percent"]
    print(f"idle with {done} done folders: {idle} % of a core")
    return 0 if good and idle < 1 else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
