"""The idle daemon's memory and CPU load over a minute, with a few waiting folders, and its memory after a job."""

import tempfile
import time
from fractions import Fraction
from pathlib import Path

import psutil

from heygemd.demo import clips
from tests.e2e.harness import Site

WARM_UP_S, MEASURE_S = 10, 60


def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        site = Site(Path(root), inbox={"poll_s": 5, "settle_local_s": 15}, pages={"refresh_s": 5})
        for number in range(5):
            (site.drop(f"waiting-{number}") / "notes.txt").write_text("no media yet")
        process = psutil.Process(site.start().pid)
        time.sleep(WARM_UP_S)
        before = sum(process.cpu_times()[:2])
        time.sleep(MEASURE_S)
        used_s = sum(process.cpu_times()[:2]) - before
        memory_mb = resident_mb(process)
        work(site)
        time.sleep(WARM_UP_S)
        after_mb = resident_mb(process)
        site.close()
    share = 100 * used_s / MEASURE_S
    print(f"idle daemon: {memory_mb:.0f} MB resident, {share:.2f} % of a core; after a job {after_mb:.0f} MB")


def resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 1e6)


def work(site: Site) -> None:
    """Let the daemon render one small video and write the report."""
    clip = clips.Clip("anna.mp4", 160, 160, Fraction(25), 1.0, 200)
    clips.write(clip, clips.frames(clip, clips.portrait()), site.root)
    site.drop("job", anna__mp4=site.root / clip.name, voice__m4a=Path(clips.__file__).with_name("voice.m4a"))
    site.finished("job", patience_s=600)


if __name__ == "__main__":
    main()
