"""The settings of what happens around the work: news, figures, old folders."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from .engine_settings import Section

Event = Literal["done", "failed", "paused", "recovered", "digest"]
NEWS_FIELDS = ("event", "job", "folder", "done", "total", "why", "share", "host", "jobs", "good", "bad")


def _names_known_fields(template: str) -> str:
    unknown = {name for _, name, _, _ in Formatter().parse(template) if name is not None} - set(NEWS_FIELDS)
    if unknown:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(NEWS_FIELDS)}")
    return template


Template = Annotated[str, AfterValidator(_names_known_fields)]
"""Words with {fields} of NEWS_FIELDS."""


class Notify(Section):
    """Whom to tell what; `heygemd notify` sends, the daemon has no network."""

    urls: tuple[SecretStr, ...] = ()
    on: tuple[Event, ...] = ("failed", "paused", "recovered")
    digest_hour: Annotated[int, Field(ge=0, le=23)] = 8
    max_per_hour: Annotated[int, Field(ge=1)] = 20
    templates: dict[Event, Template] = Field(default_factory=dict)


class Metrics(Section):
    """What Prometheus can read."""

    textfile: str = ""


class Retention(Section):
    """What becomes of finished folders; nothing, unless asked for."""

    done_days: Annotated[float, Field(ge=0)] = 0
    failed_days: Annotated[float, Field(ge=0)] = 0
    max_gib: Annotated[float, Field(ge=0)] = 0
    deed: Literal["archive", "delete"] = "archive"
    archive: str = ""
    notice_h: Annotated[float, Field(ge=0)] = 1

    @model_validator(mode="after")
    def _archive_is_named(self) -> Retention:
        wanted = self.done_days or self.failed_days or self.max_gib
        if wanted and self.deed == "archive" and not self.archive:
            raise ValueError('deed "archive" needs archive = "/a/folder"; deed = "delete" deletes')
        return self
