"""The settings of single engines, and which engines there are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

ENGINES = ("mesh", "wav2lip")
"""The engines that ship with heygemd."""
PLUGINS = "heygemd.engines"
"""The entry-point group in which other packages offer theirs."""

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen table of settings; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Wav2Lip(Section):
    """The engine wav2lip.

    checkpoint  path of the weights; empty: those in the models folder
    lead_ms     how much earlier than the reference its window of sound begins
    pads        room added above, below, left and right of the face, in shares of it
    """

    checkpoint: str = ""
    compat: bool = False
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    lead_ms: Annotated[float, Field(ge=-200, le=500)] = 40
    pads: tuple[Share, Share, Share, Share] = (0, 0.05, 0, 0)
    delta: bool = False
    silence_gate: bool = True


class Command(Section):
    """A lip-sync program of somebody else's as an engine.

    argv, environment  may hold {video} {audio} {output} {fps} {device}
    folder             where it is installed; it runs in a copy made of links, and so does not change it
    fresh              folders that it writes to there: empty ones of its own for each video
    output             where it leaves its result: a path or pattern, with the same words
    progress           regular expression on its output: one group is percent, two are done and total
    """

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    environment: dict[str, str] = {}
    folder: Path | None = None
    fresh: tuple[str, ...] = ()
    output: str = "{output}"
    progress: str = ""
    time_limit_s: Positive = 3600

    def is_there(self) -> bool:
        """Return whether its program can be run; a relative path with a slash lies in `folder`."""
        program = self.argv[0]
        path = str(self.folder / program) if self.folder is not None and "/" in program else program
        return shutil.which(path, path=self.environment.get("PATH")) is not None

    @model_validator(mode="after")
    def _is_whole(self) -> Command:
        said = " ".join([*self.argv, *self.environment.values()])
        wanted = ["{audio}", *(["{output}"] if self.output == "{output}" else [])]
        if missing := [word for word in wanted if word not in said]:
            raise ValueError(f"argv or environment must say {', '.join(missing)}")
        return self

    @field_validator("progress")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        if value and groups not in (1, 2):
            raise ValueError("must have one group (percent) or two (done, total)")
        return value


def known_engine(name: str, commands: Collection[str]) -> str:
    """Return `name` if it is one of ours, of `commands` or of a plug-in; else raise what pydantic reports."""
    if name in ENGINES or name in commands:
        return name
    known = sorted({*ENGINES, *commands, *(point.name for point in metadata.entry_points(group=PLUGINS))})
    if name not in known:
        expected = ", ".join(f"'{each}'" for each in known)
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
    return name
