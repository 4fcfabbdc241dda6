"""Small real media files, made by ffmpeg when a test runs; nothing is downloaded or kept."""

from __future__ import annotations

import os
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


def amr(path: Path, seconds: float = 1) -> Path:
    """Write AMR at 12.2 kbit/s, frame by frame (RFC 4867, section 5): Debian's ffmpeg only reads it."""
    frame = bytes([7 << 3 | 4, *(number * 37 % 256 for number in range(31))])
    path.write_bytes(b"#!AMR\n" + frame * round(50 * seconds))
    return path


def speech(
    path: Path, channels: Sequence[tuple[float, float]] = ((1, 0),), other: str = "", seconds: float = 6
) -> Path:
    """Write a 48 kHz WAV with a channel for each (share of the demo's voice, share of the lavfi source `other`)."""
    voice = _samples("-i", VOICE, seconds=seconds)
    beside = _samples("-f", "lavfi", "-i", other, seconds=seconds) if other else np.zeros_like(voice)
    mixed = np.stack([a * voice + b * beside[: len(voice)] for a, b in channels], 1)
    with wave.open(str(path), "wb") as file:
        file.setparams((len(channels), 2, 48_000, 0, "NONE", ""))
        file.writeframes((mixed * 32767).clip(-32768, 32767).astype("<i2").tobytes())
    return path


def _samples(*source: str | Path, seconds: float) -> NDArray[np.float32]:
    argv = ["ffmpeg", "-nostdin", "-v", "error", *map(str, source), "-t", str(seconds)]
    decoded = subprocess.run([*argv, "-ac", "1", "-ar", "48000", "-f", "f32le", "-"], check=True, capture_output=True)
    return np.frombuffer(decoded.stdout, "<f4")


def audio(path: Path, seconds: float = 1, rate: int = 44100, options: Sequence[str] = ()) -> Path:
    """Make a tone that is like syllables: 440 Hz, rising and falling four times a second."""
    tone = f"aevalsrc=0.5*sin(2*PI*440*t)*(0.5-0.5*cos(2*PI*4*t)):s={rate}:d={seconds}"
    ffmpeg("-f", "lavfi", "-i", tone, *options, path)
    return path


def samples(path: Path, rate: int = 16000) -> NDArray[np.float32]:
    """The sound of a file, mono, at its own times from the file's start on: silence where it has gaps."""
    timed = ["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0:min_hard_comp=0.01"]
    argv = ["ffmpeg", "-v", "error", "-itsoffset", "0.000001", "-i", path, *timed, "-ac", "1", "-ar", str(rate)]
    done = subprocess.run([*map(str, argv), "-f", "f32le", "-"], check=True, capture_output=True)
    return np.frombuffer(done.stdout, "<f4")


def lag_ms(late: NDArray[np.float32], early: NDArray[np.float32], rate: int = 16000) -> float:
    """By how much the first sound lies behind the second, by cross-correlation."""
    size = 1 << (len(late) + len(early)).bit_length()
    curve = np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size)))
    peak = int(curve.argmax())
    return 1000 * (peak - size if peak > size // 2 else peak) / rate
