"""Small real media files, made by ffmpeg when a test runs; nothing is downloaded or kept."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

CLIPS = Path(os.environ.get("HEYGEMD_CLIPS", Path(__file__).parents[2] / "shared" / "clips"))
"""Recordings of real people, for tests on the developers' machines."""
VOICE = Path(__file__).parents[1] / "heygemd" / "demo" / "voice.m4a"


def ffmpeg(*args: str | Path) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)], check=True)


def video(
    path: Path,
    seconds: float = 1,
    size: str = "320x180",
    rate: str = "25",
    options: Sequence[str] = (),
    filters: str = "null",
    sound: bool = False,
) -> Path:
    """Make a video of a moving test pattern, with or without a tone."""
    tone = ["-f", "lavfi", "-i", "sine=440:r=44100", "-shortest"] if sound else []
    source = f"testsrc2=s={size}:r={rate}:d={seconds},{filters}"
    ffmpeg("-f", "lavfi", "-i", source, *tone, "-t", str(seconds), *options, path)
    return path


def audio(path: Path, seconds: float = 1, rate: int = 44100, options: Sequence[str] = ()) -> Path:
    """Make a tone that is like syllables: 440 Hz, rising and falling four times a second."""
    tone = f"aevalsrc=0.5*sin(2*PI*440*t)*(0.5-0.5*cos(2*PI*4*t)):s={rate}:d={seconds}"
    ffmpeg("-f", "lavfi", "-i", tone, *options, path)
    return path
