"""The preview of a finished video in reports: mouths before and after, a thumbnail, lip opening against loudness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...protocol import Preview
from ..audio.loudness import loudness
from ..audio.mel import VOICE_RATE_HZ
from ..face.mesh_indices import INNER_LIPS
from ..face.pose import eye_distance
from ..scene import F32, Image, Timeline, Track
from . import compositing, decode
from .decode import Picture
from .jpeg import jpeg_base64

CURVE_HZ = 25
MOMENTS, WITHIN_S = 6, 3.0
"""Number of mouths shown, and the part of the video, from its start, that they come from: decoding more costs time."""
LATEST_S, HEARD = 20, 0.1
"""Up to where a voice is waited for, and what part of its peak counts as its beginning."""
MOUTH_SIDE, THUMBNAIL_HEIGHT = 144, 180
SIDE_IN_EYES = 1.3
"""Side of the square around the mouth, in eye distances."""
TOP_QUANTILE = 0.97

Moments = dict[int, int]
"""Output frames, ascending as the decoder delivers them, and the number of the face that speaks there."""


class Pictures(NamedTuple):
    """A preview's pictures: when the mouths of its strip are seen, the strip and the thumbnail as base64 JPEG."""

    moments_s: tuple[float, ...]
    strip: str
    thumbnail: str


def make_preview(pictures: Pictures, fps: Fraction, openings: F32, voice: NDArray[np.float32]) -> Preview:
    """Return the preview of a finished video of `fps`; its curves show the first face that speaks.

    openings  (T,) float32 opening of its lips in the first output frames, NaN without a face
    voice     (samples,) float32 mono at VOICE_RATE_HZ
    """
    seconds = len(openings) / float(fps)
    return Preview(
        **pictures._asdict(),
        curve_hz=CURVE_HZ,
        lips=_scaled(_lips(openings, seconds, float(fps))),
        voice=_scaled(loudness(voice, seconds, CURVE_HZ)),
    )


def take_pictures(
    made: Picture,
    tracks: Sequence[Track],
    timeline: Timeline,
    moments: Moments,
    before: Callable[[], dict[int, Image]],
) -> Pictures:
    """Return the pictures of the finished video `made`, in which each face that speaks is seen.

    tracks    the faces that speak, in the source video
    timeline  which source frame each output frame shows
    moments   of `choose_moments`
    before    returns the `source_mouths`; called last, so that they may be taken meanwhile
    """
    after: dict[int, Image] = {}
    thumbnail = ""
    boxes = _boxes(tracks, timeline, moments)
    for moment, frame in decode.chosen_frames(made, list(moments) or [0]):
        thumbnail = thumbnail or jpeg_base64(_small(compositing.crop(frame, made, (0, 0, made.width, made.height))))
        if moments:
            after[moment] = _mouth(compositing.crop(frame, made, boxes[moment]))
    source = before()
    pairs = [np.vstack([source[moment], mouth]) for moment, mouth in after.items() if moment in source]
    strip = jpeg_base64(np.hstack(pairs)) if pairs else ""
    return Pictures(tuple(round(moment / float(timeline.fps), 2) for moment in moments), strip, thumbnail)


def source_mouths(source: Picture, tracks: Sequence[Track], timeline: Timeline, moments: Moments) -> dict[int, Image]:
    """Return the mouth that the source video shows at each moment; several moments may show one source frame."""
    shown = {moment: int(timeline.source[moment]) for moment in moments}
    boxes = _boxes(tracks, timeline, moments)
    return {
        moment: _mouth(compositing.crop(frame, source, boxes[moment]))
        for number, frame in decode.chosen_frames(source, sorted(set(shown.values())))
        for moment in (m for m, n in shown.items() if n == number)
    }


def choose_moments(
    openings: Sequence[F32], tracks: Sequence[Track], timeline: Timeline, voices: Sequence[NDArray[np.float32]]
) -> Moments:
    """Return up to MOMENTS output frames from the start, and the face that speaks there, lips open and closed in turn.

    openings  of each face (T,) float32 opening of the lips in the first output frames, NaN without a face; of a single
              face WITHIN_S are enough
    voices    of each face (samples,) float32 mono at VOICE_RATE_HZ
    """
    samples = VOICE_RATE_HZ / float(timeline.fps)
    count = min(round(_all_heard_s(voices) * timeline.fps), max(map(len, openings)))
    found = {}
    for number, part in enumerate(np.array_split(np.arange(count), MOMENTS)):
        heard = slice(int(part[0] * samples), int((part[-1] + 1) * samples)) if len(part) else slice(0)
        face = int(np.argmax([np.square(voice[heard]).sum() for voice in voices]))
        part = part[part < len(openings[face])]  # the lips that are certain sooner are measured less far
        part = part[np.isfinite(openings[face][part]) & (tracks[face].effect_weight[timeline.source[part]] > 0)]
        if len(part):
            pick = np.argmin if number % 2 else np.argmax
            found[int(part[pick(openings[face][part])])] = face
    return found


def _all_heard_s(voices: Sequence[NDArray[np.float32]]) -> float:
    """Return within how many seconds to look for pictures: with several voices until the last has begun, and on."""
    if len(voices) == 1:
        return WITHIN_S
    starts = [np.abs(voice[: LATEST_S * VOICE_RATE_HZ]) for voice in voices]
    begun = [int(np.argmax(start > HEARD * start.max(initial=0))) for start in starts]
    return max(begun) / VOICE_RATE_HZ + WITHIN_S


def _boxes(tracks: Sequence[Track], timeline: Timeline, moments: Moments) -> dict[int, compositing.Box]:
    """Return where the mouth is at each moment."""
    return {moment: _around_mouth(tracks[face], int(timeline.source[moment])) for moment, face in moments.items()}


def _around_mouth(track: Track, number: int) -> compositing.Box:
    """Return an even square around the mouth within the frame."""
    points = track.points(number, number + 1)[0, :, :2]
    side = SIDE_IN_EYES * float(eye_distance(points))
    side = int(min(max(side, 16), track.width, track.height)) // 2 * 2
    middle = points[INNER_LIPS].mean(0) - side / 2
    x0, y0 = (
        int(np.clip(m, 0, limit - side)) // 2 * 2 for m, limit in zip(middle, (track.width, track.height), strict=True)
    )
    return x0, y0, x0 + side, y0 + side


def _mouth(image: Image) -> Image:
    return cv2.resize(image, (MOUTH_SIDE, MOUTH_SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _small(image: Image) -> Image:
    width = max(1, round(image.shape[1] * THUMBNAIL_HEIGHT / image.shape[0]))
    return cv2.resize(image, (width, THUMBNAIL_HEIGHT), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _lips(openings: F32, seconds: float, fps: float) -> F32:
    """Return the openings at CURVE_HZ, NaN without a face."""
    times = (np.arange(int(seconds * CURVE_HZ)) + 0.5) / CURVE_HZ
    return openings[np.minimum((times * fps).astype(int), len(openings) - 1)] if len(openings) else openings


def _scaled(signal: NDArray[np.floating]) -> tuple[float | None, ...]:
    """Return the curve scaled to 0..1, values above TOP_QUANTILE clipped; None for NaN."""
    known = signal[np.isfinite(signal)]
    if not len(known):
        return ()
    low, high = float(known.min()), float(np.quantile(known, TOP_QUANTILE))
    scaled = np.clip((signal - low) / max(high - low, 1e-9), 0, 1)
    return tuple(round(float(v), 3) if np.isfinite(v) else None for v in scaled)
