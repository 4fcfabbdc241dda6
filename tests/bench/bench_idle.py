"""The idle daemon's memory and processor share, over a minute, with a few waiting folders in the inbox."""

import tempfile
import time
from pathlib import Path

import psutil

from tests.e2e.harness import Site

WARM_UP_S, MEASURE_S = 10, 60


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        site = Site(Path(root), inbox={"poll_s": 5, "settle_local_s": 15}, people={"page_refresh_s": 5})
        for number in range(5):
            (site.drop(f"waiting-{number}") / "notes.txt").write_text("no media yet")
        process = psutil.Process(site.start().pid)
        time.sleep(WARM_UP_S)
        before = sum(process.cpu_times()[:2])
        time.sleep(MEASURE_S)
        used_s = sum(process.cpu_times()[:2]) - before
        memory_mb = process.memory_info().rss / 1e6
        site.close()
    print(f"idle daemon: {memory_mb:.0f} MB resident, {100 * used_s / MEASURE_S:.2f} % of a core")


if __name__ == "__main__":
    main()
