"""Checks the finished file: streams, number and size of frames, start times and durations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ...config.schema import Limits
from ...errors import EngineError, InputError
from ...media import probe

SOUND_SLACK_S = 0.07
"""An AAC packet is 21 to 64 ms of sound; the last one is padded."""
FPS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class ExpectedOutput:
    """What the finished file must be."""

    frames: int
    fps: Fraction
    width: int
    height: int
    sound_s: Fraction
    subtitles: int = 0


@contextmanager
def blame_us() -> Iterator[None]:
    """Turn what is wrong with a file of ours into EngineError("output_invalid"): people's files are not to blame."""
    try:
        yield
    except InputError as error:
        raise EngineError("output_invalid", reason=error.code, detail=str(error)) from error


def check_output(path: Path, expected: ExpectedOutput, limits: Limits) -> probe.RenderedInfo:
    """Return the file's measures. Raise EngineError("output_invalid", reason=...) if they are not as expected."""
    with blame_us():
        seen = probe.measure(path, limits)
    frame_s = float(1 / expected.fps)
    video_s, sound_s = expected.frames * frame_s, float(expected.sound_s)
    checks = {
        "streams": seen.codecs == ("h264", "aac", *["mov_text"] * expected.subtitles),
        "frames": seen.frames == expected.frames,
        "size": (seen.width, seen.height) == (expected.width, expected.height),
        "fps": abs(seen.fps / expected.fps - 1) < FPS_TOLERANCE,
        "video_start": abs(seen.video_start_s) < frame_s / 2,
        "audio_start": abs(seen.audio_start_s) < SOUND_SLACK_S,
        "video_duration": abs(seen.video_s - video_s) < frame_s / 2,
        "audio_duration": abs(seen.audio_s - sound_s) < max(frame_s, SOUND_SLACK_S),
    }
    wrong = [name for name, good in checks.items() if not good]
    if wrong:
        raise EngineError("output_invalid", reason=", ".join(wrong), detail=f"{seen} instead of {expected}")
    return seen
