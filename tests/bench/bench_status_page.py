"""The cost of the share's status page with many jobs: python -m tests.bench.bench_status_page [JOBS]"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from heygemd.config.schema import Config
from heygemd.daemon.status import share_pages
from heygemd.daemon.status.snapshot import JobView, Snapshot, VideoView
from heygemd.i18n import catalog
from heygemd.storage import share_layout

ROUNDS = 20


def snapshot(jobs: int) -> Snapshot:
    """Return a snapshot in which half of the jobs are queued and half are waiting, with three videos each."""
    languages = Config().pages.languages
    videos = tuple(VideoView(name=f"presenter {n}.mp4", state="waiting") for n in range(3))
    queue = tuple(JobView(id=f"q{n}", name=f"job {n}", state="ready", videos=videos) for n in range(jobs // 2))
    why = catalog.texts("needs_audio", {}, languages)
    waiting = tuple(JobView(id=f"w{n}", name=f"half {n}", state="waiting", text=why) for n in range(jobs - jobs // 2))
    return Snapshot(state="working", queue=queue, waiting=waiting, updated="2026-01-01T00:00:00+00:00")


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median CPU time of some rounds in ms, which hardly depends on the machine's other load."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return sorted(times)[ROUNDS // 2]


def main(jobs: int) -> None:
    shown, config = snapshot(jobs), Config()
    content = share_pages.share_files(shown, config)
    with tempfile.TemporaryDirectory() as folder:
        made = milliseconds(lambda: share_pages.share_files(shown, config))
        share_layout.create(Path(folder))
        written: dict[str, bytes] = {}
        share_pages.write(Path(folder), written, content, None)

        def write() -> None:
            written.pop("status.js"), written.pop("status.json")
            share_pages.write(Path(folder), written, content, None)

        wrote = milliseconds(write)
    sizes = ", ".join(f"{name} {len(data) / 1024:.0f} KiB" for name, data in content.items())
    print(f"{jobs} jobs: {made:.1f} ms of CPU time to make, {wrote:.1f} ms to write ({sizes})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
