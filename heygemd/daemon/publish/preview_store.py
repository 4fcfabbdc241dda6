"""The preview of each finished video, kept in the job's hidden folder for the report and the status page.

Where several faces were found, their numbered picture is part of it; that of a failed video stays on the local disk.

Users can change it there: only pictures and numbers of it are used.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable
from pathlib import Path

from loguru import logger
from pydantic import ValidationError

from ...errors import HeygemdError, describe, printable
from ...job import Job, Video
from ...protocol import FacesSeen, Preview
from ...storage import atomic, share_fs

LIMIT_BYTES = 4 << 20


def thumbnail_name(video: Video) -> str:
    """Return the name of a video's thumbnail."""
    return f"{video.hidden_name}.jpg"


def file_names(videos: Iterable[Video]) -> set[str]:
    """Return the names of the files that belong to the previews of these videos."""
    return {name for video in videos for name in (_name(video), thumbnail_name(video), faces_name(video))}


def faces_name(video: Video) -> str:
    """Return the name of the picture in which a video's faces are numbered."""
    return f"{video.output}.faces.jpg"


def save_faces(local: Path, faces: FacesSeen) -> None:
    """Keep what a renderer says of several faces on the local disk; without it the report shows less."""
    try:
        atomic.write(local, faces.model_dump_json().encode())
    except HeygemdError as error:
        logger.warning("without a picture of the faces: {}", describe(error))


def load_faces(local: Path) -> FacesSeen | None:
    """Return what `save_faces` kept, if anything."""
    try:
        return FacesSeen.model_validate_json(atomic.read(local))
    except (HeygemdError, OSError, ValueError):
        return None


def save(local: Path, faces: FacesSeen | None, hidden: Path, video: Video, group: int | None) -> None:
    """Copy a preview that the renderer wrote to `local` into the hidden folder; without it the report shows less."""
    try:
        preview = _parse(atomic.read(local), video.output)
        if preview is not None:
            preview = preview.model_copy(update={"faces": faces})
            share_fs.write(hidden / _name(video), preview.model_dump_json().encode(), group, durable=False)
            thumbnail = base64.b64decode(preview.thumbnail)
            share_fs.write(hidden / thumbnail_name(video), thumbnail, group, durable=False)
        if faces is not None:
            share_fs.write(hidden / faces_name(video), base64.b64decode(faces.picture), group, durable=False)
    except FileNotFoundError:
        return
    except (HeygemdError, OSError, ValueError) as error:
        logger.warning("without a preview of {}: {}", printable(video.output), describe(error))


def load(folder: Path, job: Job) -> dict[str, Preview]:
    """Return the previews of a job's finished videos by output name; some may be missing."""
    found: dict[str, Preview] = {}
    for video in job.videos:
        if video.state == "done":
            with contextlib.suppress(HeygemdError, OSError):
                if not share_fs.is_folder(folder / share_fs.HIDDEN):  # users can put a link in its place
                    return found
                preview = _parse(share_fs.read(folder / share_fs.HIDDEN / _name(video), LIMIT_BYTES), video.output)
                if preview is not None:
                    found[video.output] = preview
    return found


def _name(video: Video) -> str:
    return f"{video.hidden_name}.json"


def _parse(data: bytes, name: str) -> Preview | None:
    try:
        return Preview.model_validate_json(data)
    except ValidationError as error:
        logger.warning("ignoring the unreadable preview of {}: {}", printable(name), printable(str(error)))
        return None
