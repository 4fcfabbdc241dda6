"""The settings of where videos are rendered, and how many at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .engine_settings import Section

Count = Annotated[int, Field(ge=1)]


class Work(Section):
    """Where videos are rendered, and how many at once."""

    workers: Count | Literal["per-gpu"] = 1
