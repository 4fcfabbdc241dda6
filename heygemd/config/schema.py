"""The administrator's settings: `config.toml` into frozen models, every mistake reported at once.

A settings file lies outside the share: whoever can write the share must not be able to configure the daemon.
`JobSettings` is the safe subset that staff may put as `job.toml` into a folder.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import tomli
from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from ..errors import ConfigError, InputError
from ..i18n import catalog
from .engine_settings import ENGINES, Command, Positive, Section, Share, Wav2Lip, known_engine
from .upkeep_settings import Metrics, Notify, Retention
from .work_settings import Work

DEFAULT_PATH = Path("/etc/heygemd/config.toml")

Tracker = Literal["auto", "facemesh", "face-alignment"]
Detector = Literal["s3fd", "blazeface"]
Quality = Literal["draft", "standard", "high"]
AudioLonger = Literal["pingpong", "loop", "hold", "trim"]
AudioShorter = Literal["cut", "keep"]


def _has_words(language: str) -> str:
    if language not in catalog.languages():
        raise ValueError(f"there are words in {', '.join(catalog.languages())}")
    return language


Language = Annotated[str, AfterValidator(_has_words)]
"""A language there is a catalogue for."""
Count = Annotated[int, Field(ge=1)]
MIB, GIB = 1 << 20, 1 << 30
"""Bytes in the units of settings."""
MISTAKES, MISTAKE_CHARS = 20, 300
SECRET = "notify.urls"
"""Never shown, not even as somebody's mistake: it holds passwords."""


M = TypeVar("M", bound=Section)


class Paths(Section):
    """Where things lie; all but the share on local disks, and outside it."""

    share: Path = Path("/srv/heygemd")
    state: Path = Path("/var/lib/heygemd")
    cache: Path = Path("/var/cache/heygemd")
    log: Path = Path("/var/log/heygemd")
    models: Path = Path("/var/lib/heygemd/models")

    @property
    def outbox(self) -> Path:
        """Where the daemon leaves news for `heygemd notify` to send."""
        return self.state / "outbox"


class Inbox(Section):
    """How the inbox is watched and when a folder counts as complete."""

    poll_s: Positive = 5
    settle_local_s: Positive = 15
    settle_network_s: Positive = 30
    settle_nfs_cached_s: Positive = 65
    settle_zero_tail_s: Positive = 120
    incomplete_fail_after_h: Positive = 4
    waiting_note_after_s: Positive = 600
    waiting_fail_after_h: Positive = 24
    io_deadline_s: Positive = 10


class Limits(Section):
    """What a file or folder may cost."""

    probe_timeout_s: Positive = 20
    max_files_per_job: Count = 64
    max_file_gib: Positive = 50
    max_job_gib: Positive = 200
    max_pixels: Count = 8192 * 4320
    max_fps: Positive = 240
    max_audio_s: Positive = 3600
    max_video_s: Positive = 14400
    free_scratch_gib: Annotated[float, Field(ge=0)] = 2
    free_share_gib: Annotated[float, Field(ge=0)] = 1
    free_state_mib: Annotated[float, Field(ge=0)] = 200


class Attempts(Section):
    """How often and how long a video is tried."""

    max_attempts: Count = 3
    retry_backoff_s: tuple[Annotated[float, Field(ge=0)], ...] = (30, 300)
    daemon_crash_limit: Count = 2
    stall_s: Positive = 600
    deadline_base_s: Positive = 1800
    deadline_per_audio_s: Positive = 60
    stop_grace_s: Positive = 10


class Render(Section):
    """How videos are rendered."""

    command: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], Command] = Field(default={})
    """First, because `engine` may name one of them."""
    engine: str = "mesh"
    tracker: Tracker = "auto"
    detector: Detector = "s3fd"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    quality: Quality = "standard"
    encoder: Literal["auto", "x264", "nvenc"] = "auto"
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "superfast"
    crf: Annotated[int, Field(ge=0, le=40)] = 18
    audio_longer: AudioLonger = "pingpong"
    audio_shorter: AudioShorter = "cut"
    min_face_share: Share = 0.1
    max_offset_frames: Count = 3
    zip_results: bool = False
    cache_gib: Annotated[float, Field(ge=0)] = 10
    wav2lip: Wav2Lip = Wav2Lip()

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str, info: ValidationInfo) -> str:
        return known_engine(value, info.data.get("command", {}))

    @field_validator("command")
    @classmethod
    def _is_new(cls, value: dict[str, Command]) -> dict[str, Command]:
        if taken := set(value) & set(ENGINES):
            raise ValueError(f"{', '.join(sorted(taken))} ships with heygemd: choose another name")
        return value


