"""job.toml: the few settings that staff may override for one job folder. Names and numbers, never paths or commands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args

import tomli
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from ..errors import InputError
from ..i18n import catalog
from . import loader, staff_text
from .schema import (
    FACE_EXAMPLES,
    LOUDEST_LUFS,
    QUIETEST_LUFS,
    AudioLonger,
    AudioShorter,
    Face,
    Language,
    Loudness,
    OriginalSound,
    OriginalSoundDb,
    PhotoMotion,
    PreviewS,
    Quality,
    Render,
    Section,
    Subtitles,
    TrackerName,
    known_engine,
)

MAX_BYTES = 8 << 10
"""A dozen short lines are usual. The time to parse hostile TOML grows with the square of its size."""


MAX_VIDEOS, MAX_SPEAKERS = 64, 4
FileName = Annotated[str, Field(max_length=255)]


class VideoSettings(Section):
    """What `job.toml` may override for one video; None keeps the job's setting."""

    face: Face | None = None


class SpeakerSettings(Section):
    """One of several people who speak.

    voice  the name of an audio file in the folder, with or without ending
    at_s   when it begins, seconds
    """

    voice: FileName
    face: Face
    at_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0


class JobSettings(Section):
    """What `job.toml` in a job folder may override; None keeps the daemon's setting.

    videos    by the videos' names, with or without ending
    speakers  none, or two to MAX_SPEAKERS
    """

    engine: str | None = None
    tracker: TrackerName | None = None
    face: Face | None = None
    quality: Quality | None = None
    audio_longer: AudioLonger | None = None
    audio_shorter: AudioShorter | None = None
    subtitles: Subtitles | None = None
    photo_motion: PhotoMotion | None = None
    preview_s: PreviewS | None = None
    original_sound: OriginalSound | None = None
    original_sound_db: OriginalSoundDb | None = None
    loudness: Loudness | None = None
    priority: Annotated[int, Field(ge=-9, le=9)] = 0
    language: Language | None = None
    presenters: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    photos: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    channels: Literal["middle", "own"] | None = None
    speakers: tuple[SpeakerSettings, ...] = ()
    videos: dict[FileName, VideoSettings] = Field(default={}, max_length=MAX_VIDEOS)

    @field_validator("speakers")
    @classmethod
    def _are_several(cls, value: tuple[SpeakerSettings, ...]) -> tuple[SpeakerSettings, ...]:
        if value and not 2 <= len(value) <= MAX_SPEAKERS:
            raise PydanticCustomError("speakers_count", "{count}", {"count": len(value)})
        faces = [speaker.face for speaker in value]
        if twice := [face for face in faces if faces.count(face) > 1]:
            raise PydanticCustomError("speakers_face", "{face}", {"face": twice[0]})
        return value

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Check only what staff write (with a context), not what a job record holds: its engine may be gone by now."""
        return value if info.context is None or value is None else known_engine(value, info.context["commands"])

    def apply(self, render: Render, video: str = "") -> Render:
        """Return `render` with this job's overrides, and with those of the video of that name."""
        own = next((settings for name, settings in self.videos.items() if is_named(video, name)), VideoSettings())
        overrides = {k: v for each in (self, own) for k, v in each if v is not None and k in Render.model_fields}
        return render.model_copy(update=overrides)


def is_named(title: str, written: str) -> bool:
    """Return whether people mean the file `title` by the name that they wrote: with or without ending, in any case."""
    wanted = unicodedata.normalize("NFC", written).casefold()
    name = unicodedata.normalize("NFC", title).casefold()
    return wanted in (name, PurePath(name).stem)


SETTINGS = tuple(JobSettings.model_fields)
EXAMPLES = {
    "preview_s": ("0 … 60",),
    "priority": ("-9 … 9",),
    "language": catalog.languages(),
    "presenters": ('["Anna", "Ben"]',),
    "photos": ('["anna.jpg"]',),
    "original_sound_db": ("-60 … 6",),
    "loudness": ("off", f"{QUIETEST_LUFS} LUFS … {LOUDEST_LUFS} LUFS"),
    "face": FACE_EXAMPLES,
    "videos": ('[videos."anna.mp4"]',),
    "speakers": ("[[speakers]]",),
    "voice": ('"anna.wav"',),
    "at_s": ("0 … 3600",),
}
CODES = {
    "speakers_count": "job_toml_speakers_count",
    "speakers_face": "job_toml_speakers_face",
    "missing": "job_toml_missing",
}
"""The messages of mistakes that pydantic or a validator has a name for."""
SHOWN_CHARS = 60


