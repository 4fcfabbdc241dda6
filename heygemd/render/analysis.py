"""What is computed before the first frame is rendered, and cached: a video's description, track and analysis data,
which serve other voices, and a voice's analysis data, which serves other videos.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ..config.schema import Face, Limits, Render
from ..errors import InputError
from ..fault_points import point
from ..protocol import FacesSeen
from .cache import Cache, fetch_or_make
from .engines.base import AnalysisData, FrameEngine
from .face import face_choice
from .face.face_choice import NumberedFaces, SeenFaces, Slots, choose_faces
from .face.tracker import Tracker
from .progress import Phases, Report
from .scene import Crop, Finding, Image, Track
from .video import compositing, decode
from .video.decode import Picture, SmallFrames
from .video.jpeg import jpeg_base64

PICTURE_VERSION, TRACK_VERSION = "1", "10"
"""Parts of the cache keys of a video's description and track: raise them when what is stored changes."""
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
    """The track of each face that speaks, what people should know of the video, and the key of both in the cache."""

    tracks: list[Track]
    findings: list[Finding]
    key: str


@functools.cache
def _picture_type() -> TypeAdapter[Picture]:
    return TypeAdapter(Picture)


def describe_video(path: Path, digest: str, limits: Limits, cache: Cache, folder: Path) -> Picture:
    """Return `decode.describe_video`, found out now or taken from the cache. Raises as it."""
    file = folder / "picture.json"

    def make() -> list[Path]:
        file.write_bytes(_picture_type().dump_json(decode.describe_video(path, limits)))
        return [file]

    fetch_or_make(cache, "picture", f"{digest} {PICTURE_VERSION} {limits.model_dump_json()}", folder, make)
    return replace(_picture_type().validate_json(file.read_bytes()), path=path)


def frames_to_track(picture: Picture, voice_s: float, all_frames: bool) -> int | None:
    """Return how many frames to track: enough for the voice in whole minutes, so that other voices share the result.

    None means all of them.
    """
    limit = round(math.ceil(max(voice_s, 1) / WINDOW_S) * WINDOW_S * picture.fps) + 1
    return None if all_frames or picture.expected_frames <= limit else limit


def track_video(
    picture: Picture, digest: str, limit: int | None, tracker: Tracker, settings: Render, faces: Sequence[Face],
    cache: Cache, folder: Path, phases: Phases, report: Report,
) -> TrackedVideo:  # fmt: skip
    """Track the chosen faces through the first `limit` frames, or take the tracks from the cache.

    Reports FacesSeen where there are several faces, also where the chosen ones are not among them.
    Raises InputError("no_face" | "few_faces" | "face_never_clear" | "media_unreadable") and what `choose_faces` raises.
    """
    min_share = settings.min_face_fraction
    chosen = " ".join(map(str, faces))
    key = f"{digest} {TRACK_VERSION} {tracker.name} {tracker.version} {limit or 'all'} {min_share}"
    key += f" {picture.small_size} {chosen}"
    if picture.photo:  # its size follows from the limits, too
        key += f" {picture.width}x{picture.height}"
    phases.begin("analyse", min(limit or picture.expected_frames, picture.expected_frames))
    shown = folder / "faces.json"

    def choose(seen: SeenFaces) -> list[Slots]:
        def show(numbered: NumberedFaces) -> None:
            image, used = jpeg_base64(face_choice.picture(seen, numbered)), numbered.used
            shown.write_text(FacesSeen(picture=image, count=len(numbered.slots), used=used).model_dump_json())

        return choose_faces(seen, faces, show)

    def make() -> list[Path]:
        images = decode.small_frames(picture, limit)
        try:
            size = (picture.width, picture.height)
            seen = _not_empty(images)
            tracks, found = tracker.track_faces(
                seen, size, picture.fps, folder / "points.f32", choose, phases.done, min_share
            )
        except InputError as error:
            if not picture.photo:
                raise
            raise InputError(OF_A_PHOTO.get(error.code, error.code), error.detail, **error.fields) from None
        finally:
            images.close()
        found = [*found, *_damage(picture, images, len(tracks[0]), limit)]
        return [*_save(tracks, found, folder), *([shown] if shown.exists() else [])]

    point("analyse")
    try:
        fetch_or_make(cache, "track", key, folder, make)
    finally:
        if shown.exists():
            report(FacesSeen.model_validate_json(shown.read_text()))
    return TrackedVideo(*_load(folder), key)


