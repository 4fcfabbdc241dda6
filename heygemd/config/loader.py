"""Reads config.toml. All mistakes are reported at once, each with the key, the allowed values and a likely spelling.

The file must lie outside the share: whoever can write to the share must not be able to configure the daemon.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import tomli
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..errors import ConfigError
from .schema import Config, Section

DEFAULT_PATH = Path("/etc/heygemd/config.toml")
MAX_MISTAKES, MAX_MISTAKE_CHARS = 20, 300
SECRET = "notify.urls"
"""Holds passwords: its value is never shown, not even in a mistake."""
M = TypeVar("M", bound=Section)


def load(path: Path | None) -> Config:
    """Read `path`. None reads DEFAULT_PATH if it exists and otherwise returns the defaults.

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
    config, mistakes = parse(Config, text)
    if config is not None:
        mistakes = [*_inside_share(config, path), *_conflicts(config)]
    if config is None or mistakes:
        raise ConfigError("config_invalid", path=str(path), mistakes=mistakes)
    return config


def _inside_share(config: Config, path: Path) -> Iterator[str]:
    share = config.paths.share
    inside = [f"paths.{key}" for key, value in config.paths if key != "share" and value.is_relative_to(share)]
    if path.absolute().is_relative_to(share):
        inside.append(str(path))
    yield from (f"{what}: must lie outside the share {share}" for what in inside)


def _conflicts(config: Config) -> Iterator[str]:
    """Check settings that exclude each other across tables."""
    if config.work.workers == "per-gpu" and config.render.device.startswith("cuda:"):
        yield 'render.device: with work.workers = "per-gpu" each renderer sees one GPU only: use "auto" or "cuda"'


def parse(model: type[M], text: str, context: dict[str, Any] | None = None) -> tuple[M | None, list[str]]:
    """Return the settings in the TOML `text` and no mistakes, or None and the mistakes (cut to a readable size)."""
    try:
        data = tomli.loads(text)
    except (ValueError, RecursionError) as error:  # tomli's own; very long numbers; very deep nesting
        return None, [f"not valid TOML: {error}"[:MAX_MISTAKE_CHARS]]
    return validate(model, data, context)


def validate(model: type[M], data: dict[str, Any], context: dict[str, Any] | None = None) -> tuple[M | None, list[str]]:
    """Return the settings in `data` and no mistakes, or None and the mistakes."""
    try:
        return model.model_validate(data, context=context), []
    except ValidationError as error:
        return None, [_mistake(model, e)[:MAX_MISTAKE_CHARS] for e in error.errors()[:MAX_MISTAKES]]


def _mistake(model: type[Section], error: ErrorDetails) -> str:
    """Return one line: the key, what is wrong with it, the allowed values and a likely spelling."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return unknown_setting(key, _keys_beside(model, error["loc"]))
    value = error["input"]
    hint = ""
    if error["type"] == "literal_error":
        allowed = error.get("ctx", {}).get("expected", "").replace("'", "").replace(" or ", ", ").split(", ")
        hint = _did_you_mean(str(value), allowed)
    given = "" if isinstance(value, Mapping) or key.startswith(SECRET) else f" = {value!r}"
    problem = error["msg"].removeprefix("Value error, ")
    return f"{key}{given}: {problem[0].lower()}{problem[1:]}{hint}"


def unknown_setting(key: str, allowed: Iterable[str]) -> str:
    """Return one line about a key that does not exist; `allowed`: the names at its place."""
    allowed = list(allowed)
    return f"{key}: unknown setting{_did_you_mean(key.rpartition('.')[2], allowed)}; allowed: {', '.join(allowed)}"


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
