"""The preview of a finished video in reports: mouths before and after, a thumbnail, lip opening against loudness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from . import compositing
from .decode import Frame, Picture
from .jpeg import jpeg_base64

CURVE_HZ = 25
MOMENTS, WITHIN_S = 6, 3.0
"""Number of mouths shown, and the part of the video, from its start, that they come from."""
MAX_CANDIDATES = 120
"""How many frames of that part may show a mouth; two mouths of 61 KiB are kept of each."""
LATEST_S, HEARD = 20, 0.1
"""Up to where a voice is waited for, and what part of its peak counts as its beginning."""
MOUTH_SIDE, THUMBNAIL_HEIGHT = 144, 180
SIDE_IN_EYES = 1.3
"""Side of the square around the mouth, in eye distances."""
TOP_QUANTILE = 0.97


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


class MouthPictures:
    """Keeps the mouths of the frames that a preview may show: nothing is decoded for it, the frames pass by anyway.

    Which of them it shows is known when the lips have been measured in the finished video.
    """

    def __init__(
        self, picture: Picture, tracks: Sequence[Track], timeline: Timeline, voices: Sequence[NDArray[np.float32]]
    ) -> None:
        """`tracks`, `voices`: as for `candidates`; `timeline`: which source frame each output frame shows."""
        self._picture, self._timeline = picture, timeline
        self._parts = candidates(tracks, timeline, voices)
        self._boxes = {
            number: _around_mouth(tracks[face], int(timeline.source[number]))
            for face, numbers in self._parts
            for number in numbers
        }
        self._source: dict[int, Image] = {}
        self._result: dict[int, Image] = {}
        numbers = list(self._boxes)
        self._shown_whole = numbers[len(numbers) // 2] if numbers else 0
        self._thumbnail = ""

    def see_source(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield the source's frames, which are in the order of the output."""
        for number, frame in enumerate(frames):
            if number in self._boxes:
                self._source[number] = self._mouth(number, frame)
            yield frame

    def see_result(self, number: int, frame: Frame) -> None:
        """See a finished output frame before it is encoded."""
        if number in self._boxes:
            self._result[number] = self._mouth(number, frame)
        if number == self._shown_whole:
            width = max(1, round(self._picture.width * THUMBNAIL_HEIGHT / self._picture.height))
            self._thumbnail = jpeg_base64(compositing.shrunk(frame, self._picture, (width, THUMBNAIL_HEIGHT)))

    def _mouth(self, number: int, frame: Frame) -> Image:
        mouth = compositing.crop(frame, self._picture, self._boxes[number])
        return cv2.resize(mouth, (MOUTH_SIDE, MOUTH_SIDE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    def chosen(self, openings: Sequence[F32]) -> Pictures:
        """Return the pictures of a video in which these `openings` were measured, see `choose_moments`."""
        moments = choose_moments(openings, self._parts)
        pairs = [np.vstack([self._source[moment], self._result[moment]]) for moment in moments]
        strip = jpeg_base64(np.hstack(pairs)) if pairs else ""
        times_s = tuple(round(moment / float(self._timeline.fps), 2) for moment in moments)
        return Pictures(times_s, strip, self._thumbnail)


def candidates(
    tracks: Sequence[Track], timeline: Timeline, voices: Sequence[NDArray[np.float32]]
) -> list[tuple[int, list[int]]]:
    """Return for MOMENTS parts of the start the face that speaks, and the output frames that may show its mouth.

    tracks  the faces that speak, in the source video
    voices  of each face (samples,) float32 mono at VOICE_RATE_HZ
    """
    samples = VOICE_RATE_HZ / float(timeline.fps)
    count = min(round(_all_heard_s(voices) * timeline.fps), len(timeline.source))
    step = -(-count // MAX_CANDIDATES)
    found = []
    for part in np.array_split(np.arange(count), MOMENTS):
        heard = slice(int(part[0] * samples), int((part[-1] + 1) * samples)) if len(part) else slice(0)
        face = int(np.argmax([np.square(voice[heard]).sum() for voice in voices]))
        seen = part[tracks[face].effect_weight[timeline.source[part]] > 0]
        found.append((face, [int(number) for number in seen if number % step == 0]))
    return found


def choose_moments(openings: Sequence[F32], parts: Sequence[tuple[int, list[int]]]) -> list[int]:
    """Return an ascending output frame of each part, lips open and closed in turn.

    openings  of each face (T,) float32 opening of the lips in the first output frames, NaN without a face; of a single
              face WITHIN_S are enough
    parts     of `candidates`
    """
    found = []
    for number, (face, frames) in enumerate(parts):
        lips = openings[face]
        # The lips that are certain sooner are measured less far.
        measured = [frame for frame in frames if frame < len(lips) and np.isfinite(lips[frame])]
        if measured:
            pick = np.argmin if number % 2 else np.argmax
            found.append(measured[int(pick(lips[measured]))])
    return found


def _all_heard_s(voices: Sequence[NDArray[np.float32]]) -> float:
    """Return within how many seconds to look for pictures: with several voices until the last has begun, and on."""
    if len(voices) == 1:
        return WITHIN_S
    starts = [np.abs(voice[: LATEST_S * VOICE_RATE_HZ]) for voice in voices]
    begun = [int(np.argmax(start > HEARD * start.max(initial=0))) for start in starts]
    return max(begun) / VOICE_RATE_HZ + WITHIN_S


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
