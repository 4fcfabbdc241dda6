"""The bridge between the daemon and a Ray cluster: Ray's driver, in a process of its own.

python -m heygemd.ray_backend.driver ANSWER_FD SETTINGS

SETTINGS is the section [work.ray] as JSON. Orders come as JSON lines on standard input, answers go to ANSWER_FD. The
end of the input ends everything. The daemon itself stays light, and a driver that Ray ends with its head takes nothing
along.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import ray

from .. import protocol
from ..config.schema import GIB, Ray
from ..errors import HeygemdError, InfrastructureError, WorkerLost
from ..storage.atomic import AtomicFile, blocks_of
from . import environment_check, node

CAPACITY_S = 5.0
PUT_BYTES = 16 << 20
LINE_BYTES = 16 << 20
VOICES_KEPT = 16
RECHECK_S = 600.0
"""How long a node with other weights is left alone."""
NODE_ID = "ray.io/node-id"

T = TypeVar("T")


class Lost(Exception):
    """The node or the worker process is gone, silent or not fit for it; another will do."""


class Different(Exception):
    """The node would render something else."""


class Bridge:
    """Finds a node for each order, another if that one is lost, and passes words and results on."""

    def __init__(self, settings: Ray, fd: int) -> None:
        """`fd`: where answers go. Ray must be connected."""
        self.settings = settings
        self.fd = fd
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._strange: dict[str, tuple[float, list[str]]] = {}
        self._voices: deque[tuple[str, list[ray.ObjectRef]]] = deque(maxlen=VOICES_KEPT)
        self._remote = ray.remote(node.work)

    async def serve(self) -> None:
        """Obey until the input ends."""
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        receiver = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: receiver, sys.stdin)
        tell = asyncio.create_task(self._tell_capacity())
        while line := await reader.readline():
            order = protocol.DRIVER_COMMAND.validate_json(line)
            if isinstance(order, protocol.StartAttempt):
                self._tasks[order.number] = asyncio.create_task(self._attempt(order))
            elif isinstance(order, protocol.StopAttempt) and order.number in self._tasks:
                self._tasks[order.number].cancel()
        for task in (tell, *self._tasks.values()):
            task.cancel()
        await asyncio.wait([tell, *self._tasks.values()])

    async def _tell_capacity(self) -> None:
        while True:
            protocol.send(self.fd, protocol.Capacity(slots=sum(self._room(each) for each in ray.nodes())))
            await asyncio.sleep(CAPACITY_S)

    def _room(self, each: dict[str, Any]) -> int:
        """Return how many videos fit a node at once."""
        wants = self.settings
        needs = {"GPU": wants.num_gpus, "CPU": wants.num_cpus, "memory": wants.memory_gib * GIB}
        if not each["Alive"]:
            return 0
        return int(min(each["Resources"].get(name, 0) / need for name, need in needs.items() if need))

    async def _attempt(self, order: protocol.StartAttempt) -> None:
        try:
            await self._somewhere(order)
        except HeygemdError as error:
            self._say(order, protocol.failed(error))
        except Exception as error:  # Ray's own faults are no fault of the video
            self._say(order, protocol.failed(InfrastructureError("cluster_unavailable", reason=_short(error))))
        finally:
            del self._tasks[order.number]
            protocol.send(self.fd, protocol.AttemptEvent(number=order.number, event=None))

    def _say(self, order: protocol.StartAttempt, event: protocol.Event) -> None:
        protocol.send(self.fd, protocol.AttemptEvent(number=order.number, event=event))

    async def _somewhere(self, order: protocol.StartAttempt) -> None:
        """Render on one node after the other until one says how it went.

        Ray's own retries would replay a stream that was heard already, and count on it being the same: ours is not.
        """
        facts = await asyncio.to_thread(environment_check.facts, order.request.models)
        inputs = None
        if self.settings.exchange == "objects":
            inputs = await asyncio.to_thread(self._offer, order)
        errand = node.Errand(order.model_dump_json(), facts, str(self.settings.node_cache), inputs)
        tried: list[str] = []
        while True:
            try:
                return await self._on_a_node(order, errand, tried)
            except Different as error:
                self._say(order, protocol.LogLine(level="WARNING", message=str(error)))
                tried.pop()
            except Lost as error:
                self._say(order, protocol.LogLine(level="WARNING", message=f"a node was lost: {error}"))
                if len(tried) > self.settings.max_node_losses:
                    raise WorkerLost("nodes_lost", detail=str(error), count=len(tried)) from None

    def _offer(self, order: protocol.StartAttempt) -> dict[str, list[ray.ObjectRef]]:
        """Put the input into the object store in parts; voices stay for a job's next videos."""
        request = order.request
        voice = next((parts for digest, parts in self._voices if digest == request.voice_digest), None)
        if voice is None:
            voice = [ray.put(block) for block in blocks_of(request.voice, PUT_BYTES)]
            self._voices.append((request.voice_digest, voice))
        video = [ray.put(block) for block in blocks_of(request.video, PUT_BYTES)]
        return {request.voice_digest: voice, request.video_digest: video}

    def _elsewhere(self, tried: list[str]) -> set[str]:
        """Return the nodes to avoid: those that would render something else, and if there are others those `tried`.

        Raises InfrastructureError("cluster_differs") when only the former are left.
        """
        now = time.monotonic()
        self._strange = {name: seen for name, seen in self._strange.items() if now - seen[0] < RECHECK_S}
        alive = {each["NodeID"]: each["NodeManagerHostname"] for each in ray.nodes() if self._room(each)}
        if alive and not alive.keys() - self._strange.keys():
            what = sorted({name for _, names in self._strange.values() for name in names})
            raise InfrastructureError("cluster_differs", nodes=sorted(set(alive.values())), what=what)
        strange, worn = set(self._strange), set(tried) - {""}
        return strange | worn if alive.keys() - strange - worn else strange

    async def _on_a_node(self, order: protocol.StartAttempt, errand: node.Errand, tried: list[str]) -> None:
        """Render on one node, whose id is added to `tried`. Raises Lost, Different."""
        wants = self.settings
        options: dict[str, Any] = {"num_cpus": wants.num_cpus, "num_gpus": wants.num_gpus, "max_retries": 0}
        if wants.memory_gib:
            options["memory"] = int(wants.memory_gib * GIB)
        if avoided := self._elsewhere(tried):
            options["label_selector"] = {NODE_ID: f"!in({','.join(sorted(avoided))})"}
        # The second time a node that hangs may have the voice: asked for a place because of it, it would not answer.
        near = errand.inputs[order.request.voice_digest][:1] if errand.inputs and not tried else []
        tried.append("")
        stream = self._remote.options(**options).remote(errand, *near)
        grace_s = order.attempts.stop_grace_s
        try:
            with contextlib.ExitStack() as files:
                await self._hear(order, _items(stream, wants.node_timeout_s), files, tried)
        except BaseException:
            await _end(stream, grace_s)
            raise
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(_drain(stream), grace_s)

    async def _hear(
        self,
        order: protocol.StartAttempt,
        items: AsyncIterator[tuple[str, Any]],
        files: contextlib.ExitStack,
        tried: list[str],
    ) -> None:
        """Pass on what a node says until its last word; the result's files are whole before that."""
        parts: dict[str, AtomicFile] = {}
        async for kind, content in items:
            if kind == "node":
                tried[-1] = content
                self._say(order, protocol.LogLine(level="DEBUG", message=f"on node {content}"))
            elif kind == "different":
                self._strange[tried[-1]] = (time.monotonic(), content)
                raise Different(f"node {tried[-1]} differs in {', '.join(content)}")
            elif kind == "event" and (event := protocol.parse(content.encode())):
                if isinstance(event, protocol.Done):
                    _publish(parts)
                elif isinstance(event, protocol.Failed) and _of_the_node(event):
                    raise Lost(str(event.error()))
                self._say(order, event)
                if isinstance(event, protocol.Done | protocol.Failed):
                    return
            elif kind in (node.RESULT, node.EVIDENCE):
                if kind not in parts:
                    parts[kind] = AtomicFile(order.request.output.with_suffix(kind))
                    files.callback(parts[kind].discard)
                parts[kind].write(content)
        raise Lost("it ended without a word")


