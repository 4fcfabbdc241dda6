"""What the renderer noted of each finished video, kept in the job's hidden folder for the report and the page.

It lies where staff can change it: nothing in it is used but pictures and numbers.
"""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

from loguru import logger
from pydantic import ValidationError

from ...errors import NotReady, printable
from ...job import Job, Video
from ...protocol import Preview
from ...storage import atomic, share_fs

LIMIT_BYTES = 4 << 20


def thumbnail_name(video: Video) -> str:
    """Return the name of a video's small picture."""
    return f"{video.output}.jpg"


def names(job: Job) -> set[str]:
    """Return the names of all evidence of a job's finished videos."""
    done = [video for video in job.videos if video.state == "done"]
    return {name for video in done for name in (_name(video), thumbnail_name(video))}


def leave(local: Path, hidden: Path, video: Video, group: int | None) -> None:
    """Put what the renderer wrote to `local` into the hidden folder. Without it the report only shows less."""
    if not local.exists():
        return
    with atomic.on_local_disk(local):
        data = local.read_bytes()
    proof = _parse(data, video.output)
    if proof is not None:
        share_fs.write(hidden / _name(video), data, group, durable=False)
        thumbnail = base64.b64decode(proof.thumbnail)
        share_fs.write(hidden / thumbnail_name(video), thumbnail, group, durable=False)


def read(folder: Path, job: Job) -> dict[str, Preview]:
    """Return the evidence of a job's finished videos by output name, where there is any."""
    found: dict[str, Preview] = {}
    if not share_fs.is_folder(folder / share_fs.HIDDEN):  # staff can put a link in its place
        return found
    for video in job.videos:
        if video.state == "done":
            with contextlib.suppress(FileNotFoundError, NotReady):
                proof = _parse(share_fs.read(folder / share_fs.HIDDEN / _name(video), LIMIT_BYTES), video.output)
                if proof is not None:
                    found[video.output] = proof
    return found


def _name(video: Video) -> str:
    return f"{video.output}.json"


def _parse(data: bytes, name: str) -> Preview | None:
    try:
        return Preview.model_validate_json(data)
    except ValidationError as error:
        logger.warning("the evidence of {} is unreadable and ignored: {}", printable(name), printable(str(error)))
        return None
