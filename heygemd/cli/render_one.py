"""`heygemd render` and `heygemd sync`: one video; no folders and no daemon, but the same renderer process."""

from __future__ import annotations

import contextlib
import difflib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import tomli
from pydantic import ValidationError

from ..config.schema import Config, Render
from ..errors import ConfigError, InputError
from ..finding import there, unwritable
from ..media import probe
from ..protocol import Event, RenderRequest, Result, SyncMeasurement, SyncRequest
from ..renderer_process import Renderer
from ..storage import transfer


def override(render: Render, assignments: list[str]) -> Render:
    """Return `render` with `key=value` assignments; values are TOML, or plain words.

    Raises ConfigError("setting_invalid", mistakes=[...]) with every mistake.
    """
    wishes: dict[str, Any] = {}
    mistakes: list[str] = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        key = key.strip().removeprefix("render.")
        if not equals or key not in Render.model_fields:
            near = difflib.get_close_matches(key, Render.model_fields, 1, 0.5)
            hint = f", did you mean {near[0]!r}?" if near else ""
            mistakes.append(f"{assignment}: unknown setting{hint}; allowed: {', '.join(Render.model_fields)}")
        else:
            wishes[key] = _value(value.strip())
    try:
        chosen = Render.model_validate({**render.model_dump(), **wishes})
    except ValidationError as error:
        mistakes += [f"{e['loc'][0]} = {e['input']!r}: {e['msg']}" for e in error.errors()]
        chosen = render
    if mistakes:
        raise ConfigError("setting_invalid", mistakes=mistakes)
    return chosen


def _value(text: str) -> Any:
    try:
        return tomli.loads(f"value = {text}")["value"]
    except tomli.TOMLDecodeError:
        return text


async def render(config: Config, voice: Path, video: Path, out: Path, report: Callable[[Event], None]) -> Result:
    """Render with `config.render` and put the result at `out`, which is replaced if it exists.

    Raises InputError("input_missing"), ConfigError("output_unwritable") and the renderer's faults.
    """
    _require(voice, video)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ConfigError("output_unwritable", path=str(out), reason=str(error)) from None
    with tempfile.TemporaryDirectory(prefix="heygemd-") as folder:
        return await _in_scratch(config, voice, video, out, Path(folder), report)


async def _in_scratch(
    config: Config, voice: Path, video: Path, out: Path, scratch: Path, report: Callable[[Event], None]
) -> Result:
    cache = _cache(config, scratch)
    async with _renderer(config, scratch, cache, out.name) as renderer:
        neutral_voice, neutral_video = scratch / "voice", scratch / "video"
        request = RenderRequest(
            voice=neutral_voice,
            video=neutral_video,
            voice_digest=_copy(voice.resolve(), neutral_voice),
            video_digest=_copy(video.resolve(), neutral_video),
            output=scratch / "result.mp4",
            scratch=scratch / "tmp",
            cache=cache,
            models=config.paths.models,
            settings=config.render,
            limits=config.limits,
        )
        with _called(voice):
            info = probe.probe(neutral_voice, config.limits)
        with _called(video):
            result = await renderer.render(request, info.duration_s or 0, report)
        _copy(request.output, out.absolute())
        return result


async def judge(config: Config, video: Path, voice: Path | None, report: Callable[[Event], None]) -> SyncMeasurement:
    """Measure whether a video's lips move with its own sound, or with `voice`.

    Raises InputError("input_missing", "no_audio" ...) and the renderer's faults.
    """
    _require(video, *([voice] if voice else []))
    with tempfile.TemporaryDirectory(prefix="heygemd-") as folder:
        scratch = Path(folder)
        async with _renderer(config, scratch, scratch / "cache", video.name) as renderer:
            neutral_video, neutral_voice = scratch / "video", scratch / "voice"
            _copy(video.resolve(), neutral_video)
            if voice is not None:
                _copy(voice.resolve(), neutral_voice)
            request = SyncRequest(
                video=neutral_video,
                voice=neutral_voice if voice else neutral_video,
                scratch=scratch / "tmp",
                models=config.paths.models,
                settings=config.render,
                limits=config.limits,
            )
            with _called(video):
                info = probe.probe(neutral_video, config.limits)
                return await renderer.measure_sync(request, info.duration_s or 0, report)


@contextlib.contextmanager
def _called(path: Path) -> Iterator[None]:
    """Let what is wrong with a copy be told of the file by its own name."""
    try:
        yield
    except InputError as error:
        error.fields.setdefault("name", path.name)
        raise


@contextlib.asynccontextmanager
async def _renderer(config: Config, scratch: Path, cache: Path, name: str) -> AsyncIterator[Renderer]:
    (scratch / "tmp").mkdir()
    cache.mkdir(exist_ok=True)
    renderer = Renderer(scratch, cache, config.attempts, name, "-")
    try:
        await renderer.start()
        yield renderer
    finally:
        await renderer.stop()


def _require(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise InputError("input_missing", path=str(path))


def _cache(config: Config, scratch: Path) -> Path:
    """Return the configured cache of face tracks if it is ours, else one that ends with this run.

    Files that root left in the service's cache could not be replaced by the service.
    """
    cache = config.paths.cache
    if there(cache) and cache.stat().st_uid == os.geteuid() and not unwritable(cache):
        return cache / "analysis"
    return scratch / "cache"


def _copy(source: Path, target: Path) -> str:
    """Copy verified, appearing whole under its name; return the digest."""
    return transfer.finish(transfer.copy(source, target))