def _publish(parts: dict[str, AtomicFile]) -> None:
    for part in parts.values():
        part.publish()


def _of_the_node(event: protocol.Failed) -> bool:
    """Whether the machine is at fault: its disk, its GPU, its memory (the kernel kills a renderer for want of it)."""
    return event.kind == "infrastructure" or event.fields.get("signal") == "SIGKILL"


async def _items(stream: ray.ObjectRefGenerator, silent_s: float) -> AsyncIterator[tuple[str, Any]]:
    """Yield what a node says; raise Lost when one that has begun falls silent. A place is waited for without limit."""
    patience_s = None
    while True:
        try:
            ref = await asyncio.wait_for(stream.__anext__(), patience_s)
            item = await asyncio.wait_for(_content(ref), silent_s)
        except StopAsyncIteration:
            return
        except (TimeoutError, asyncio.TimeoutError):
            raise Lost(f"silent for {silent_s:g} s") from None
        except ray.exceptions.RayTaskError as error:
            raise Lost(_short(error)) from None
        except ray.exceptions.TaskUnschedulableError as error:
            raise InfrastructureError("cluster_unavailable", reason=_short(error)) from None
        except ray.exceptions.RayError as error:
            raise Lost(_short(error)) from None
        patience_s = silent_s
        yield item


async def _content(ref: Awaitable[T]) -> T:
    return await ref


async def _end(stream: ray.ObjectRefGenerator, grace_s: float) -> None:
    """End the task on its node, politely first; it ends its renderer, and so does the kernel when it is killed."""
    for force in (False, True):
        with contextlib.suppress(ray.exceptions.RayError, ValueError, TypeError):
            ray.cancel(stream, force=force)
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(_drain(stream), 2 * grace_s)
            return


async def _drain(stream: ray.ObjectRefGenerator) -> None:
    with contextlib.suppress(StopAsyncIteration, ray.exceptions.RayError):
        while True:
            await (await stream.__anext__())


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]


def main(arguments: list[str]) -> int:
    """Connect and serve; return the exit status."""
    fd, settings = int(arguments[0]), Ray.model_validate_json(arguments[1])
    os.set_inheritable(fd, False)
    try:
        ray.init(address=settings.address, namespace="heygemd", log_to_driver=False, configure_logging=False)
    except Exception as error:
        with contextlib.suppress(BrokenPipeError):
            protocol.send(fd, protocol.ClusterFailure(reason=_short(error)))
        return 1
    with contextlib.suppress(BrokenPipeError):
        asyncio.run(Bridge(settings, fd).serve())
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
