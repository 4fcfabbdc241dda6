"""The Ray driver, in a process of its own: it passes messages between the daemon and the nodes of a cluster.

python -m heygemd.ray_backend.driver MESSAGE_FD SETTINGS

SETTINGS is the section [work.ray] as JSON. Commands come as JSON lines on standard input, messages go to MESSAGE_FD.
The end of the input ends everything. The daemon does not load Ray, and survives when Ray ends its driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import ray
from async_timeout import timeout

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
"""How long a node that differs is not used."""
NODE_ID = "ray.io/node-id"


class NodeLost(Exception):
    """The node or its worker process is gone, silent or broken; another node can do the work."""


class NodeDiffers(Exception):
    """The node has other code or weights and would render something else."""


class Driver:
    """Finds a node for each attempt, another one if that is lost, and passes events and results on."""

    def __init__(self, settings: Ray, fd: int) -> None:
        """`fd`: where messages go. Ray must be connected."""
        self.settings = settings
        self.fd = fd
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._differing: dict[str, tuple[float, list[str]]] = {}
        self._voices: deque[tuple[str, list[ray.ObjectRef]]] = deque(maxlen=VOICES_KEPT)
        self._remote_render = ray.remote(node.render)

    async def serve(self) -> None:
        """Carry out commands until the input ends."""
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        receiver = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: receiver, sys.stdin)
        reporting = asyncio.create_task(self._report_capacity())
        while line := await reader.readline():
            command = protocol.DRIVER_COMMAND.validate_json(line)
            if isinstance(command, protocol.StartAttempt):
                self._tasks[command.number] = asyncio.create_task(self._attempt(command))
            elif isinstance(command, protocol.StopAttempt) and command.number in self._tasks:
                self._tasks[command.number].cancel()
        for task in (reporting, *self._tasks.values()):
            task.cancel()
        await asyncio.wait([reporting, *self._tasks.values()])

    async def _report_capacity(self) -> None:
        while True:
            protocol.send(self.fd, protocol.Capacity(slots=sum(self._slots(ray_node) for ray_node in ray.nodes())))
            await asyncio.sleep(CAPACITY_S)

    def _slots(self, ray_node: dict[str, Any]) -> int:
        """Return how many videos a node can render at once."""
        settings = self.settings
        needs = {"GPU": settings.num_gpus, "CPU": settings.num_cpus, "memory": settings.memory_gib * GIB}
        if not ray_node["Alive"]:
            return 0
        return int(min(ray_node["Resources"].get(name, 0) / need for name, need in needs.items() if need))

    async def _attempt(self, start: protocol.StartAttempt) -> None:
        try:
            await self._render(start)
        except HeygemdError as error:
            self._send(start, protocol.failed(error))
        except Exception as error:  # a fault of Ray, not of the video
            self._send(start, protocol.failed(InfrastructureError("cluster_unavailable", reason=_short(error))))
        finally:
            del self._tasks[start.number]
            protocol.send(self.fd, protocol.AttemptEvent(number=start.number, event=None))

    def _send(self, start: protocol.StartAttempt, event: protocol.Event) -> None:
        protocol.send(self.fd, protocol.AttemptEvent(number=start.number, event=event))

    async def _render(self, start: protocol.StartAttempt) -> None:
        """Render on one node after another until one returns a result or a failure.

        Ray's own retries would repeat the stream from its start and assume the same items: ours differ.
        """
        fingerprint = await asyncio.to_thread(environment_check.fingerprint, start.request.models)
        inputs = None
        if self.settings.exchange == "objects":
            inputs = await asyncio.to_thread(self._upload, start)
        task = node.NodeTask(start.model_dump_json(), fingerprint, str(self.settings.node_cache), inputs)
        tried: list[str] = []
        while True:
            try:
                return await self._render_on_node(start, task, tried)
            except NodeDiffers as error:
                self._send(start, protocol.LogLine(level="WARNING", message=str(error)))
                tried.pop()
            except NodeLost as error:
                self._send(start, protocol.LogLine(level="WARNING", message=f"a node was lost: {error}"))
                if len(tried) > self.settings.max_node_losses:
                    raise WorkerLost("nodes_lost", detail=str(error), count=len(tried)) from None

    def _upload(self, start: protocol.StartAttempt) -> dict[str, list[ray.ObjectRef]]:
        """Put the input into the object store in parts; voices are kept for a job's next videos."""
        request = start.request
        voice = next((parts for digest, parts in self._voices if digest == request.voice_digest), None)
        if voice is None:
            voice = [ray.put(block) for block in blocks_of(request.voice, PUT_BYTES)]
            self._voices.append((request.voice_digest, voice))
        others = {digest: path for path, digest in request.inputs.items() if digest != request.voice_digest}
        put = {digest: [ray.put(block) for block in blocks_of(path, PUT_BYTES)] for digest, path in others.items()}
        return {**put, request.voice_digest: voice}

    def _avoided_nodes(self, tried: list[str]) -> set[str]:
        """Return the nodes to avoid: those that differ, and those `tried` as long as there are others.

        Raises InfrastructureError("cluster_differs") if all nodes differ.
        """
        now = time.monotonic()
        self._differing = {name: seen for name, seen in self._differing.items() if now - seen[0] < RECHECK_S}
        usable = [ray_node for ray_node in ray.nodes() if self._slots(ray_node)]
        alive = {ray_node["NodeID"]: ray_node["NodeManagerHostname"] for ray_node in usable}
        if alive and not alive.keys() - self._differing.keys():
            what = sorted({name for _, names in self._differing.values() for name in names})
            raise InfrastructureError("cluster_differs", nodes=sorted(set(alive.values())), what=what)
        differing, used = set(self._differing), set(tried) - {""}
        return differing | used if alive.keys() - differing - used else differing

    async def _render_on_node(self, start: protocol.StartAttempt, task: node.NodeTask, tried: list[str]) -> None:
        """Render on one node and append its id to `tried`. Raises NodeLost, NodeDiffers."""
        settings = self.settings
        options: dict[str, Any] = {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus, "max_retries": 0}
        if settings.memory_gib:
            options["memory"] = int(settings.memory_gib * GIB)
        if avoided := self._avoided_nodes(tried):
            options["label_selector"] = {NODE_ID: f"!in({','.join(sorted(avoided))})"}
        # Ray prefers the node that has the voice. On a second try that may be the node that hangs.
        near = task.inputs[start.request.voice_digest][:1] if task.inputs and not tried else []
        tried.append("")
        stream = self._remote_render.options(**options).remote(task, *near)
        grace_s = start.attempts.stop_grace_s
        try:
            with contextlib.ExitStack() as files:
                await self._forward(start, _items(stream, settings.node_timeout_s), files, tried)
        except BaseException:
            await _end(stream, grace_s)
            raise
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            async with timeout(grace_s):
                await _drain(stream)

    async def _forward(
        self,
        start: protocol.StartAttempt,
        items: AsyncIterator[tuple[str, Any]],
        files: contextlib.ExitStack,
        tried: list[str],
    ) -> None:
        """Forward a node's events up to Done or Failed; the result's files are complete before that."""
        parts: dict[str, AtomicFile] = {}
        async for kind, content in items:
            if kind == "node":
                tried[-1] = content
                self._send(start, protocol.LogLine(level="DEBUG", message=f"on node {content}"))
            elif kind == "differs":
                self._differing[tried[-1]] = (time.monotonic(), content)
                raise NodeDiffers(f"node {tried[-1]} differs in {', '.join(content)}")
            elif kind == "event" and (event := protocol.parse(content.encode())):
                if isinstance(event, protocol.Done):
                    _publish(parts)
                elif isinstance(event, protocol.Failed) and _is_fault_of_node(event):
                    raise NodeLost(str(event.error()))
                self._send(start, event)
                if isinstance(event, protocol.Done | protocol.Failed):
                    return
            elif kind in (node.RESULT, node.PREVIEW):
                if kind not in parts:
                    parts[kind] = AtomicFile(start.request.output.with_suffix(kind))
                    files.callback(parts[kind].discard)
                parts[kind].write(content)
        raise NodeLost("its task ended without a result")


