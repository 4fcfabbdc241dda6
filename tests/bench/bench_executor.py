"""The overhead of a Ray cluster for each video, against the same renderer started by the daemon itself.

python -m tests.bench.bench_executor [VIDEOS]     default: 4

Each executor renders VIDEOS one-second videos, one after the other, none of which is in a cache. The cluster is real: a
head and a node with one processor, on this machine. The first video, for which Ray starts a worker process, is reported
separately.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.daemon.executors.clusters import cluster, settings
from tests.daemon.executors.test_local import Place
from tests.media_factory import audio
from tests.render.anna import film


def measure(place: Place, videos: int) -> list[float]:
    """Return seconds for each video, from the request to the result on the daemon's disk."""
    voice = audio(place.root / "voice.wav", 1)

    async def story(p: Place) -> list[float]:
        found = []
        for number in range(videos):
            shown = film(p.root / f"{number}.mp4", 1, size=160 + 2 * number)
            before = time.perf_counter()
            await p.render(voice, shown, str(number))
            found.append(time.perf_counter() - before)
        return found

    found: list[float] = place.run(story)
    return found


def report(name: str, found: list[float]) -> float:
    median = statistics.median(found)
    print(f"{name}: {median:.2f} s a video ({min(found):.2f} to {max(found):.2f}, {len(found)} videos)")
    return median


def main(videos: int = 4) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-executor-") as folder:
        (here := Path(folder) / "local").mkdir()
        alone = report("local", measure(Place(here, {"workers": 1}), videos))
        (there := Path(folder) / "ray").mkdir()
        with cluster(1) as started:
            work = {"workers": 1, "executor": "ray", "ray": settings(started, there / "node")}
            found = measure(Place(there, work), videos + 1)
        print(f"ray, the first, with the connection and a new worker process: {found[0]:.2f} s")
        clustered = report("ray", found[1:])
        print(f"overhead: {clustered - alone:+.2f} s a video")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
