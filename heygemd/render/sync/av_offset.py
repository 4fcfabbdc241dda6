"""The finished file judged by itself: its counts and times, and whether the lips move with the voice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...config.schema import Limits
from ...errors import EngineError, InputError
from ...media import probe
from ...protocol import CONTROL_MS, SyncMeasurement
from ..audio.mel import VOICE_RATE_HZ
from ..face.mouth_params import MOUTH_PARAMS, OPEN, measure_mouth
from ..face.pose import align
from ..face.tracker import Tracker
from ..scene import F32, Image
from ..video import decode as video
from ..video.decode import Picture
from . import syncnet
from .syncnet import SyncNet

RATE_HZ = syncnet.RATE_HZ
BAND_HZ = (2.0, 8.0)
REACH_S = 0.4
STEP_S, SAMPLE_S = 4.0, 60.0
SHORTEST_S = 2.5
SOUND_SLACK_S = 0.07
"""An AAC packet is 21 to 64 ms of sound; the last one is padded."""
ONE_PEAK = 5
"""Steps to either side that belong to one peak."""
RHYTHM, LEAST_DOUBT = 0.5, 0.2
SURE, CERTAIN = 1.0, 2.0
"""Confidence from which an offset is told, and from which it can fail a video.

On 132 clips of people and their own voice the median of the sure offsets is 0 ms; with another person's voice 0.8 %
give a sure offset beyond 120 ms and 0.13 % a certain one (778 pairs; see models/sync.md)."""
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


def gate(path: Path, expected: Expected, limits: Limits) -> probe.RenderedInfo:
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


def watch(
    picture: Picture, voice: NDArray[np.float32], tracker: Tracker, scratch: Path,
    progress: Callable[[int], None],
) -> tuple[F32, SyncMeasurement]:  # fmt: skip
    """Look at a video's first STEP_S, and on until its offset is certain, SAMPLE_S at most.

    Return (T, 5) float32 quantities of the mouth (see mouth.py), NaN without a face, and what `judge` says of them.
    """
    images, decode = video.small_frames(picture, round(SAMPLE_S * picture.fps))
    step, size = round(STEP_S * picture.fps), (picture.width, picture.height)
    lips = np.zeros((0, len(MOUTH_PARAMS)), np.float32)
    try:
        while True:
            note = partial(lambda before, count: progress(before + count), len(lips))
            part = _mouth(islice(images, step), tracker, size, picture.fps, scratch, note)
            lips = np.concatenate([lips, part])
            if len(part) < step or offset(lips, picture.fps, voice)[1] >= CERTAIN:
                return lips, judge(lips, picture.fps, voice)
    finally:
        decode.close()


def _mouth(
    images: Iterator[Image], tracker: Tracker, size: tuple[int, int], fps: Fraction, scratch: Path,
    progress: Callable[[int], None],
) -> F32:  # fmt: skip
    """Return (T, 5) quantities of all the images."""
    count = 0

    def note(number: int) -> None:
        nonlocal count
        count = number
        progress(number)

    try:
        track, _ = tracker.track(images, size, fps, scratch / "measured.f32", note, min_share=0.0)
    except InputError:  # no face at all is nothing to measure; who may show none was decided before
        return np.full((count, len(MOUTH_PARAMS)), np.nan, np.float32)
    quantities = np.full((len(track), len(MOUTH_PARAMS)), np.nan, np.float32)
    for start in range(0, len(track), 256):
        points = track.points(start, min(start + 256, len(track)))
        seen = np.flatnonzero(np.isfinite(points[:, 0, 0]))
        if len(seen):
            quantities[start + seen] = measure_mouth(align(points[seen]).to_face(points[seen]))
    return quantities


def offset(quantities: F32, fps: Fraction, voice: NDArray[np.float32]) -> tuple[float | None, float]:
    """Return (lips behind the voice in ms or None, confidence).

    Two measures are correlated over +-REACH_S and added: the opening of the lips against the loudness of the voice,
    which share the rhythm of syllables (Chandrasekaran 2009), and what `syncnet` sees against what it hears.
    Confidence compares the peak with what the same signals give at shifts that cannot be true; from SURE on, an offset
    counts. quantities (T, 5) float32 from `watch` at `fps` · voice (samples,) float32 at 16 kHz
    """
    curve = agreement(quantities, fps, voice)
    if not len(curve):
        return None, 0.0
    lags = _near()
    near, far = curve[lags], np.delete(curve, lags)
    best = int(near.argmax())
    rivals = np.delete(near, np.s_[max(0, best - ONE_PEAK) : best + ONE_PEAK + 1])
    doubt = max(np.quantile(far, 0.999) if len(far) > 50 else 1.0, rivals.max(), LEAST_DOUBT)
    confidence = round(max(0.0, 2 * float(near[best] / doubt) - 2), 3)
    return (peak_ms(curve) if confidence >= SURE else None), confidence


def agreement(quantities: F32, fps: Fraction, voice: NDArray[np.float32], net: SyncNet | None = None) -> Signal:
    """Return (n,) how well lips and voice agree with the lips k steps of RATE_HZ behind, circular; (0,) if short."""
    seconds = min(len(quantities) / float(fps), len(voice) / VOICE_RATE_HZ)
    moved = _at_rate(quantities, fps)[: int(seconds * RATE_HZ)]
    sound = loudness(voice, seconds, RATE_HZ)
    length = min(len(moved), len(sound))
    if length < SHORTEST_S * RATE_HZ or np.ptp(sound) == 0 or np.ptp(moved[:, OPEN]) == 0:
        return np.zeros(0)
    heard, seen = syncnet.embed(voice[: int(seconds * VOICE_RATE_HZ)], moved, net)
    length = min(length, len(seen))
    rhythm = _correlation(_band(moved[:length, OPEN])[:, None], _band(sound[:length])[:, None])
    return _correlation(seen[:length], heard[:length]) + RHYTHM * rhythm


def peak_ms(curve: Signal) -> float:
    """Return where within REACH_S the agreement is best."""
    lags = _near()
    return 1000.0 * int(lags[curve[lags].argmax()]) / RATE_HZ


def _near() -> NDArray[np.intp]:
    reach = round(REACH_S * RATE_HZ)
    return np.arange(-reach, reach + 1)


def judge(quantities: F32, fps: Fraction, voice: NDArray[np.float32]) -> SyncMeasurement:
    """Return `offset` and its controls: with the sound CONTROL_MS earlier, and with the sound backwards."""
    offset_ms, confidence = offset(quantities, fps, voice)
    shifted_ms, _ = offset(quantities, fps, voice[CONTROL_MS * VOICE_RATE_HZ // 1000 :])
    _, backwards = offset(quantities, fps, voice[: int(len(quantities) / fps * VOICE_RATE_HZ)][::-1])
    return SyncMeasurement(
        fps=f"{fps.numerator}/{fps.denominator}",
        offset_ms=offset_ms,
        offset_confidence=confidence,
        control_shift_ms=None if shifted_ms is None or offset_ms is None else shifted_ms - offset_ms,
        reversed_confidence=backwards,
    )


def wrong(verdict: SyncMeasurement, fps: Fraction, max_frames: int) -> bool:
    """Whether the lips are certainly off by more than `max_frames` (of 25 fps where the video has more)."""
    limit_ms = max_frames * max(SHORTEST_FRAME_MS, 1000 / float(fps))
    return verdict.offset_confidence >= CERTAIN and abs(verdict.offset_ms or 0.0) > limit_ms


def _at_rate(quantities: F32, fps: Fraction) -> F32:
    """Return the quantities at RATE_HZ; holes are bridged."""
    seen = np.flatnonzero(np.isfinite(quantities[:, OPEN]))
    if len(seen) < 2:
        return np.zeros((0, len(MOUTH_PARAMS)), np.float32)
    times = (np.arange(len(quantities)) + 0.5) / float(fps)
    grid = (np.arange(int(len(quantities) / float(fps) * RATE_HZ)) + 0.5) / RATE_HZ
    return np.stack([np.interp(grid, times[seen], column[seen]) for column in quantities.T], 1).astype(np.float32)


def loudness(voice: NDArray[np.float32], seconds: float, rate_hz: int) -> Signal:
    """Return the root loudness of the first `seconds` of a voice, at `rate_hz`."""
    hop = VOICE_RATE_HZ // rate_hz
    count = min(len(voice), int(seconds * VOICE_RATE_HZ)) // hop
    power = np.square(voice[: count * hop].astype(np.float64)).reshape(count, hop).mean(1)
    return np.asarray(power**0.25)


def _band(signal: NDArray[np.floating]) -> Signal:
    """Return the part of the signal within BAND_HZ, without delay; the edges of the band are soft."""
    if len(signal) < RATE_HZ:
        return np.zeros(0)
    low, high = BAND_HZ
    hertz = np.fft.rfftfreq(2 * len(signal), 1 / RATE_HZ)
    gain = 1 / np.sqrt(1 + (low / np.maximum(hertz, 1e-9)) ** 8) / np.sqrt(1 + (hertz / high) ** 8)
    mirrored = np.concatenate([signal, signal[::-1]]) - signal.mean()
    band: Signal = np.fft.irfft(np.fft.rfft(mirrored) * gain, len(mirrored))[: len(signal)]
    return band


def _correlation(late: NDArray[np.floating], early: NDArray[np.floating]) -> Signal:
    """Return (n,) circular correlation of (n, k) signals: at index i, `late` is taken to be i steps behind `early`."""
    late, early = late - late.mean(0), early - early.mean(0)
    product = np.fft.irfft(np.fft.rfft(late, axis=0) * np.conj(np.fft.rfft(early, axis=0)), len(late), axis=0).sum(1)
    return np.asarray(product / max(float(np.sqrt(np.square(late).sum() * np.square(early).sum())), 1e-12))
