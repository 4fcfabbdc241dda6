"""What runs on a node: fetches the input, starts the usual renderer process, sends its events and its result."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from loguru import logger

from ..config.schema import GIB
from ..protocol import Done, Event, LogLine, Message, RenderRequest, StartAttempt, failed
from ..renderer_process import Renderer
from ..storage.atomic import AtomicFile, blocks_of
from . import environment_check
from .input_cache import InputCache

HEARTBEAT_S = 10.0
PART_BYTES = 16 << 20
RESULT, PREVIEW = ".mp4", ".json"


@dataclass(frozen=True)
class NodeTask:
    """One video to render on a node.

    start        StartAttempt as JSON
    fingerprint  what must be equal on the node, see `environment_check`
    node_cache   the node's folder for inputs and analysis data
    inputs       content by digest, in parts in Ray's object store; None: read from the paths in `start`
    """

    start: str
    fingerprint: dict[str, str]
    node_cache: str
    inputs: dict[str, list[Any]] | None


def render(node_task: NodeTask, *_nearby: object) -> Iterator[tuple[str, Any]]:
    """Render one video. `_nearby`: the voice, passed so that Ray prefers a node that has it.

    Yields ("node", its id) first; ("differs", names of what differs) and no more; ("event", a line of the protocol);
    ("heartbeat", None) while there is no event; (".mp4" | ".json", a part of that file) before the last event.
    """
    yield "node", ray.get_runtime_context().get_node_id()
    start = StartAttempt.model_validate_json(node_task.start)
    here = environment_check.fingerprint(start.request.models)
    if differs := environment_check.differing(node_task.fingerprint, here):
        yield "differs", differs
        return
    loop = asyncio.new_event_loop()
    events: asyncio.Queue[Event] = asyncio.Queue()
    inputs = InputCache(Path(node_task.node_cache), int(start.request.settings.cache_gib * GIB))
    with inputs.attempt() as folder, contextlib.closing(loop):
        task = loop.create_task(_render(node_task, start, inputs, folder, events.put_nowait))
        try:
            while not task.done() or not events.empty():
                yield loop.run_until_complete(_next(events, task))
            yield from _result(node_task, start, folder, task.result())
        finally:
            task.cancel()
            loop.run_until_complete(asyncio.wait({task}))


async def _next(events: asyncio.Queue[Event], task: asyncio.Task[Message]) -> tuple[str, Any]:
    event = asyncio.ensure_future(events.get())
    await asyncio.wait({event, task}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
    if event.done():
        return "event", event.result().model_dump_json()
    event.cancel()
    return "heartbeat", None


async def _render(
    node_task: NodeTask, start: StartAttempt, inputs: InputCache, folder: Path, report: Callable[[Event], None]
) -> Message:
    """Render in `folder`; return Done or Failed, whatever happens."""
    _log_to(report)
    renderer = Renderer(folder, inputs.cache, start.attempts, start.job, "-")
    try:
        await renderer.start()
        request = await asyncio.to_thread(_fetch, node_task, start.request, inputs, folder)
        return Done(result=await renderer.render(request, start.audio_s, report))
    except ray.exceptions.RayError:
        raise  # the input is lost, the video is not at fault
    except Exception as error:
        return failed(error)
    finally:
        await renderer.stop()


def _fetch(node_task: NodeTask, wanted: RenderRequest, inputs: InputCache, folder: Path) -> RenderRequest:
    """Copy the input to this node's disk and return the request with this node's paths."""
    (folder / "tmp").mkdir()
    for path, digest in wanted.inputs.items():
        if not inputs.has(digest):
            parts = node_task.inputs[digest] if node_task.inputs is not None else None
            source = map(ray.get, parts) if parts is not None else blocks_of(path)
            inputs.put(digest, source)
        inputs.link(digest, folder / path.name)
    return wanted.in_folder(folder).model_copy(
        update={"output": folder / f"result{RESULT}", "scratch": folder / "tmp", "cache": inputs.cache}
    )


def _result(node_task: NodeTask, start: StartAttempt, folder: Path, last: Message) -> Iterator[tuple[str, Any]]:
    """Yield the result's files, and the last event only after them."""
    if isinstance(last, Done):
        for suffix in (PREVIEW, RESULT):
            made = folder / f"result{suffix}"
            if node_task.inputs is not None:
                yield from ((suffix, block) for block in (blocks_of(made, PART_BYTES) if made.exists() else ()))
            elif made.exists():
                write_file(blocks_of(made), start.request.output.with_suffix(suffix))
    yield "event", last.model_dump_json()


def write_file(blocks: Iterator[bytes], target: Path) -> None:
    """Write a file atomically and durably."""
    with AtomicFile(target) as file:
        for block in blocks:
            file.write(block)


def _log_to(report: Callable[[Event], None]) -> None:
    """Send log records to the daemon, which writes the logs."""

    def sink(message: Any) -> None:
        report(LogLine(level=message.record["level"].name, message=message.record["message"]))

    logger.remove()
    logger.add(sink, level="DEBUG", format="{message}")