class Log(Section):
    """What is logged and kept."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    rotation_mb: Positive = 20
    retention: Count = 10


class People(Section):
    """What staff see."""

    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = ("en", "zh")
    page_refresh_s: Positive = 5


class Config(Section):
    """Every setting of the daemon; see config.example.toml for units and reasons."""

    paths: Paths = Paths()
    inbox: Inbox = Inbox()
    limits: Limits = Limits()
    attempts: Attempts = Attempts()
    work: Work = Work()
    render: Render = Render()
    log: Log = Log()
    people: People = People()
    notify: Notify = Notify()
    metrics: Metrics = Metrics()
    retention: Retention = Retention()


class JobSettings(Section):
    """What `job.toml` in a job folder may override: names and numbers, never paths or commands."""

    engine: str | None = None
    tracker: Tracker | None = None
    quality: Quality | None = None
    audio_longer: AudioLonger | None = None
    audio_shorter: AudioShorter | None = None
    priority: Annotated[int, Field(ge=-9, le=9)] = 0
    language: Language | None = None
    presenters: Annotated[tuple[str, ...], Field(max_length=64)] = ()

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Only what staff write is checked, not what a record remembers."""
        return value if info.context is None or value is None else known_engine(value, info.context["commands"])

    def apply(self, render: Render) -> Render:
        """Return `render` with this job's wishes."""
        wishes = {k: v for k, v in self.model_dump().items() if v is not None and k in Render.model_fields}
        return render.model_copy(update=wishes)


def load(path: Path | None) -> Config:
    """Read `path` (None: the default file if it exists, else the defaults).

    Raises ConfigError("config_missing" | "config_unreadable" | "config_invalid", mistakes=[...]).
    """
    if path is None:
        if not DEFAULT_PATH.exists():
            return Config()
        path = DEFAULT_PATH
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("config_missing", path=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("config_unreadable", path=str(path), reason=str(error)) from None
    config, mistakes = _parse(Config, text)
    if config is None:
        raise ConfigError("config_invalid", path=str(path), mistakes=mistakes)
    share = config.paths.share
    inside = [f"paths.{k}" for k, v in config.paths if k != "share" and v.is_relative_to(share)]
    if path.absolute().is_relative_to(share):
        inside.append(str(path))
    if inside:
        mistakes = [f"{what}: must lie outside the share {share}" for what in inside]
    if config.work.workers == "per-gpu" and config.render.device.startswith("cuda:"):
        mistakes.append('render.device: with work.workers = "per-gpu" a renderer sees one card only: "auto" or "cuda"')
    if mistakes:
        raise ConfigError("config_invalid", path=str(path), mistakes=mistakes)
    return config


def load_job(text: bytes, commands: Collection[str] = ()) -> JobSettings:
    """Read a `job.toml`; `commands`: names of the configured ones. Raises InputError("job_toml_invalid")."""
    settings, mistakes = _parse(JobSettings, text.decode("utf-8-sig", "replace"), {"commands": commands})
    if settings is None:
        raise InputError("job_toml_invalid", mistakes=mistakes)
    return settings


def _parse(model: type[M], text: str, context: dict[str, Any] | None = None) -> tuple[M | None, list[str]]:
    try:
        return model.model_validate(tomli.loads(text), context=context), []
    except ValidationError as error:
        return None, [_mistake(model, e)[:MISTAKE_CHARS] for e in error.errors()[:MISTAKES]]
    except (ValueError, RecursionError) as error:  # tomli's own, and what it lets through: too many digits, too deep
        return None, [f"not valid TOML: {error}"[:MISTAKE_CHARS]]


def _mistake(model: type[Section], error: ErrorDetails) -> str:
    """One line: the key, what is wrong, the allowed values and a spelling near by."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys_beside(model, error["loc"])
        return f"{key}: unknown setting{_did_you_mean(str(error['loc'][-1]), known)}; allowed: {', '.join(known)}"
    value = error["input"]
    near = ""
    if error["type"] == "literal_error":
        allowed = error.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", ")
        near = _did_you_mean(str(value), allowed)
    given = "" if isinstance(value, Mapping) or key.startswith(SECRET) else f" = {value!r}"
    return f"{key}{given}: {error['msg'][0].lower()}{error['msg'][1:]}{near}"


def _did_you_mean(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f", did you mean {near[0]!r}?" if near else ""


def _keys_beside(model: type[Section], loc: tuple[int | str, ...]) -> list[str]:
    here: Any = model
    for part in loc[:-1]:
        here = get_args(here)[1] if get_origin(here) is dict else here.model_fields[part].annotation
    return list(here.model_fields)


def effective(config: Config, path: Path | None) -> Iterator[tuple[str, Any, str]]:
    """Yield (key, value, origin) for every setting, tables after plain keys; origin is the file's path or "default"."""
    source = path if path is not None else DEFAULT_PATH
    given: dict[str, Any] = tomli.loads(source.read_bytes().decode("utf-8-sig")) if source.exists() else {}
    for section, table in config:
        for key, value, is_given in _settings(table, given.get(section, {})):
            yield f"{section}.{key}", value, str(source) if is_given else "default"


def _settings(table: Section | dict[str, Any], given: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    items = list(table) if isinstance(table, Section) else list(table.items())
    for key, value in sorted(items, key=lambda item: isinstance(item[1], Section | dict)):
        if isinstance(value, Section | dict):
            yield from ((f"{key}.{k}", v, is_given) for k, v, is_given in _settings(value, given.get(key, {})))
        else:
            yield key, value, key in given
