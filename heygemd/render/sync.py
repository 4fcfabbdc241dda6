"""The finished file judged by itself: its counts and times, and whether the lips move with the voice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import Limits
from ..errors import EngineError, InputError
from ..media import probe
from ..protocol import CONTROL_MS, Verdict
from . import video
from .engines.base import VOICE_RATE_HZ
from .faces import Tracker
from .geometry import eye_distance

UPPER_LIP, LOWER_LIP = 13, 14
RATE_HZ = 100
BAND_HZ = (2.0, 8.0)
REACH_S = 0.4
SAMPLE_S = 60.0
SHORTEST_S = 2.5
SOUND_SLACK_S = 0.07
"""An AAC packet is 21 to 64 ms of sound; the last one is padded."""
SURE, CERTAIN = 1.0, 2.0
"""Confidence from which an offset is told, and from which it can fail a video.

On 117 clips of people and their own voice the median of the sure offsets is 0 ms; with another person's voice 0.8 %
give a sure offset beyond 120 ms and 0.07 % a certain one (7406 pairs)."""
SHORTEST_FRAME_MS = 40.0

Signal = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """What the finished file must be."""

    frames: int
    fps: Fraction
    width: int
    height: int
    sound_s: Fraction


def gate(path: Path, expected: Expected, limits: Limits) -> probe.Measured:
    """Return the file's measures. Raises EngineError("output_invalid", reason=...) if they are not as expected."""
    try:
        seen = probe.measure(path, limits)
    except InputError as error:
        raise EngineError("output_invalid", reason="unreadable", detail=error.detail) from None
    frame_s = float(1 / expected.fps)
    video_s, sound_s = expected.frames * frame_s, float(expected.sound_s)
    checks = {
        "streams": seen.codecs == ("h264", "aac"),
        "frames": seen.frames == expected.frames,
        "size": (seen.width, seen.height) == (expected.width, expected.height),
        "fps": abs(seen.fps / expected.fps - 1) < 1e-4,
        "video_start": abs(seen.video_start_s) < frame_s / 2,
        "audio_start": abs(seen.audio_start_s) < SOUND_SLACK_S,
        "video_duration": abs(seen.video_s - video_s) < frame_s / 2,
        "audio_duration": abs(seen.audio_s - sound_s) < max(frame_s, SOUND_SLACK_S),
    }
    wrong = [name for name, good in checks.items() if not good]
    if wrong:
        raise EngineError("output_invalid", reason=", ".join(wrong), detail=f"{seen} instead of {expected}")
    return seen


def mouth(path: Path, tracker: Tracker, limits: Limits, scratch: Path, progress: Callable[[int], None]) -> Signal:
    """Return (T,) gaps of the inner lips in eye distances, NaN without a face, of the file's first SAMPLE_S."""
    picture = video.describe(path, limits)
    images, decode = video.small_frames(picture, round(SAMPLE_S * picture.fps))
    try:
        size = (picture.width, picture.height)
        track, _ = tracker.track(images, size, picture.fps, scratch / "measured.f32", progress, min_share=0.0)
    except InputError:  # no face at all is nothing to measure; who may show none was decided before
        return np.zeros(0)
    finally:
        decode.close()
    gaps = np.full(len(track), np.nan)
    for start in range(0, len(track), 256):
        points = track.points(start, min(start + 256, len(track)))
        lips = np.linalg.norm(points[:, UPPER_LIP] - points[:, LOWER_LIP], axis=1)
        gaps[start : start + len(points)] = lips / np.maximum(eye_distance(points), 1e-6)
    return gaps


