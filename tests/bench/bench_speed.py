"""The default engine's speed: a video's first render and its second, beside ffmpeg's plain transcode of it.

python -m tests.bench.bench_speed [SECONDS [SIZE ...] | VIDEO VOICE]     default: 30 1080p25

Of each SIZE (720p25, 2160p25, 1080p60 …) a video of the demo's presenter is made. Wall time of the complete renderer
process: start, probe, track, render, encode, measure. A daemon starts the process before it copies the video, so a
job often does not wait for the start, which is reported apart. The transcode uses the same encoder settings and is the
lower bound. A machine's speed changes from minute to minute: each render is compared with the transcode just before
it, and of RUNS such runs the medians are printed.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from heygemd.config.schema import Render
from heygemd.render.video import encode_mux

from .. import media_factory
from .bench_memory import measure, presenter

RUNS = 5
WIDTHS = {720: 1280, 1080: 1920, 2160: 3840}


def main(*given: str) -> None:
    """Print a line for each run and one of medians for each video."""
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as temp:
        for name, video, voice in _videos(Path(temp), *given):
            runs = [_run(Path(temp), name, video, voice) for _ in range(RUNS)]
            print(f"{name}, medians of {RUNS}: {_medians(runs)}", flush=True)


def _videos(folder: Path, *given: str) -> Iterator[tuple[str, Path, Path]]:
    """Yield name, video and voice of what is to be measured; an argument that is no number is a file."""
    if len(given) == 2 and not re.fullmatch(r"[\d.]+", given[0]):
        yield Path(given[0]).name, Path(given[0]), Path(given[1])
        return
    for size in given[1:] or ("1080p25",):
        height, _, rate = size.partition("p")
        shape = WIDTHS[int(height)], int(height)
        yield size, *presenter_and_voice(folder, float(given[0] if given else 30), shape, rate)


def _run(folder: Path, name: str, video: Path, voice: Path) -> dict[str, float]:
    """Transcode and render once; print and return the figures, seconds unless the name says otherwise."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    floor_s = _transcode_s(video, folder / "transcoded.mp4")
    figures = {"transcode": floor_s}
    for which in ("first", "second"):
        facts: dict[str, Any] = measure(folder, voice, video, every_s=1.0)
        phases = {"start": facts["start_s"], **facts["phases"]}
        figures |= {which: facts["seconds"], f"{which} / transcode": facts["seconds"] / floor_s}
        figures |= {f"{which}, fps": facts["frames"] / facts["seconds"], f"{which}, CPU": facts["cpu_s"]}
        figures |= {f"{which}, {phase}": seconds for phase, seconds in phases.items()}
    print(f"{name}: {_shown(figures)}", flush=True)
    return figures


def _transcode_s(video: Path, target: Path) -> float:
    same = [word for key, value in encode_mux.x264(Render()).items() for word in (f"-{key}", str(value))]
    began = time.monotonic()
    media_factory.ffmpeg("-i", video, *same, target)
    return time.monotonic() - began


def _medians(runs: list[dict[str, float]]) -> str:
    return _shown({name: median(run[name] for run in runs) for name in runs[0]})


def _shown(figures: dict[str, float]) -> str:
    return "; ".join(f"{name} {value:.2f}" for name, value in figures.items())


def presenter_and_voice(
    folder: Path, seconds: float, size: tuple[int, int] = (1920, 1080), rate: str = "25"
) -> tuple[Path, Path]:
    """Make a video of the demo's presenter, and a voice as long."""
    voice = folder / "voice.wav"
    media_factory.ffmpeg("-stream_loop", "-1", "-i", media_factory.VOICE, "-t", str(seconds), voice)
    return presenter(folder / "anna.mp4", seconds, rate, size), voice


if __name__ == "__main__":
    main(*sys.argv[1:])