def load_job(text: bytes, commands: Collection[str] = (), known: Collection[str] = ()) -> JobSettings:
    """Read a `job.toml`; `commands`: names of the configured commands; `known`: of presenters (see `staff_text`).

    Raises InputError("job_toml_invalid", mistakes=[...]): a message for each, with its line, for `catalog`.
    """
    if len(text) > MAX_BYTES:
        raise InputError("job_toml_invalid", mistakes=[{"code": "job_toml_large", "fields": {"kib": MAX_BYTES >> 10}}])
    content = staff_text.decode(text, known).text
    try:
        return JobSettings.model_validate(tomli.loads(content), context={"commands": commands})
    except ValidationError as error:
        mistakes = [_mistake(each, content) for each in error.errors()[: loader.MAX_MISTAKES]]
        mistakes.sort(key=lambda mistake: mistake["fields"]["line"])
    except (ValueError, RecursionError) as error:  # tomli's own; very long numbers; very deep nesting
        mistakes = [_syntax_mistake(str(error), content.split("\n"))]
    raise InputError("job_toml_invalid", mistakes=mistakes)


def _mistake(error: ErrorDetails, content: str) -> dict[str, Any]:
    *place, key = [str(part) for part in error["loc"] if isinstance(part, str)]
    where = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
    fields: dict[str, Any] = {"key": _cut(key), "line": _line_of(where, content)}
    if code := CODES.get(error["type"]):
        return {"code": code, "fields": {**fields, **error.get("ctx", {})}}
    if error["type"] == "extra_forbidden":
        if place[:1] == ["videos"] and isinstance(
            error["input"], dict
        ):  # [videos.anna.mp4] names the setting mp4 of the video anna
            return {
                "code": "job_toml_quotes",
                "fields": {**fields, "table": place[0], "name": _cut(f"{place[-1]}.{key}")},
            }
        tables: dict[str, type[Section]] = {"videos": VideoSettings, "speakers": SpeakerSettings}
        known = tuple(tables[place[0]].model_fields) if place else SETTINGS
        fields["known"] = near if (near := get_close_matches(key, known, 1, 0.5)) else list(known)
        return {"code": "job_toml_unknown", "fields": fields}
    allowed = place[0] if place and key not in EXAMPLES else key
    fields |= {"value": _cut(str(error["input"])), "known": _allowed(allowed, error)}
    return {"code": "job_toml_value", "fields": fields}


def _allowed(key: str, error: ErrorDetails) -> list[str]:
    """Return the values that a setting may have, or examples of them."""
    if key in EXAMPLES:
        return list(EXAMPLES[key])
    if key == "engine" and "expected" in error.get("ctx", {}):
        return str(error["ctx"]["expected"]).replace("'", "").split(", ")
    choices = get_args(get_args(JobSettings.model_fields[key].annotation)[0])
    return [str(choice) for choice in choices if isinstance(choice, str)] or ["mesh"]


def _syntax_mistake(message: str, lines: list[str]) -> dict[str, Any]:
    """Return the mistake in a text that is no TOML. Where tomli names no line, it is the longest."""
    named = re.search(r"at line (\d+)", message)
    line = int(named[1]) if named else 1 + max(range(len(lines)), key=lambda n: len(lines[n]))
    return {"code": "job_toml_syntax", "fields": {"line": line, "text": _cut(lines[line - 1].strip())}}


def _line_of(loc: tuple[int | str, ...], content: str) -> int:
    """Return the number of the line that sets a key or opens its table.

    loc  the names of its tables and its own; after that of an array of tables the table's number, from 0 on
    """
    at, key = 0, ""
    for part in loc:
        key, times = (part, 1) if isinstance(part, str) else (key, part)
        setting = re.compile(rf"(?m)^[\s\[]*(?:[\w\"\'-]+\.)*[\"\']?{re.escape(key)}[\"\']?\s*[=.\]]")
        for _ in range(times):
            found = setting.search(content, at)
            at = found.end() - 1 if found else max(at, content.find(key, at))
    return 1 + content.count("\n", 0, at)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
