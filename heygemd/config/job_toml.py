"""job.toml: the few settings that staff may override for one job folder. Names and numbers, never paths or commands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from ..errors import InputError
from . import loader
from .schema import AudioLonger, AudioShorter, Language, Quality, Render, Section, TrackerName, known_engine


class JobSettings(Section):
    """What `job.toml` in a job folder may override; None keeps the daemon's setting."""

    engine: str | None = None
    tracker: TrackerName | None = None
    quality: Quality | None = None
    audio_longer: AudioLonger | None = None
    audio_shorter: AudioShorter | None = None
    priority: Annotated[int, Field(ge=-9, le=9)] = 0
    language: Language | None = None
    presenters: Annotated[tuple[str, ...], Field(max_length=64)] = ()

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Check only what staff write (with a context), not what a job record holds: its engine may be gone by now."""
        return value if info.context is None or value is None else known_engine(value, info.context["commands"])

    def apply(self, render: Render) -> Render:
        """Return `render` with this job's overrides."""
        overrides = {k: v for k, v in self.model_dump().items() if v is not None and k in Render.model_fields}
        return render.model_copy(update=overrides)


def load_job(text: bytes, commands: Collection[str] = ()) -> JobSettings:
    """Read a `job.toml`; `commands`: names of the configured commands. Raises InputError("job_toml_invalid")."""
    settings, mistakes = loader.parse(JobSettings, text.decode("utf-8-sig", "replace"), {"commands": commands})
    if settings is None:
        raise InputError("job_toml_invalid", mistakes=mistakes)
    return settings
