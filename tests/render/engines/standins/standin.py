"""What all stand-ins share: they paint a red mouth, talk a lot, and fail as STANDIN_FAULT says.

nothing   the program meets an error, prints it, and ends with status 0 and without a result
renamed   the result gets another name than usual
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import wave
from pathlib import Path

FAULT = os.environ.get("STANDIN_FAULT", "")
RED = "drawbox=x=iw/3:y=ih/2:w=iw/3:h=ih/4:t=fill:color=red"


def ffmpeg(*args: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, args)], check=True)


def paint(video: object, output: object, *options: str, filters: str = RED) -> None:
    """Write the result, as long as the video."""
    Path(str(output)).parent.mkdir(parents=True, exist_ok=True)
    ffmpeg("-i", video, "-vf", filters, *options, output)


def bar(label: str, steps: int = 4) -> None:
    """A progress bar as tqdm draws it: one line, rewritten, on the standard error."""
    for step in range(steps + 1):
        print(f"\r{label}{100 * step // steps:4d}%|##  | {step}/{steps}", end="", file=sys.stderr, flush=True)
        time.sleep(0.03)
    print(file=sys.stderr)


def fail_quietly() -> None:
    """End as programs do that catch everything."""
    if FAULT == "nothing":
        print("Traceback (most recent call last):\nRuntimeError: CUDA error: no kernel image")
        sys.exit(0)


def seconds(audio: object) -> float:
    """Return the length of a recording, which must be mono at 16 kHz."""
    with wave.open(str(audio)) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (1, 16_000)
        return sound.getnframes() / 16_000


def heygem(audio: str, video: str) -> None:
    """What HeyGem's run.py does: work code 1002, temporary files in the folder itself, a log, a fixed result."""
    code = "1002"
    with open("log/dh.log", "a") as log:
        print(f"[{code}] audio {audio} of {seconds(audio)} s, video {video}", file=log)
        for name in (f"{code}_format.mp4", f"{code}_temp.avi", f"{code}.wav"):
            Path(name).write_bytes(b"temporary" * 99)
        for step in range(30):
            print(f"[{code}] >>> audio_transfer: drivered_queue size {step}", flush=True)
        fail_quietly()
        paint(video, f"result/{'1003' if FAULT == 'renamed' else code}-r.mp4")
        print(f"[{code}] done", file=log)
