"""`heygemd render` and `heygemd sync`: one video without the daemon, in the same renderer process that it uses."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from ..config import loader
from ..config.schema import Config, Render
from ..errors import ConfigError, InputError, named, of_the_voice, printable
from ..media import probe
from ..path_checks import exists, unwritable
from ..protocol import (
    MAX_SUBTITLE_BYTES,
    MAX_SUBTITLE_FILES,
    Event,
    RenderRequest,
    Result,
    SubtitleFile,
    SyncMeasurement,
    SyncRequest,
)
from ..renderer_process import Renderer
from ..storage import transfer


def override(render: Render, assignments: list[str]) -> Render:
    """Return `render` with `key=value` assignments; a value is TOML, or a plain string.

    Raises ConfigError("setting_invalid", mistakes=[...]) with all mistakes.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        key = key.strip().removeprefix("render.")
        if not equals:
            mistakes.append(f"{assignment}: expected KEY=VALUE")
        elif key not in Render.model_fields:
            mistakes.append(loader.unknown_setting(f"render.{key}", Render.model_fields))
        else:
            values[key] = _value(value.strip())
    chosen, invalid = loader.validate(Render, {**render.model_dump(), **values})
    if chosen is None or mistakes:
        raise ConfigError("setting_invalid", mistakes=[*mistakes, *invalid])
    return chosen


def _value(text: str) -> Any:
    try:
        return tomli.loads(f"value = {text}")["value"]
    except tomli.TOMLDecodeError:
        return text


@dataclass(frozen=True)
class Inputs:
    """The files to render; `lips`: a recording that drives the lips instead of the voice."""

    voice: Path
    video: Path
    lips: Path | None = None
    subtitles: tuple[Path, ...] = ()


async def render(config: Config, inputs: Inputs, out: Path, report: Callable[[Event], None]) -> Result:
    """Render with `config.render` and write the result to `out`, which is replaced if it exists.

    Raises InputError("input_missing" | "subtitles_too_large"), ConfigError("output_unwritable") and the renderer's
    errors.
    """
    subtitles = inputs.subtitles
    _require_files(inputs.voice, inputs.video, *([inputs.lips] if inputs.lips else []), *subtitles)
    if len(subtitles) > MAX_SUBTITLE_FILES or any(path.stat().st_size > MAX_SUBTITLE_BYTES for path in subtitles):
        raise InputError("subtitles_too_large", count=MAX_SUBTITLE_FILES, limit_mib=MAX_SUBTITLE_BYTES >> 20)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise ConfigError("output_unwritable", path=str(out), reason=str(error)) from None
    with tempfile.TemporaryDirectory(prefix="heygemd-") as folder:
        return await _render_in(Path(folder), config, inputs, out, report)


async def _render_in(
    scratch: Path, config: Config, inputs: Inputs, out: Path, report: Callable[[Event], None]
) -> Result:
    cache = _cache_folder(config, scratch)
    async with _renderer(config, scratch, cache, out.name) as renderer:
        voice_copy, video_copy, lips_copy = scratch / "voice", scratch / "video", scratch / "lips"
        request = RenderRequest(
            voice=voice_copy,
            video=video_copy,
            voice_digest=_copy(inputs.voice.resolve(), voice_copy),
            video_digest=_copy(inputs.video.resolve(), video_copy),
            output=scratch / "result.mp4",
            scratch=scratch / "tmp",
            cache=cache,
            models=config.paths.models,
            settings=config.render,
            limits=config.limits,
            lips=lips_copy if inputs.lips else None,
            lips_digest=_copy(inputs.lips.resolve(), lips_copy) if inputs.lips else "",
            subtitles=tuple(_subtitle_copies(scratch, inputs.subtitles if config.render.subtitles != "off" else ())),
        )
        with named(inputs.video.name, inputs.voice.name, lips=inputs.lips.name if inputs.lips else ""):
            with of_the_voice():
                info = probe.probe(voice_copy, config.limits)
            result = await renderer.render(request, info.duration_s or 0, report)
        _copy(request.output, out.absolute())
        out.chmod(0o666 & ~_umask())
        return result


def _subtitle_copies(scratch: Path, paths: Sequence[Path]) -> Iterator[SubtitleFile]:
    for number, path in enumerate(paths):
        copy = scratch / f"s{number:02d}"
        yield SubtitleFile(path=copy, digest=_copy(path.resolve(), copy), name=printable(path.name))


async def measure_sync(
    config: Config, video: Path, voice: Path | None, report: Callable[[Event], None]
) -> SyncMeasurement:
    """Measure the offset of a video's lips against its own sound, or against `voice`.

    Raises InputError("input_missing", "no_audio" ...) and the renderer's errors.
    """
    _require_files(video, *([voice] if voice else []))
    with tempfile.TemporaryDirectory(prefix="heygemd-") as folder:
        scratch = Path(folder)
        async with _renderer(config, scratch, scratch / "cache", video.name) as renderer:
            video_copy, voice_copy = scratch / "video", scratch / "voice"
            _copy(video.resolve(), video_copy)
            if voice is not None:
                _copy(voice.resolve(), voice_copy)
            request = SyncRequest(
                video=video_copy,
                voice=voice_copy if voice else video_copy,
                scratch=scratch / "tmp",
                models=config.paths.models,
                settings=config.render,
                limits=config.limits,
            )
            with named(video.name, (voice or video).name):
                info = probe.probe(video_copy, config.limits)
                return await renderer.measure_sync(request, info.duration_s or 0, report)


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


def _require_files(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise InputError("input_missing", path=str(path))


def _cache_folder(config: Config, scratch: Path) -> Path:
    """Return the configured analysis cache if this user owns it, else a temporary one.

    Root must not leave files in the service's cache, because the service could not replace them.
    """
    cache = config.paths.cache
    if exists(cache) and cache.stat().st_uid == os.geteuid() and not unwritable(cache):
        return cache / "analysis"
    return scratch / "cache"


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _copy(source: Path, target: Path) -> str:
    """Copy and verify; `target` appears only when it is complete. Return the digest."""
    return transfer.finish(transfer.copy_local(source, target))
