"""The default engine's speed at 1080p: a video's first render and its second, beside ffmpeg's plain transcode of it.

python -m tests.bench.bench_speed [SECONDS | VIDEO VOICE]     default: 30 seconds of the demo's presenter and voice

Wall time of the complete renderer process: start, probe, track, render, encode, measure. A daemon starts the process
before it copies the video, so a job often does not wait for the start; the rate is reported with and without it. The
transcode uses the same encoder settings and is the lower bound.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from heygemd.config.schema import Render
from heygemd.render.video import encode_mux

from .. import media_factory
from .bench_memory import measure, presenter


def main(*given: str) -> None:
    """Print three lines."""
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as temp:
        folder = Path(temp)
        video, voice = (
            (Path(path) for path in given) if len(given) == 2 else presenter_and_voice(folder, float((*given, 30)[0]))
        )
        began = time.monotonic()
        same = [word for key, value in encode_mux.x264(Render()).items() for word in (f"-{key}", str(value))]
        media_factory.ffmpeg("-i", video, *same, folder / "transcoded.mp4")
        floor_s = time.monotonic() - began
        for name in ("first render", "second render"):
            facts = measure(folder, voice, video, every_s=1.0)
            seconds, start_s = facts["seconds"], facts["start_s"]
            total, started = facts["frames"] / seconds, facts["frames"] / (seconds - start_s)
            print(f"{name}: {facts['frames']} frames in {seconds} s, {total:.1f} fps,", end=" ")
            print(f"{started:.1f} fps after the {start_s} s of its start;", end=" ")
            print(f"{facts['cpu_s']} s of CPU time; {facts['phases']}", flush=True)
        print(f"plain transcode: {floor_s:.1f} s")


def presenter_and_voice(folder: Path, seconds: float, size: tuple[int, int] = (1920, 1080)) -> tuple[Path, Path]:
    """Make a video of the demo's presenter, and a voice as long."""
    voice = folder / "voice.wav"
    media_factory.ffmpeg("-stream_loop", "-1", "-i", media_factory.VOICE, "-t", str(seconds), voice)
    return presenter(folder / "anna.mp4", seconds, size=size), voice


if __name__ == "__main__":
    main(*sys.argv[1:])
