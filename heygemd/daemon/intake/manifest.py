"""What a finished folder records about itself: moved back to the inbox, only what is missing or changed is rendered."""

from __future__ import annotations

import json
from typing import Any

from loguru import logger
from pydantic import Field

from ...errors import printable
from ...job import Job, Media, Name, Record, Video

FILE = "manifest.json"
ORIGINALS = "originals"


class MadeResult(Record):
    """A result and what it was made from; `size` tells it from a file that users put in its place."""

    source: Name
    source_size: int
    size: int
    output: str
    video: Video


class Manifest(Record):
    """The state of a finished folder. Users can change the file, so nothing in it is trusted beyond names.

    rounds  how often the folder went back to the inbox because its files changed; 0 once it is finished
    """

    schema_version: int = 1
    voice: Media
    settings: dict[str, Any]
    made: list[MadeResult]
    finished: float = Field(0, ge=0, le=1e11)
    rounds: int = Field(0, ge=0, le=9)

    def result_of(self, source: Media) -> MadeResult | None:
        """Return the result made from an original of that name and size."""
        return next((m for m in self.made if m.source == source.title and m.source_size == source.size), None)


def parse(data: bytes) -> Manifest | None:
    """Parse a manifest; None if anything is wrong with it, and everything is rendered again."""
    try:
        return Manifest.model_validate(json.loads(data))
    except (ValueError, RecursionError) as error:
        logger.warning("a folder's manifest is unreadable and ignored: {}", printable(str(error)))
        return None


def compose(job: Job, settings: dict[str, Any], sizes: dict[str, int], rounds: int = 0) -> bytes:
    """Return the manifest of a job whose originals are in originals/; `sizes`: bytes of each result, by output name.

    Results without a size are left out.
    """
    made = [
        MadeResult(source=v.source.title, source_size=v.source.size, size=sizes[v.output], output=v.output, video=v)
        for v in job.videos
        if v.state == "done" and v.output in sizes
    ]
    return json.dumps(
        Manifest(voice=job.voice, settings=settings, made=made, finished=job.finished, rounds=rounds).model_dump(
            mode="python"
        )
    ).encode()
