"""The preview of a finished video in reports: mouths before and after, a thumbnail, lip opening against loudness."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from ...protocol import Preview
from ..audio.loudness import loudness
from ..face.mesh_indices import INNER_LIPS
from ..face.pose import eye_distance
from ..scene import F32, Image, Timeline, Track
from . import compositing, decode
from .decode import Picture
from .jpeg import jpeg_base64

CURVE_HZ = 25
MOMENTS, WITHIN_S = 6, 3.0
"""Number of mouths shown, and the part of the video, from its start, that they come from: decoding more costs time."""
MOUTH_SIDE, THUMBNAIL_HEIGHT = 144, 180
SIDE_IN_EYES = 1.3
"""Side of the square around the mouth, in eye distances."""
TOP_QUANTILE = 0.97


def make_preview(
    source: Picture, track: Track, timeline: Timeline, made: Picture, openings: F32, voice: NDArray[np.float32]
) -> Preview:
    """Return the preview of the finished video `made`.

    source, track  the source video and its face
    timeline       which source frame each output frame shows
    openings       (T,) float32 opening of the lips in the first output frames, NaN without a face
    voice          (samples,) float32 mono at 16 kHz
    """
    seconds = len(openings) / float(timeline.fps)
    moments = _moments(openings, track, timeline)
    strip, thumbnail = _pictures(source, track, timeline, made, moments)
    return Preview(
        moments_s=tuple(round(moment / float(timeline.fps), 2) for moment in moments),
        strip=strip,
        thumbnail=thumbnail,
        curve_hz=CURVE_HZ,
        lips=_scaled(_lips(openings, seconds, float(timeline.fps))),
        voice=_scaled(loudness(voice, seconds, CURVE_HZ)),
    )


def _moments(openings: F32, track: Track, timeline: Timeline) -> list[int]:
    """Return up to MOMENTS output frames from the start of the video, with open and closed lips in turn."""
    count = min(len(openings), round(WITHIN_S * timeline.fps))
    seen = np.isfinite(openings[:count]) & (track.effect_weight[timeline.source[:count]] > 0)
    found = []
    for number, part in enumerate(np.array_split(np.arange(count), MOMENTS)):
        part = part[seen[part]]
        if len(part):
            pick = np.argmin if number % 2 else np.argmax
            found.append(int(part[pick(openings[part])]))
    return found


def _pictures(source: Picture, track: Track, timeline: Timeline, made: Picture, moments: list[int]) -> tuple[str, str]:
    """Return as base64 JPEG the strip of mouths (source above output), and the thumbnail of the first moment."""
    shown = {moment: int(timeline.source[moment]) for moment in moments}
    boxes = {number: _around_mouth(track, number) for number in shown.values()}
    after: dict[int, Image] = {}
    thumbnail = ""
    with ThreadPoolExecutor(1) as pool:
        before_mouths = pool.submit(_before, source, boxes)
        for moment, frame in decode.chosen_frames(made, moments or [0]):
            thumbnail = thumbnail or jpeg_base64(_small(compositing.crop(frame, made, (0, 0, made.width, made.height))))
            if moments:
                after[moment] = _mouth(compositing.crop(frame, made, boxes[shown[moment]]))
        before = before_mouths.result()
    pairs = [np.vstack([before[shown[moment]], mouth]) for moment, mouth in after.items() if shown[moment] in before]
    return jpeg_base64(np.hstack(pairs)) if pairs else "", thumbnail


def _before(source: Picture, boxes: dict[int, compositing.Box]) -> dict[int, Image]:
    frames = decode.chosen_frames(source, sorted(boxes))
    return {number: _mouth(compositing.crop(frame, source, boxes[number])) for number, frame in frames}


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
