"""What is learnt before the first frame is made and kept: a video's track and memo for other voices, a voice's for
other videos.
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
from .cache import Cache, through
from .engines.base import FrameEngine, Memo
from .face.tracker import Tracker
from .progress import Phases
from .scene import Crop, Finding, Image, Track
from .video import compositing
from .video import decode as video
from .video.decode import Decode, Picture

VERSION = "6"
WINDOW_S = 60
LEAST_S = 1.0
MISSING_SHARE, MISSING_WITH_ERRORS_SHARE, MANY_ERRORS = 0.1, 0.02, 50
ARRAYS = ("boxes", "effect_weight", "yaw_deg", "cuts", "face_count")


class Analysis(NamedTuple):
    """A tracked video; `key` names it in the cache, `findings` are the tracker's and the decoder's."""

    track: Track
    findings: list[Finding]
    key: str


def window(picture: Picture, voice_s: float, whole: bool) -> int | None:
    """Return how many frames to analyse: enough for the voice in whole minutes, so that other voices share it.

    None means all of them.
    """
    limit = round(math.ceil(max(voice_s, 1) / WINDOW_S) * WINDOW_S * picture.fps) + 1
    return None if whole or picture.expected_frames <= limit else limit


def analyse(
    picture: Picture, digest: str, limit: int | None, tracker: Tracker, min_share: float, cache: Cache, folder: Path,
    phases: Phases,
) -> Analysis:  # fmt: skip
    """Follow the face through the first `limit` frames, or take the track from the cache.

    Raises InputError("no_face" | "few_faces" | "face_never_clear" | "media_unreadable").
    """
    key = f"{digest} {VERSION} {tracker.name} {tracker.version} {limit or 'all'} {min_share} {picture.small_size}"
    phases.begin("analyse", min(limit or picture.expected_frames, picture.expected_frames))

    def make() -> list[Path]:
        images, decode = video.small_frames(picture, limit)
        try:
            size = (picture.width, picture.height)
            points_file = folder / "points.f32"
            first = _not_empty(images, decode)
            track, found = tracker.track(first, size, picture.fps, points_file, phases.done, min_share=min_share)
        finally:
            decode.close()
        found = [*found, *_damage(picture, decode, len(track), limit)]
        return _save(track, found, folder)

    point("analyse")
    through(cache, "track", key, folder, make)
    return Analysis(*_load(folder), key)


def _not_empty(images: Iterator[Image], decode: Decode) -> Iterator[Image]:
    first = next(images, None)
    if first is None:
        raise InputError("media_unreadable", detail=decode.ended.tail if decode.ended else "")
    yield first
    yield from images


def _damage(picture: Picture, decode: Decode, frames: int, limit: int | None) -> list[Finding]:
    """Judge by what came, not by what the container promised. Raises InputError when next to nothing came."""
    ended = decode.ended
    promised = min(picture.expected_frames, limit or picture.expected_frames)
    if ended is None or (frames >= promised * (1 - MISSING_WITH_ERRORS_SHARE) and ended.lines < MANY_ERRORS):
        return []
    if ended.status == 0 and not ended.lines and frames >= promised * (1 - MISSING_SHARE):
        return []
    if frames < LEAST_S * picture.fps and frames < promised / 2:
        raise InputError("media_unreadable", frames=frames, promised=promised, detail=ended.tail)
    fields = {"video_s": round(float(frames / picture.fps), 1), "promised_s": round(float(promised / picture.fps), 1)}
    return [Finding("video_damaged", dict(fields))]


def _save(track: Track, findings: list[Finding], folder: Path) -> list[Path]:
    np.savez(folder / "track.npz", **{name: getattr(track, name) for name in ARRAYS})
    facts = {"width": track.width, "height": track.height, "fps": str(track.fps), "findings": findings}
    (folder / "track.json").write_text(json.dumps(facts))
    return [folder / "track.npz", folder / "track.json", track.points_file]


def _load(folder: Path) -> tuple[Track, list[Finding]]:
    facts = json.loads((folder / "track.json").read_text())
    with np.load(folder / "track.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in ARRAYS}
    track = Track(facts["width"], facts["height"], Fraction(facts["fps"]), **arrays, points_file=folder / "points.f32")
    return track, [Finding(code, fields) for code, fields in facts["findings"]]


def study(
    picture: Picture, analysis: Analysis, engine: FrameEngine, cache: Cache, folder: Path, phases: Phases
) -> Memo:
    """Let the engine learn the video, or take what it learnt from the cache."""
    track = analysis.track
    wanted = engine.wants(track)
    phases.begin("study", len(wanted))

    def crops() -> Iterator[Crop]:
        for done, (number, frame) in enumerate(video.chosen_frames(picture, wanted), 1):
            x0, y0, x1, y1 = (int(n) for n in track.boxes[number])
            yield Crop(number, number, (x0, y0, x1, y1), compositing.crop(frame, picture, (x0, y0, x1, y1)))
            phases.done(done)

    point("study")
    return _kept(cache, "memo", analysis.key, engine, folder, lambda: engine.study(crops(), track))


def hear(voice: NDArray[np.float32], digest: str, engine: FrameEngine, cache: Cache, folder: Path) -> Memo:
    """Let the engine hear (samples,) of the voice `digest`, or take what it heard from the cache."""
    return _kept(cache, "heard", f"{digest} {len(voice)}", engine, folder, lambda: engine.hear(voice))


def _kept(cache: Cache, kind: str, key: str, engine: FrameEngine, folder: Path, learn: Callable[[], Memo]) -> Memo:
    file = folder / "memo.npz"

    def make() -> list[Path]:
        np.savez(file, allow_pickle=False, **learn())
        return [file]

    through(cache, kind, f"{key} {engine.name} {engine.version}", folder, make)
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
