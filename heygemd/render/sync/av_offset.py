"""Measures the offset between lips and voice in a finished video.

Two correlations are added at each lag within MAX_LAG_S: that of SyncNet's embeddings of mouth and voice, and that of
the mouth with the lips expected of the voice. heygemd's own results are not measured by the network that made them: the
second one is that of lip opening and loudness then, which share the rhythm of syllables (Chandrasekaran 2009). Only
where that would fail a video, the expected lips must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...protocol import CONTROL_MS, SyncMeasurement
from ..audio.loudness import loudness
from ..audio.mel import VOICE_RATE_HZ
from ..face.face_choice import Choose, in_boxes, largest
from ..face.mouth_params import MOUTH_PARAMS, OPEN, measure_meshes
from ..face.tracker import Tracker
from ..scene import F32, Image
from ..video import decode
from ..video.decode import Picture
from . import syncnet
from .syncnet import SyncNet

RATE_HZ = syncnet.RATE_HZ
SYLLABLES_HZ = (2.0, 8.0)
MAX_LAG_S = 0.4
STEP_S, SAMPLE_S = 4.0, 60.0
MIN_SPEECH_S = 2.5
PEAK_STEPS = 5
"""Steps to either side that belong to one peak."""
RHYTHM_WEIGHT, LIPS_WEIGHT = 0.5, 0.5
PARAM_WEIGHTS = np.array([1, 0.7, 0.5, 0.5, 0.7], np.float32)
"""Of the five mouth parameters, each scaled to one standard deviation, in the comparison with expected lips."""
MIN_SPREAD = 1e-3
"""Standard deviation below which a parameter counts as still, eye distances."""
MIN_RIVAL = 0.2
"""Correlation below which a rival of the peak counts for no less."""
MIN_CONFIDENCE, FAIL_CONFIDENCE = 1.0, 2.0
"""Confidence from which an offset is reported, and from which it can fail a video.

