"""What is computed before the first frame is rendered, and cached: a video's track and analysis data, which serve other
voices, and a voice's analysis data, which serves other videos.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fault_points import point
from .cache import Cache, fetch_or_make
from .engines.base import AnalysisData, FrameEngine
from .face.tracker import Tracker
from .progress import Phases
from .scene import Crop, Finding, Image, Track
from .video import compositing, decode
from .video.decode import Decode, Picture

TRACK_VERSION = "7"
"""Part of the track's cache key: raise it when what is stored changes."""
WINDOW_S = 60
MIN_DECODED_S = 1.0
"""A video of which less than this and less than half comes out of the decoder is unreadable."""
MISSING_SHARE, MANY_ERRORS = 0.02, 50
"""A video counts as damaged when ffmpeg complains and this share of its frames is missing, or it complains this often.
Shortness alone is no damage: durations in headers are claims."""
OF_A_PHOTO = {"no_face": "photo_no_face", "face_never_clear": "photo_face_turned"}
"""What a fault of a video is called in a photograph."""
TRACK_ARRAYS = ("boxes", "effect_weight", "yaw_deg", "cuts", "face_count")


class TrackedVideo(NamedTuple):
    """A track, what people should know of the video, and the key under which both are cached."""

    track: Track
    findings: list[Finding]
    key: str


def frames_to_track(picture: Picture, voice_s: float, all_frames: bool) -> int | None:
    """Return how many frames to track: enough for the voice in whole minutes, so that other voices share the result.

    None means all of them.
    """
    limit = round(math.ceil(max(voice_s, 1) / WINDOW_S) * WINDOW_S * picture.fps) + 1
    return None if all_frames or picture.expected_frames <= limit else limit


def track_video(
    picture: Picture, digest: str, limit: int | None, tracker: Tracker, min_share: float, cache: Cache, folder: Path,
    phases: Phases,
) -> TrackedVideo:  # fmt: skip
    """Track the face through the first `limit` frames, or take the track from the cache.

    Raises InputError("no_face" | "few_faces" | "face_never_clear" | "media_unreadable").
    """
    key = f"{digest} {TRACK_VERSION} {tracker.name} {tracker.version} {limit or 'all'} {min_share} {picture.small_size}"
    if picture.photo:  # its size follows from the limits, too
        key += f" {picture.width}x{picture.height}"
    phases.begin("analyse", min(limit or picture.expected_frames, picture.expected_frames))

    def make() -> list[Path]:
        images, decoder = decode.small_frames(picture, limit)
        try:
            size = (picture.width, picture.height)
            points_file = folder / "points.f32"
            seen = _not_empty(images, decoder)
            track, found = tracker.track(seen, size, picture.fps, points_file, phases.done, min_share=min_share)
        except InputError as error:
            if not picture.photo:
                raise
            raise InputError(OF_A_PHOTO.get(error.code, error.code), error.detail, **error.fields) from None
        finally:
            decoder.close()
        found = [*found, *_damage(picture, decoder, len(track), limit)]
        return _save(track, found, folder)

    point("analyse")
    fetch_or_make(cache, "track", key, folder, make)
    return TrackedVideo(*_load(folder), key)


def _not_empty(images: Iterator[Image], decoder: Decode) -> Iterator[Image]:
    first = next(images, None)
    if first is None:
        raise InputError("media_unreadable", detail=decoder.ended.tail if decoder.ended else "")
    yield first
    yield from images


def _damage(picture: Picture, decoder: Decode, frames: int, limit: int | None) -> list[Finding]:
    """Return what the decoder's errors cost, if it had any.

    Raises InputError("media_unreadable") when almost nothing was decoded.
    """
    ended = decoder.ended
    promised = min(picture.expected_frames, limit or picture.expected_frames)
    if ended is None or (ended.status == 0 and not ended.lines):
        return []
    if frames >= promised * (1 - MISSING_SHARE) and ended.lines < MANY_ERRORS:
        return []
    if frames < MIN_DECODED_S * picture.fps and frames < promised / 2:
        raise InputError("media_unreadable", frames=frames, promised=promised, detail=ended.tail)
    if picture.cut_short:  # told as such
        return []
    video_s, promised_s = (round(float(count / picture.fps), 1) for count in (frames, promised))
    return [Finding("video_damaged", {"video_s": video_s, "promised_s": promised_s})]


def _save(track: Track, findings: list[Finding], folder: Path) -> list[Path]:
    np.savez(folder / "track.npz", **{name: getattr(track, name) for name in TRACK_ARRAYS})
    facts = {"width": track.width, "height": track.height, "fps": str(track.fps), "findings": findings}
    (folder / "track.json").write_text(json.dumps(facts))
    return [folder / "track.npz", folder / "track.json", track.points_file]


def _load(folder: Path) -> tuple[Track, list[Finding]]:
    facts = json.loads((folder / "track.json").read_text())
    with np.load(folder / "track.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in TRACK_ARRAYS}
    track = Track(facts["width"], facts["height"], Fraction(facts["fps"]), **arrays, points_file=folder / "points.f32")
    return track, [Finding(code, fields) for code, fields in facts["findings"]]


def video_data(
    picture: Picture, tracked: TrackedVideo, engine: FrameEngine, cache: Cache, folder: Path, phases: Phases
) -> AnalysisData:
    """Return `engine.analyse_video` of a tracked video, computed now or taken from the cache."""
    track = tracked.track
    wanted = engine.frames_to_analyse(track)
    phases.begin("prepare", len(wanted))

    def crops() -> Iterator[Crop]:
        for done, (number, frame) in enumerate(decode.chosen_frames(picture, wanted), 1):
            x0, y0, x1, y1 = (int(n) for n in track.boxes[number])
            yield Crop(number, number, (x0, y0, x1, y1), compositing.crop(frame, picture, (x0, y0, x1, y1)))
            phases.done(done)

    point("prepare")
    return _cached(cache, "video_data", tracked.key, engine, folder, lambda: engine.analyse_video(crops(), track))


def voice_data(
    voice: NDArray[np.float32], digest: str, engine: FrameEngine, cache: Cache, folder: Path
) -> AnalysisData:
    """Return `engine.analyse_voice` of (samples,) of the voice `digest`, computed now or taken from the cache."""
    key = f"{digest} {len(voice)}"
    return _cached(cache, "voice_data", key, engine, folder, lambda: engine.analyse_voice(voice))


def _cached(
    cache: Cache, kind: str, key: str, engine: FrameEngine, folder: Path, analyse: Callable[[], AnalysisData]
) -> AnalysisData:
    file = folder / "data.npz"

    def make() -> list[Path]:
        np.savez(file, allow_pickle=False, **analyse())
        return [file]

    fetch_or_make(cache, kind, f"{key} {engine.name} {engine.version}", folder, make)
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
