"""What a finished folder records about itself: moved back to the inbox, only what is missing or changed is rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from loguru import logger
from pydantic import Field

from ...config.job_toml import JobSettings
from ...config.schema import Render
from ...errors import NotReady, printable
from ...job import Job, Media, Name, Record, Video
from ...protocol import Count
from ...storage import share_fs
from ...storage.share_fs import ORIGINALS as ORIGINALS
from .filename_rules import is_photo

FILE = "manifest.json"
MAX_BYTES = 16 << 20
MAX_RESULTS = 10_000
MAX_MISTAKE_CHARS = 500


CHANGING_RESULTS = {
    *("engine", "tracker", "quality", "preset", "crf", "audio_longer", "audio_shorter"),
    *("subtitles", "subtitle_font", "original_sound", "original_sound_db", "loudness"),
    *("face", "channels"),
}


class MadeResult(Record):
    """A result and what it was made from; `size` tells it from a file that users put in its place.

    settings  of `result_settings`
    """

    source: Name
    source_size: Count
    size: Count
    output: Name
    settings: dict[str, Any]
    video: Video


class Manifest(Record):
    """The state of a finished folder. Users can change the file, so nothing in it is trusted beyond names.

    rounds  how often the folder went back to the inbox because its files changed; 0 once it is finished
    """

    schema_version: Count = 1
    voice: Media
    beside: list[Media] = Field([], max_length=MAX_RESULTS)
    """What else all results were rendered with, such as subtitles."""
    made: Annotated[list[MadeResult], Field(max_length=MAX_RESULTS)]
    finished: float = Field(0, ge=0, le=1e11)
    rounds: int = Field(0, ge=0, le=9)

    def result_of(self, source: Media, output: str, settings: dict[str, object]) -> MadeResult | None:
        """Return the result of that name, made from an original of that name and size with these settings.

        A template must have the same time too: others may have replaced it since.

        settings  of `result_settings`; one that was unknown then had its default
        """
        facts = (source.title, source.size, output)
        found = (m for m in self.made if (m.source, m.source_size, m.output) == facts)
        if source.is_template:
            found = (m for m in found if m.video.source.mtime_ns == source.mtime_ns)
        return next((m for m in found if _defaults(m.source) | m.settings == settings), None)


def results_of(earlier: Manifest | None) -> set[tuple[str, int]]:
    """Return names and sizes of the results that a folder came back with: they are not inputs."""
    return {(made.output, made.size) for made in earlier.made} if earlier else set()


def read(folder: Path) -> Manifest | None:
    """Return what a folder on the share records about itself; None if it records nothing that can be used."""
    path = folder / share_fs.HIDDEN / FILE
    try:
        return parse(share_fs.read(path, MAX_BYTES + 1))
    except (FileNotFoundError, NotADirectoryError, NotReady):
        return None


def parse(data: bytes) -> Manifest | None:
    """Parse a manifest; None if anything is wrong with it, and everything is rendered again."""
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        return Manifest.model_validate(json.loads(data), strict=True)
    except (ValueError, RecursionError) as error:
        logger.warning("a folder's manifest is ignored: {}", printable(str(error)[:MAX_MISTAKE_CHARS]))
        return None


def result_settings(settings: JobSettings, render: Render, video: str) -> dict[str, object]:
    """Return the settings that change the result of a video: with another value it is rendered again."""
    names = CHANGING_RESULTS | ({"photo_motion"} if is_photo(video) else set())
    found = settings.apply(render, video).model_dump(include=names)
    speakers = [speaker.model_dump(mode="json") for speaker in settings.speakers]
    return {**found, "speakers": speakers} if speakers else found


def _defaults(video: str) -> dict[str, object]:
    return result_settings(JobSettings(), Render(), video)


def compose(job: Job, render: Render, sizes: dict[str, int], rounds: int = 0) -> bytes:
    """Return the manifest of a job whose originals are in originals/; `sizes`: bytes of each result, by output name.

    Results without a size are left out.
    """
    made = [
        MadeResult(
            source=v.source.title,
            source_size=v.source.size,
            size=sizes[v.output],
            output=v.output,
            settings=result_settings(job.settings, render, v.source.title),
            video=v,
        )
        for v in job.videos
        if v.state == "done" and v.output in sizes
    ]
    manifest = Manifest(
        voice=job.voice,
        beside=[media for media in job.shared if media is not job.voice],
        made=made,
        finished=job.finished,
        rounds=rounds,
    )
    return json.dumps(manifest.model_dump(mode="python")).encode()
