"""What runs on a node: fetches the input, starts the same renderer as one machine does, sends its words and result."""

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
from .input_cache import Shelf

BEAT_S = 10.0
PART_BYTES = 16 << 20
RESULT, EVIDENCE = ".mp4", ".json"


@dataclass(frozen=True)
class Errand:
    """What a node is asked.

    order   as JSON; facts: what must be equal here, see `sameness`; node_cache: where this node keeps things
    inputs  content by digest, in parts in Ray's object store; None: it lies at the order's own paths
    """

    order: str
    facts: dict[str, str]
    node_cache: str
    inputs: dict[str, list[Any]] | None


def work(errand: Errand, *_nearby: object) -> Iterator[tuple[str, Any]]:
    """Render one video. `_nearby`: the voice, given so that Ray prefers a node that has it.

    Yields ("node", its id) first; ("different", names of what differs) and no more; ("event", a line of the protocol);
    ("beat", None) while there is nothing to say; (".mp4" | ".json", a part of that file) before the last event.
    """
    yield "node", ray.get_runtime_context().get_node_id()
    order = StartAttempt.model_validate_json(errand.order)
    if differs := environment_check.differing(errand.facts, environment_check.facts(order.request.models)):
        yield "different", differs
        return
    loop = asyncio.new_event_loop()
    said: asyncio.Queue[Event] = asyncio.Queue()
    shelf = Shelf(Path(errand.node_cache), int(order.request.settings.cache_gib * GIB))
    with shelf.attempt() as folder, contextlib.closing(loop):
        task = loop.create_task(_render(errand, order, shelf, folder, said.put_nowait))
        try:
            while not task.done() or not said.empty():
                yield loop.run_until_complete(_next(said, task))
            yield from _result(errand, order, folder, task.result())
        finally:
            task.cancel()
            loop.run_until_complete(asyncio.wait({task}))


async def _next(said: asyncio.Queue[Event], task: asyncio.Task[Message]) -> tuple[str, Any]:
    listen = asyncio.ensure_future(said.get())
    await asyncio.wait({listen, task}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
    if listen.done():
        return "event", listen.result().model_dump_json()
    listen.cancel()
    return "beat", None


async def _render(
    errand: Errand, order: StartAttempt, shelf: Shelf, folder: Path, report: Callable[[Event], None]
) -> Message:
    """Render in `folder`; return the last word, whatever happens."""
    _log_to(report)
    renderer = Renderer(folder, shelf.cache, order.attempts, order.job, "-")
    try:
        await renderer.start()
        request = await asyncio.to_thread(_fetch, errand, order.request, shelf, folder)
        return Done(result=await renderer.render(request, order.audio_s, report))
    except ray.exceptions.RayError:
        raise  # the input is lost, not the video
    except Exception as error:
        return failed(error)
    finally:
        await renderer.stop()


def _fetch(errand: Errand, wanted: RenderRequest, shelf: Shelf, folder: Path) -> RenderRequest:
    """Bring the input to this node's disk and return the request with this node's paths."""
    (folder / "tmp").mkdir()
    here = {"voice": folder / f"voice{wanted.voice.suffix}", "video": folder / f"video{wanted.video.suffix}"}
    for name, digest in (("voice", wanted.voice_digest), ("video", wanted.video_digest)):
        if not shelf.has(digest):
            parts = errand.inputs[digest] if errand.inputs is not None else None
            source = map(ray.get, parts) if parts is not None else blocks_of(getattr(wanted, name))
            shelf.put(digest, source)
        shelf.place(digest, here[name])
    return wanted.model_copy(
        update={**here, "output": folder / f"result{RESULT}", "scratch": folder / "tmp", "cache": shelf.cache}
    )


def _result(errand: Errand, order: StartAttempt, folder: Path, last: Message) -> Iterator[tuple[str, Any]]:
    """Give the files back, and the last word only when they are there."""
    if isinstance(last, Done):
        for suffix in (EVIDENCE, RESULT):
            made = folder / f"result{suffix}"
            if errand.inputs is not None:
                yield from ((suffix, block) for block in (blocks_of(made, PART_BYTES) if made.exists() else ()))
            elif made.exists():
                leave(blocks_of(made), order.request.output.with_suffix(suffix))
    yield "event", last.model_dump_json()


def leave(blocks: Iterator[bytes], target: Path) -> None:
    """Write a file that appears whole under its name, on the disk."""
    with AtomicFile(target) as file:
        for block in blocks:
            file.write(block)


def _log_to(report: Callable[[Event], None]) -> None:
    """Send log records to the daemon, which owns the sinks."""

    def sink(message: Any) -> None:
        report(LogLine(level=message.record["level"].name, message=message.record["message"]))

    logger.remove()
    logger.add(sink, level="DEBUG", format="{message}")
