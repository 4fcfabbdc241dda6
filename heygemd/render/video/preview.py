"""What the report shows of a finished video: the mouth before and after, a small picture, lips against voice."""

from __future__ import annotations

import base64
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

CURVE_HZ = 25
MOMENTS, WITHIN_S = 6, 3.0
"""Mouths shown, and the start of the video they are taken from: decoding further would cost time for little."""
MOUTH_SIDE, THUMBNAIL_HEIGHT, JPEG_QUALITY = 144, 180, 80
SIDE_IN_EYES = 1.3
"""Side of the square around the mouth, in distances between the outer corners of the eyes."""
LOUD_QUANTILE = 0.97


def make_preview(
    source: Picture, track: Track, line: Timeline, made: Picture, gaps: F32, voice: NDArray[np.float32]
) -> Preview:
    """Return the evidence for the finished video `made`.

    source, track  the source video and its face; line: which of its frames each finished frame shows
    gaps           (T,) opening of the lips in its first frames, NaN without a face (see sync.watch)
    voice          (N,) 16 kHz mono float32
    """
    seconds = len(gaps) / float(line.fps)
    moments = _moments(gaps, track, line)
    strip, thumbnail = _pictures(source, track, line, made, moments)
    return Preview(
        moments_s=tuple(round(moment / float(line.fps), 2) for moment in moments),
        strip=strip,
        thumbnail=thumbnail,
        curve_hz=CURVE_HZ,
        lips=_scaled(_lips(gaps, seconds, float(line.fps))),
        voice=_scaled(loudness(voice, seconds, CURVE_HZ)),
    )


def _moments(gaps: F32, track: Track, line: Timeline) -> list[int]:
    """Return finished frames at which to look: spread over the start, open and closed lips in turn."""
    count = min(len(gaps), round(WITHIN_S * line.fps))
    seen = np.isfinite(gaps[:count]) & (track.effect_weight[line.source[:count]] > 0)
    found = []
    for number, part in enumerate(np.array_split(np.arange(count), MOMENTS)):
        part = part[seen[part]]
        if len(part):
            pick = np.argmin if number % 2 else np.argmax
            found.append(int(part[pick(gaps[part])]))
    return found


def _pictures(source: Picture, track: Track, line: Timeline, made: Picture, moments: list[int]) -> tuple[str, str]:
    """Return the strip of mouths and the small picture of the first moment (or of the first frame)."""
    shown = {moment: int(line.source[moment]) for moment in moments}
    boxes = {number: _around_mouth(track, number) for number in shown.values()}
    after: dict[int, Image] = {}
    thumbnail = ""
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(_before, source, boxes)
        for moment, frame in decode.chosen_frames(made, moments or [0]):
            thumbnail = thumbnail or _jpeg(_small(compositing.crop(frame, made, (0, 0, made.width, made.height))))
            if moments:
                after[moment] = _mouth(compositing.crop(frame, made, boxes[shown[moment]]))
        before = coming.result()
    pairs = [np.vstack([before[shown[moment]], mouth]) for moment, mouth in after.items() if shown[moment] in before]
    return _jpeg(np.hstack(pairs)) if pairs else "", thumbnail


def _before(source: Picture, boxes: dict[int, compositing.Box]) -> dict[int, Image]:
    frames = decode.chosen_frames(source, sorted(boxes))
    return {number: _mouth(compositing.crop(frame, source, boxes[number])) for number, frame in frames}


def _around_mouth(track: Track, number: int) -> compositing.Box:
    """Return an even square around the mouth, inside the frame."""
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


def _jpeg(image: Image) -> str:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return base64.b64encode(data.tobytes()).decode()


def _lips(gaps: F32, seconds: float, fps: float) -> F32:
    """Return the gaps at CURVE_HZ; where no face was seen there is none."""
    times = (np.arange(int(seconds * CURVE_HZ)) + 0.5) / CURVE_HZ
    return gaps[np.minimum((times * fps).astype(int), len(gaps) - 1)] if len(gaps) else gaps


def _scaled(signal: NDArray[np.floating]) -> tuple[float | None, ...]:
    """Return the curve between 0 and 1, a few peaks cut; None for what is not known."""
    known = signal[np.isfinite(signal)]
    if not len(known):
        return ()
    low, high = float(known.min()), float(np.quantile(known, LOUD_QUANTILE))
    scaled = np.clip((signal - low) / max(high - low, 1e-9), 0, 1)
    return tuple(round(float(v), 3) if np.isfinite(v) else None for v in scaled)