def _publish(parts: dict[str, AtomicFile]) -> None:
    for part in parts.values():
        part.publish()


def _is_fault_of_node(event: protocol.Failed) -> bool:
    """Return whether the machine is at fault: its disk, its GPU, or its memory (the kernel kills a renderer)."""
    return event.kind == "infrastructure" or event.fields.get("signal") == "SIGKILL"


async def _items(stream: ray.ObjectRefGenerator, silent_s: float) -> AsyncIterator[tuple[str, Any]]:
    """Yield what a node sends. Raises NodeLost when it falls silent; waiting for a free node has no limit."""
    timeout_s = None
    while True:
        try:
            async with timeout(timeout_s):
                ref = await stream.__anext__()
            async with timeout(silent_s):
                item = await ref
        except StopAsyncIteration:
            return
        except (TimeoutError, asyncio.TimeoutError):
            raise NodeLost(f"silent for {silent_s:g} s") from None
        except ray.exceptions.RayTaskError as error:
            raise NodeLost(_short(error)) from None
        except ray.exceptions.TaskUnschedulableError as error:
            raise InfrastructureError("cluster_unavailable", reason=_short(error)) from None
        except ray.exceptions.RayError as error:
            raise NodeLost(_short(error)) from None
        timeout_s = silent_s
        yield item


async def _end(stream: ray.ObjectRefGenerator, grace_s: float) -> None:
    """Cancel the task on its node, then kill it. Either way its renderer ends, in the second by the kernel."""
    for force in (False, True):
        with contextlib.suppress(ray.exceptions.RayError, ValueError, TypeError):
            ray.cancel(stream, force=force)
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            async with timeout(2 * grace_s):
                await _drain(stream)
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
        asyncio.run(Driver(settings, fd).serve())
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