def _not_empty(images: SmallFrames) -> Iterator[Image]:
    first = next(images, None)
    if first is None:
        raise InputError("no_picture", detail=images.ended.tail if images.ended else "")
    yield first
    yield from images


def _damage(picture: Picture, images: SmallFrames, frames: int, limit: int | None) -> list[Finding]:
    """Return what the decoder's errors cost, if it had any.

    Raises InputError("media_unreadable") when almost nothing was decoded.
    """
    ended = images.ended
    promised = min(picture.expected_frames, limit or picture.expected_frames)
    if ended is None or (ended.status == 0 and not ended.lines):
        return []
    begins_late = picture.stream.undecodable_s > 0  # told as such, and worth many a complaint
    if frames >= promised * (1 - MISSING_SHARE) and (begins_late or ended.lines < MANY_ERRORS):
        return []
    if frames < MIN_DECODED_S * picture.fps and frames < promised / 2:
        raise InputError("media_unreadable", frames=frames, promised=promised, detail=ended.tail)
    if picture.cut_short:  # told as such
        return []
    video_s, promised_s = (round(float(count / picture.fps), 1) for count in (frames, promised))
    return [Finding("video_damaged", {"video_s": video_s, "promised_s": promised_s})]


def _save(tracks: list[Track], findings: list[Finding], folder: Path) -> list[Path]:
    first, files = tracks[0], []
    for number, track in enumerate(tracks):
        files += [folder / f"track-{number}.npz", track.points_file]
        np.savez(files[-2], **{name: getattr(track, name) for name in TRACK_ARRAYS})
    points = [track.points_file.name for track in tracks]
    facts = {"size": (first.width, first.height), "fps": str(first.fps), "points": points, "findings": findings}
    (folder / "tracks.json").write_text(json.dumps(facts))
    return [*files, folder / "tracks.json"]


def _load(folder: Path) -> tuple[list[Track], list[Finding]]:
    facts = json.loads((folder / "tracks.json").read_text())
    tracks = []
    width, height = facts["size"]
    for number, points in enumerate(facts["points"]):
        with np.load(folder / f"track-{number}.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in TRACK_ARRAYS}
        tracks.append(Track(width, height, Fraction(facts["fps"]), **arrays, points_file=folder / points))
    return tracks, [Finding(code, fields) for code, fields in facts["findings"]]


def video_data(
    picture: Picture, tracked: TrackedVideo, face: int, engine: FrameEngine, cache: Cache, folder: Path, phases: Phases
) -> AnalysisData:
    """Return `engine.analyse_video` of one of a video's tracked faces, computed now or taken from the cache."""
    track = tracked.tracks[face]
    phases.begin("prepare", 0)

    def crops() -> Iterator[Crop]:
        wanted = engine.frames_to_analyse(track)
        phases.begin("prepare", len(wanted))
        for done, (number, frame) in enumerate(decode.chosen_frames(picture, wanted), 1):
            x0, y0, x1, y1 = (int(n) for n in track.boxes[number])
            yield Crop(number, number, (x0, y0, x1, y1), compositing.crop(frame, picture, (x0, y0, x1, y1)))
            phases.done(done)

    point("prepare")
    return _cached(
        cache, "video_data", f"{tracked.key} {face}", engine, folder, lambda: engine.analyse_video(crops(), track)
    )


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
