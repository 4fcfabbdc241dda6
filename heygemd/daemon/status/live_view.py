"""What the page shows of the videos being rendered: files beside it, renewed with it and removed when they are over."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from loguru import logger

from ...errors import NotReady, describe
from ...storage import share_fs
from ...storage.share_layout import LIVE_VIEW, MARKER
from ..queue_state import RunningVideo

Shown = dict[str, bytes]
"""Files on the share by name, and their content as far as it is known."""


def _picture(number: int) -> str:
    return f"status-picture-{number}.jpg"


def _clip(number: int) -> str:
    return f"status-first-seconds-{number}.mp4"


def links(running: Sequence[RunningVideo], run: RunningVideo) -> tuple[str, str]:
    """Return the page's links to a video's latest picture and to its first seconds, "" for what is not there.

    A link changes with its content, so that browsers do not show an old picture.
    """
    number, video = running.index(run) + 1, f"{run.job.id}-{run.job.videos.index(run.video)}"
    picture = f"{_picture(number)}?{video}-{run.pictures}" if run.picture else ""
    return picture, f"{_clip(number)}?{video}" if run.first_seconds else ""


def files(running: Sequence[RunningVideo]) -> dict[str, bytes]:
    """Return the files that the links lead to, by name."""
    found: dict[str, bytes] = {}
    for number, run in enumerate(running, 1):
        if run.picture:
            found[_picture(number)] = base64.b64decode(run.picture.jpeg)
        if run.first_seconds:
            found[_clip(number)] = base64.b64decode(run.first_seconds.mp4)
    return found


def write(share: Path, shown: Shown | None, content: Mapping[str, bytes], group: int | None) -> Shown:
    """Make the files on the share equal to `content`; return what is there now. On the I/O thread.

    shown  what is there; None after a start: files that an earlier daemon left are removed
    Raises FileNotFoundError if the share is not there.
    """
    share_fs.read(share / MARKER)
    there = (
        dict(shown) if shown is not None else {name: b"" for name in share_fs.names(share) if LIVE_VIEW.fullmatch(name)}
    )
    for name in there.keys() | content.keys():
        try:
            if name not in content:
                share_fs.remove(share / name)
                del there[name]
            elif there.get(name) != content[name]:
                share_fs.write(share / name, content[name], group, durable=False)
                there[name] = content[name]
        except (NotReady, OSError) as error:  # open elsewhere, say: the page shows one picture less
            logger.debug("{}: {}", name, describe(error))
    return there
