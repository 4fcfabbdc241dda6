"""job.toml: the few settings that staff may override for one job folder. Names and numbers, never paths or commands."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Annotated, Any, get_args

import tomli
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from ..errors import InputError
from ..i18n import catalog
from . import loader, staff_text
from .schema import (
    LOUDEST_LUFS,
    QUIETEST_LUFS,
    AudioLonger,
    AudioShorter,
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


class JobSettings(Section):
    """What `job.toml` in a job folder may override; None keeps the daemon's setting."""

    engine: str | None = None
    tracker: TrackerName | None = None
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

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Check only what staff write (with a context), not what a job record holds: its engine may be gone by now."""
        return value if info.context is None or value is None else known_engine(value, info.context["commands"])

    def apply(self, render: Render) -> Render:
        """Return `render` with this job's overrides."""
        overrides = {k: v for k, v in self.model_dump().items() if v is not None and k in Render.model_fields}
        return render.model_copy(update=overrides)


SETTINGS = tuple(JobSettings.model_fields)
EXAMPLES = {
    "preview_s": ("0 … 60",),
    "priority": ("-9 … 9",),
    "language": catalog.languages(),
    "presenters": ('["Anna", "Ben"]',),
    "photos": ('["anna.jpg"]',),
    "original_sound_db": ("-60 … 6",),
    "loudness": ("off", f"{QUIETEST_LUFS} LUFS … {LOUDEST_LUFS} LUFS"),
}
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
    key = str(error["loc"][0])
    fields: dict[str, Any] = {"key": _cut(key), "line": _line_of(key, content)}
    if error["type"] == "extra_forbidden":
        fields["known"] = near if (near := get_close_matches(key, SETTINGS, 1, 0.5)) else list(SETTINGS)
        return {"code": "job_toml_unknown", "fields": fields}
    fields |= {"value": _cut(str(error["input"])), "known": _allowed(key, error)}
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


def _line_of(key: str, content: str) -> int:
    """Return the number of the line that sets a key or opens its table."""
    setting = re.compile(rf"(?m)^[\s\[]*[\"\']?{re.escape(key)}[\"\']?\s*[=.\]]")
    found = setting.search(content)
    return 1 + content.count("\n", 0, found.end() - 1 if found else content.find(key))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