On 132 clips of people and their own voice the median of the reported offsets is 0 ms. With another person's voice 0.8 %
get a reported offset beyond 120 ms, and 0.13 % one that could fail (778 pairs). With expected lips 77 % of all answers
are sure within three seconds where 44 % were, and no more are wrong; see models/sync.md."""
MIN_FRAME_MS = 40.0
POINTS_FRAMES = 256

Signal = NDArray[np.float64]
Expect = Callable[[NDArray[np.float32]], F32]
"""Returns the (T, 5) float32 departures from the closed mouth, at RATE_HZ, that are expected of a voice."""


def measure_video(
    picture: Picture, hear: Callable[[], NDArray[np.float32]], tracker: Tracker, scratch: Path,
    progress: Callable[[int], None], boxes: NDArray[np.int32] | None = None, expect: Expect | None = None,
    seen: F32 | None = None,
) -> tuple[F32, SyncMeasurement]:  # fmt: skip
    """Measure a video's first STEP_S, and on until the offset is certain, SAMPLE_S at most; see `track_lips`.

    Return (T, 5) float32 mouth parameters, NaN without a face, and their `measure`.
    """
    with closing(decode.small_frames(picture, round(SAMPLE_S * picture.fps))) as images:
        params = track_lips(images, picture, hear, tracker, scratch, progress, boxes, expect, seen)
    return params, measure(params, picture.fps, hear(), expect)


def track_lips(
    images: Iterator[Image], picture: Picture, hear: Callable[[], NDArray[np.float32]], tracker: Tracker, scratch: Path,
    progress: Callable[[int], None], boxes: NDArray[np.int32] | None = None, expect: Expect | None = None,
    seen: F32 | None = None,
) -> F32:  # fmt: skip
    """Return (T, 5) float32 mouth parameters, NaN without a face, of as much of a video as makes its offset certain.

    images    all its frames, of `picture.small_size`; no more than needed are asked for
    hear      returns the voice, (samples,) float32 at 16 kHz; called when the first STEP_S are tracked, so that it may
              be decoded meanwhile
    progress  called with the number of frames seen
    boxes     (T, 4) x0 y0 x1 y1 of the face to measure in each frame, pixels; None: the largest face
    expect    for a video that was not made with these lips
    seen      what this returned for the first frames before; None: nothing
    """
    limit = round(SAMPLE_S * picture.fps)
    unseen = islice(images, 0 if seen is None else len(seen), None)
    step, size = round(STEP_S * picture.fps), (picture.width, picture.height)

    def track(before: int) -> F32:
        choose = largest if boxes is None else partial(in_boxes, boxes=[_small(boxes[before:], picture)])
        return _mouth_params(
            islice(unseen, step), tracker, size, picture.fps, scratch, choose, lambda count: progress(before + count)
        )

    params = track(0) if seen is None else seen
    voice = hear()[: round((SAMPLE_S + MAX_LAG_S) * VOICE_RATE_HZ)]
    lips = expect(voice) if expect else None
    more = len(params) > 0 and len(params) % step == 0
    while more and len(params) < limit and estimate_offset(params, picture.fps, voice, lips)[1] < FAIL_CONFIDENCE:
        part = track(len(params))
        more = len(part) == step
        params = np.concatenate([params, part])
    return params


def _small(boxes: NDArray[np.int32], picture: Picture) -> F32:
    """Return boxes in the pixels of the small frames."""
    shrink = np.array(picture.small_size * 2) / np.array((picture.width, picture.height) * 2)
    return np.asarray(boxes * shrink, np.float32)


def _mouth_params(
    images: Iterator[Image], tracker: Tracker, size: tuple[int, int], fps: Fraction, scratch: Path,
    choose: Choose, progress: Callable[[int], None],
) -> F32:  # fmt: skip
    """Return (T, 5) float32 mouth parameters of all the images, NaN without a face."""
    count = 0

    def note(number: int) -> None:
        nonlocal count
        count = number
        progress(number)

    try:
        file = scratch / "measured.f32"
        (track,), _ = tracker.track_faces(images, size, fps, file, choose, note, min_share=0.0)
    except InputError:  # without a face there is nothing to measure; the source was checked before
        return np.full((count, len(MOUTH_PARAMS)), np.nan, np.float32)
    starts = range(0, len(track), POINTS_FRAMES)
    return np.concatenate([measure_meshes(track.points(k, min(k + POINTS_FRAMES, len(track)))) for k in starts])


def estimate_offset(
    params: F32, fps: Fraction, voice: NDArray[np.float32], lips: F32 | None = None
) -> tuple[float | None, float]:
    """Return (lips behind the voice in ms or None, confidence).

    Confidence compares the peak with what the same signals give at lags that cannot be true; from MIN_CONFIDENCE on
    there is an offset.

    params  (T, 5) float32 mouth parameters at `fps`
    voice   (samples,) float32 at 16 kHz
    lips    (S, 5) float32 at RATE_HZ, expected of the voice; None: not known
    """
    curve = correlation_curve(params, fps, voice, lips)
    if not len(curve):
        return None, 0.0
    lags = _lags()
    near, far = curve[lags], np.delete(curve, lags)
    best = int(near.argmax())
    others = np.delete(near, np.s_[max(0, best - PEAK_STEPS) : best + PEAK_STEPS + 1])
    rival = max(np.quantile(far, 0.999) if len(far) > 50 else 1.0, others.max(), MIN_RIVAL)
    confidence = round(max(0.0, 2 * float(near[best] / rival) - 2), 3)
    return (peak_ms(curve) if confidence >= MIN_CONFIDENCE else None), confidence


def correlation_curve(
    params: F32, fps: Fraction, voice: NDArray[np.float32], lips: F32 | None = None, net: SyncNet | None = None
) -> Signal:
    """Return (n,) float64 correlation of lips and voice with the lips k steps of RATE_HZ behind, circular.

    It is (0,) if they are too short.

    params  (T, 5) float32 mouth parameters at `fps`
    voice   (samples,) float32 at 16 kHz
    lips    (S, 5) float32 at RATE_HZ, expected of the voice; None: not known
    """
    seconds = min(len(params) / float(fps), len(voice) / VOICE_RATE_HZ)
    mouth = _resampled(params, fps)[: int(seconds * RATE_HZ)]
    sound = loudness(voice, seconds, RATE_HZ)
    length = min(len(mouth), len(sound), len(mouth if lips is None else lips))
    if length < MIN_SPEECH_S * RATE_HZ or np.ptp(sound) == 0 or np.ptp(mouth[:, OPEN]) == 0:
        return np.zeros(0)
    voice_embedding, mouth_embedding = syncnet.embed(voice[: int(seconds * VOICE_RATE_HZ)], mouth, net)
    length = min(length, len(mouth_embedding))
    embedded = _correlation(mouth_embedding[:length], voice_embedding[:length])
    if lips is not None:
        return embedded + LIPS_WEIGHT * _correlation(_scaled(mouth[:length]), _scaled(lips[:length]))
    rhythm = _correlation(_syllable_band(mouth[:length, OPEN])[:, None], _syllable_band(sound[:length])[:, None])
    return embedded + RHYTHM_WEIGHT * rhythm


def peak_ms(curve: Signal) -> float:
    """Return the lag in ms, within MAX_LAG_S, at which a `correlation_curve` is highest."""
    lags = _lags()
    return 1000.0 * int(lags[curve[lags].argmax()]) / RATE_HZ


def _lags() -> NDArray[np.intp]:
    reach = round(MAX_LAG_S * RATE_HZ)
    return np.arange(-reach, reach + 1)


def measure(params: F32, fps: Fraction, voice: NDArray[np.float32], expect: Expect | None = None) -> SyncMeasurement:
    """Return `estimate_offset` and its controls: with the sound CONTROL_MS earlier, and with the sound reversed."""
    count, shift = round(len(params) / fps * VOICE_RATE_HZ), CONTROL_MS * VOICE_RATE_HZ // 1000
    sounds = voice[:count], voice[shift : shift + count], voice[:count][::-1].copy()
    (offset_ms, confidence), (shifted_ms, _), (_, reversed_confidence) = (
        estimate_offset(params, fps, sound, expect(sound) if expect else None) for sound in sounds
    )
    return SyncMeasurement(
        fps=f"{fps.numerator}/{fps.denominator}",
        offset_ms=offset_ms,
        offset_confidence=confidence,
        control_shift_ms=None if shifted_ms is None or offset_ms is None else shifted_ms - offset_ms,
        reversed_confidence=reversed_confidence,
    )


def is_out_of_sync(measured: SyncMeasurement, fps: Fraction, max_frames: int) -> bool:
    """Return whether the lips are certainly off by more than `max_frames` (of 25 fps where the video has more)."""
    limit_ms = max_frames * max(MIN_FRAME_MS, 1000 / float(fps))
    return measured.offset_confidence >= FAIL_CONFIDENCE and abs(measured.offset_ms or 0.0) > limit_ms


def _resampled(params: F32, fps: Fraction) -> F32:
    """Return (n, 5) float32 parameters at RATE_HZ, interpolated over frames without a face."""
    seen = np.flatnonzero(np.isfinite(params[:, OPEN]))
    if len(seen) < 2:
        return np.zeros((0, len(MOUTH_PARAMS)), np.float32)
    times = (np.arange(len(params)) + 0.5) / float(fps)
    grid = (np.arange(int(len(params) / float(fps) * RATE_HZ)) + 0.5) / RATE_HZ
    return np.stack([np.interp(grid, times[seen], column[seen]) for column in params.T], 1).astype(np.float32)


def _syllable_band(signal: NDArray[np.floating]) -> Signal:
    """Return the signal's part within SYLLABLES_HZ: a fourth-order Butterworth gain without phase."""
    if len(signal) < RATE_HZ:
        return np.zeros(0)
    low, high = SYLLABLES_HZ
    hertz = np.fft.rfftfreq(2 * len(signal), 1 / RATE_HZ)
    gain = 1 / np.sqrt(1 + (low / np.maximum(hertz, 1e-9)) ** 8) / np.sqrt(1 + (hertz / high) ** 8)
    mirrored = np.concatenate([signal, signal[::-1]]) - signal.mean()
    band: Signal = np.fft.irfft(np.fft.rfft(mirrored) * gain, len(mirrored))[: len(signal)]
    return band


def _scaled(params: F32) -> F32:
    """Return (T, 5) float32 parameters of equal spread, weighted."""
    spread = np.maximum(params.std(0), MIN_SPREAD)
    return np.asarray(params / spread * PARAM_WEIGHTS, np.float32)


def _correlation(late: NDArray[np.floating], early: NDArray[np.floating]) -> Signal:
    """Return (n,) circular correlation of (n, k) signals: at index i, `late` is taken to be i steps behind `early`."""
    late, early = late - late.mean(0), early - early.mean(0)
    product = np.fft.irfft(np.fft.rfft(late, axis=0) * np.conj(np.fft.rfft(early, axis=0)), len(late), axis=0).sum(1)
    return np.asarray(product / max(float(np.sqrt(np.square(late).sum() * np.square(early).sum())), 1e-12))