def offset(gaps: Signal, fps: Fraction, voice: NDArray[np.float32]) -> tuple[float | None, float]:
    """Return (lips behind the voice in ms or None, confidence).

    The opening of the lips and the loudness of the voice share the rhythm of syllables (Chandrasekaran 2009): both are
    band-passed and correlated over +-REACH_S. Confidence compares the peak with what the same signals give at shifts
    that cannot be true; from SURE on, an offset counts.
    """
    opening, sound = _opening(gaps, fps), _band(loudness(voice, len(gaps) / float(fps), RATE_HZ))
    length = min(len(opening), len(sound))
    if length < SHORTEST_S * RATE_HZ or not opening[:length].any() or not sound[:length].any():
        return None, 0.0
    curve = _correlation(opening[:length], sound[:length])
    reach = round(REACH_S * RATE_HZ)
    lags = np.arange(-reach, reach + 1)
    near = np.array([curve[lag % length] for lag in lags])
    best = int(near.argmax())
    far = np.delete(curve, lags % length)
    rivals = np.delete(near, np.s_[max(0, best - 10) : best + 11])
    doubt = max(np.quantile(far, 0.999) if len(far) > 100 else 1.0, rivals.max(), 0.15)
    confidence = round(max(0.0, 2 * float(near[best] / doubt) - 2), 3)
    offset_ms = 1000.0 * int(lags[best]) / RATE_HZ
    return (offset_ms if confidence >= SURE else None), confidence


def judge(gaps: Signal, fps: Fraction, voice: NDArray[np.float32]) -> Verdict:
    """Return `offset` and its controls: with the sound CONTROL_MS earlier, and with the sound backwards."""
    offset_ms, confidence = offset(gaps, fps, voice)
    moved_ms, _ = offset(gaps, fps, voice[CONTROL_MS * VOICE_RATE_HZ // 1000 :])
    _, backwards = offset(gaps, fps, voice[: int(len(gaps) / fps * VOICE_RATE_HZ)][::-1])
    return Verdict(
        fps=f"{fps.numerator}/{fps.denominator}",
        offset_ms=offset_ms,
        offset_confidence=confidence,
        moved_ms=None if moved_ms is None or offset_ms is None else moved_ms - offset_ms,
        backwards_confidence=backwards,
    )


def wrong(verdict: Verdict, fps: Fraction, max_frames: int) -> bool:
    """Whether the lips are certainly off by more than `max_frames` (of 25 fps where the video has more)."""
    limit_ms = max_frames * max(SHORTEST_FRAME_MS, 1000 / float(fps))
    return verdict.offset_confidence >= CERTAIN and abs(verdict.offset_ms or 0.0) > limit_ms


def _opening(gaps: Signal, fps: Fraction) -> Signal:
    """Return the gaps at RATE_HZ, band-passed; holes are bridged."""
    seen = np.flatnonzero(np.isfinite(gaps))
    if len(seen) < 2:
        return np.zeros(0)
    times = (np.arange(len(gaps)) + 0.5) / float(fps)
    grid = np.arange(int(len(gaps) / float(fps) * RATE_HZ)) / RATE_HZ
    return _band(np.interp(grid, times[seen], gaps[seen]))


def loudness(voice: NDArray[np.float32], seconds: float, rate_hz: int) -> Signal:
    """Return the root loudness of the first `seconds` of a voice, at `rate_hz`."""
    hop = VOICE_RATE_HZ // rate_hz
    count = min(len(voice), int(seconds * VOICE_RATE_HZ)) // hop
    power = np.square(voice[: count * hop].astype(np.float64)).reshape(count, hop).mean(1)
    return np.asarray(power**0.25)


def _band(signal: Signal) -> Signal:
    """Return the part of the signal within BAND_HZ, without delay; the edges of the band are soft."""
    if len(signal) < RATE_HZ:
        return np.zeros(0)
    low, high = BAND_HZ
    hertz = np.fft.rfftfreq(2 * len(signal), 1 / RATE_HZ)
    gain = 1 / np.sqrt(1 + (low / np.maximum(hertz, 1e-9)) ** 8) / np.sqrt(1 + (hertz / high) ** 8)
    mirrored = np.concatenate([signal, signal[::-1]]) - signal.mean()
    band: Signal = np.fft.irfft(np.fft.rfft(mirrored) * gain, len(mirrored))[: len(signal)]
    return band


def _correlation(a: Signal, b: Signal) -> Signal:
    """Return (n,) circular correlation: at index k, `a` is taken to be k steps behind `b`."""
    a, b = a - a.mean(), b - b.mean()
    product = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), len(a))
    curve: Signal = product / max(float(np.sqrt((a @ a) * (b @ b))), 1e-12)
    return curve
