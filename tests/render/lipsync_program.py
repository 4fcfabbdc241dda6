"""A lip-sync program as others write them, for the engine `command`: it paints where a mouth may be, or misbehaves.

python lipsync_program.py MODE VIDEO AUDIO OUTPUT FPS
"""

from __future__ import annotations

import subprocess
import sys
import time
import wave
from pathlib import Path

OPTIONS = {
    "good": [],
    "plain": [],
    "flood": [],
    "elsewhere": [],
    "short": ["-frames:v", "46"],  # drops its tail, as the original Wav2Lip does
    "very short": ["-frames:v", "3"],
    "other rate": ["-r", "15"],
    "smaller": ["-s", "80x60"],
    "other shape": ["-s", "160x60"],
}
"""Options for ffmpeg in the modes that make a video."""
RED = "drawbox=x=iw/3:y=ih/2:w=iw/3:h=ih/4:t=fill:color=red"


def paint(mode: str, video: str, output: str) -> None:
    if mode == "elsewhere":
        Path("results").mkdir(exist_ok=True)
        assert Path("weights.txt").read_text() == "weights"
        output = "results/done_v1.mp4"
    if mode == "flood":
        print("x" * 5_000_000)
    if mode == "good":
        for percent in range(0, 101, 25):
            print(f"\rsyncing: {percent:3d}%|##  |", end="", file=sys.stderr, flush=True)
            time.sleep(0.3)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", video, "-vf", RED, *OPTIONS[mode], output], check=True)


def main(mode: str, video: str, audio: str, output: str, fps: str) -> None:
    with wave.open(audio) as sound:
        print(f"{video} {sound.getnframes() / sound.getframerate():.2f} s at {fps} fps", flush=True)
    if mode in OPTIONS:
        paint(mode, video, output)
    elif mode == "fail":
        print("Traceback: CUDA driver is too old", file=sys.stderr)
        sys.exit(3)
    elif mode == "hang":
        subprocess.Popen(["sleep", "600"])
        time.sleep(600)
    elif mode == "garbage":
        Path(output).write_bytes(bytes(range(256)) * 40)
    elif mode != "nothing":
        raise SystemExit(f"unknown mode {mode}")


if __name__ == "__main__":
    main(*sys.argv[1:])
