"""The queueing simulation behind docs/scaling.md: which part of heygemd is full first, from 1 to 1000 GPUs.

python docs/scaling.py [OUT]     draws OUT/*.svg (default: docs/scaling) and prints the tables of scaling.md

Every video passes the share's thread (copied in), a place where it is rendered, and the share's thread again (the
result copied out); the daemon's own loop works for each of them. Everything is first come, first served. Arrivals are
Poisson over a working day. All times are seconds. The same seed gives the same figures.
"""

from __future__ import annotations

import heapq
import random
import sys
from collections import deque
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

DAY_S = 10 * 3600
SAMPLE = 4000
"""Videos simulated at most: so many in the middle of the day tell how it is."""
GPUS = (1, 10, 100, 1000)
VIDEOS_A_DAY = (1, 10, 100, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
FULL = 0.9
"""Above this share of its time at work a station's queue grows beyond measure at every burst."""


@dataclass(frozen=True)
class Costs:
    """What a video costs each station, and what bounds it.

    copy_mib_s            of one copy with its check, `python -m tests.bench.bench_daemon_overhead`
    head_s                CPU time of the daemon for each video, the same
    probe_s               ffprobe on the share's thread for each video, the same
    queued_s_per_s        CPU time of the daemon for a waiting folder, per second: `bench_long_queue` (docs/measured.md)
    page_kib              of the status page for each folder shown, each PAGE_S: `bench_status_page` (docs/measured.md)
    video_mib, result_mib the size of a video and of its result; an assumption: a minute of 1080p
    render_s, spread      of one video on one GPU and its coefficient of variation; an assumption: real time
    share_mib_s           what the share itself moves for all who use it; an assumption: 10 Gbit/s
    heads                 daemons, each with a share of its own
    direct                nodes read, look into and write the share's files themselves; the daemon moves names only
    """

    copy_mib_s: float = 165.0
    head_s: float = 0.030
    probe_s: float = 0.12
    queued_s_per_s: float = 0.0205 / 1000
    page_kib: float = 202 / 500
    video_mib: float = 60.0
    result_mib: float = 40.0
    render_s: float = 60.0
    spread: float = 0.5
    share_mib_s: float = 1100.0
    heads: int = 1
    direct: bool = False


PAGE_S = 5.0
TODAY = Costs()
DESIGNS = {
    "today: the daemon copies": TODAY,
    "nodes read the share": replace(TODAY, direct=True, probe_s=0.0),
    "10 heads, 10 shares": replace(TODAY, direct=True, probe_s=0.0, heads=10),
}


def io_s(costs: Costs, mib: float) -> float:
    """Return how long one head's share thread is busy with so much."""
    rate = costs.share_mib_s if costs.direct else min(costs.copy_mib_s, costs.share_mib_s)
    return mib / rate


def load(costs: Costs, gpus: int, videos: int) -> dict[str, float]:
    """Return the share of its time that each station is at work, while it keeps up."""
    rate = videos / DAY_S / costs.heads
    return {
        "GPUs": videos / DAY_S * costs.render_s / gpus,
        "share": rate * (costs.probe_s + io_s(costs, costs.video_mib + costs.result_mib)),
        "head": rate * costs.head_s,
    }


def capacity(costs: Costs, gpus: int) -> dict[str, float]:
    """Return how many videos a day each station can do."""
    return {name: FULL / busy for name, busy in load(costs, gpus, 1).items()}


@cache
def simulate(costs: Costs, gpus: int, videos: int, seed: int = 1) -> tuple[float, float]:
    """Return median and 95th percentile of the seconds from arrival to result, over a sample of one head's videos."""
    chance = random.Random(seed)
    own, places = max(1, videos // costs.heads), max(1, gpus // costs.heads)
    number = min(SAMPLE, own)
    shape = 1 / costs.spread**2
    work = [chance.gammavariate(shape, costs.render_s / shape) for _ in range(number)]
    moment, events = 0.0, []
    for each in range(number):
        moment += chance.expovariate(own / DAY_S)
        events.append((moment, each, "in"))
    arrived = [when for when, _, _ in events]
    waiting: deque[int] = deque()
    thread_free, took = 0.0, []
    while events:  # already a heap: sorted
        now, each, what = heapq.heappop(events)
        if what in ("in", "out"):
            busy_s = io_s(costs, costs.video_mib) + costs.probe_s if what == "in" else io_s(costs, costs.result_mib)
            thread_free = max(now, thread_free) + busy_s + costs.head_s / 2
            heapq.heappush(events, (thread_free, each, "ready" if what == "in" else "done"))
        elif what == "done":
            took.append(now - arrived[each])
        elif what == "ready":
            waiting.append(each)
        else:
            places += 1
            heapq.heappush(events, (now, each, "out"))
        while places and waiting:
            places -= 1
            begun = waiting.popleft()
            heapq.heappush(events, (now + work[begun], begun, "rendered"))
    took.sort()
    return took[len(took) // 2], took[int(0.95 * (len(took) - 1))]


def keeps_up(costs: Costs, gpus: int, videos: int) -> bool:
    """Whether no station is full."""
    return max(load(costs, gpus, videos).values()) <= FULL


def table() -> list[str]:
    """Return rows in Markdown: the first full station for each number of GPUs and videos, or the 95th percentile."""
    rows = ["| videos a day | " + " | ".join(f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS) + " |"]
    rows.append("| --- |" + " --- |" * len(GPUS))
    for videos in VIDEOS_A_DAY:
        cells = []
        for gpus in GPUS:
            busy = load(TODAY, gpus, videos)
            full = [f"{name} {100 * each:.0f} %" for name, each in busy.items() if each > FULL]
            cells.append("full: " + ", ".join(full) if full else _span(simulate(TODAY, gpus, videos)[1]))
        rows.append(f"| {videos:,} | " + " | ".join(cells) + " |")
    return rows


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def limits() -> list[str]:
    """Return rows in Markdown: what each design's stations can do in a day with 1000 GPUs."""
    rows = ["| design | 1000 GPUs | share | head |", "| --- | --- | --- | --- |"]
    for name, costs in DESIGNS.items():
        can = capacity(costs, 1000)
        rows.append(
            f"| {name} | " + " | ".join(f"{round(can[key], -3):,.0f}" for key in ("GPUs", "share", "head")) + " |"
        )
    return rows


def backlog(folders: int) -> tuple[float, float]:
    """Return the share of a core that the daemon spends on so many waiting folders, and the page's MiB a second."""
    return folders * TODAY.queued_s_per_s, folders * TODAY.page_kib / 1024 / PAGE_S


def _chart(kind: str, title: str, **more: Any) -> Any:
    import pygal

    plain = {"js": [], "title": title, "width": 900, "height": 480, "legend_at_bottom": True, "truncate_legend": -1}
    return getattr(pygal, kind)(**plain, **more)


def draw(folder: Path) -> None:
    """Draw all plots as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = [f"{videos:,}" for videos in VIDEOS_A_DAY]
    axes = {"x_title": "videos a day", "x_label_rotation": 30}
    delay = _chart("Line", "From arrival to result, 95th percentile (s), while it keeps up", logarithmic=True, **axes)
    delay.x_labels = labels
    for gpus in GPUS:
        ends = [simulate(TODAY, gpus, n)[1] if keeps_up(TODAY, gpus, n) else None for n in VIDEOS_A_DAY]
        delay.add(f"{gpus} GPU{'s' * (gpus > 1)}", ends)
    busy = _chart("Line", "Share of its time that a station is at work (%), 1000 GPUs", range=(0, 120), **axes)
    busy.x_labels = labels
    for name in ("GPUs", "share", "head"):
        busy.add(name, [min(120, 100 * load(TODAY, 1000, videos)[name]) for videos in VIDEOS_A_DAY])
    able = _chart("Line", "Videos a day that can be done", logarithmic=True, x_title="GPUs")
    able.x_labels = [str(gpus) for gpus in GPUS]
    for name, costs in DESIGNS.items():
        able.add(name, [min(capacity(costs, gpus).values()) for gpus in GPUS])
    queue = _chart("Line", "Folders that wait: processor and page", logarithmic=True, x_title="waiting folders")
    folders = (100, 1000, 10_000, 100_000, 1_000_000)
    queue.x_labels = [f"{number:,}" for number in folders]
    queue.add("daemon, % of a core", [100 * backlog(number)[0] for number in folders])
    queue.add("page, MiB/s for each viewer", [backlog(number)[1] for number in folders])
    for name, chart in {"delay": delay, "stations": busy, "designs": able, "backlog": queue}.items():
        (folder / f"{name}.svg").write_bytes(chart.render())


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("scaling"))
    print("\n".join([*table(), "", *limits()]))
