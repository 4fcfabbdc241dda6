"""Where videos are rendered: a number of places, each for one video's attempt at a time.

An attempt is begun early, gets its request, reports events and ends with a result; it can be stopped at any time, and
then nothing of it runs any more. tests/daemon/executors holds every executor to this.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from loguru import logger

from ...config.schema import Config
from ...job import Job
from ...protocol import Event, RenderRequest, Result
from ...renderer_process import Renderer

GPUS = Path("/proc/driver/nvidia/gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"


class Task(Protocol):
    """One video's attempt."""

    async def render(self, request: RenderRequest, audio_s: float, report: Callable[[Event], None]) -> Result:
        """Hand over the request and hear the renderer to its end; the result lies at `request.output`.

        `audio_s`: the voice's length, from which the deadline follows; `report`: called for each event, in order.
        Raises InputError, EngineError, InfrastructureError (as the renderer said), WorkerLost, DeadlineExceeded.
        """
        ...


class Executor(ABC):
    """Gives each attempt a place to be rendered in; a new `config` counts from the next attempt on."""

    config: Config

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many videos may be rendered at once; may change."""

    @abstractmethod
    def renderer(self, folder: Path, cache: Path, job: Job) -> AbstractAsyncContextManager[Task]:
        """Begin an attempt, and end it with all it started.

        folder  empty, for the request and all that is made; cache: what videos share; job: for the log
        """

    @abstractmethod
    async def close(self) -> None:
        """End what outlives the attempts."""


class Local(Executor):
    """Renders on this machine, each video in a child process; with several GPUs each child sees one of them."""

    def __init__(self, config: Config) -> None:
        """Reads the number of places from `config.work.workers`."""
        self.config = config
        workers = config.work.workers
        self._free = per_gpu() if workers == "per-gpu" else [{} for _ in range(workers)]
        self._slots = len(self._free)
        if self._slots > 1:
            logger.info("rendering {} videos at once", self._slots)

    @property
    def slots(self) -> int:
        """As many as configured, or as there are GPUs."""
        return self._slots

    @contextlib.asynccontextmanager
    async def renderer(self, folder: Path, cache: Path, job: Job) -> AsyncIterator[Task]:
        """Start a child; it imports while its input is still being copied."""
        place = self._free.pop(0)
        renderer = Renderer(folder, cache, self.config.attempts, job.name, job.id, place)
        try:
            await renderer.start()
            yield renderer
        finally:
            await renderer.stop()
            self._free.append(place)

    async def close(self) -> None:
        """Nothing does."""


def per_gpu(root: Path = GPUS) -> list[dict[str, str]]:
    """Return for each NVIDIA card the environment that shows only this one; [{}] where there is none.

    Cards that the daemon itself may not see (its own CUDA_VISIBLE_DEVICES) are left alone.
    """
    cards = [name.strip() for name in os.environ[VISIBLE].split(",")] if VISIBLE in os.environ else []
    if VISIBLE not in os.environ:
        cards = [str(number) for number, _ in enumerate(root.glob("*/information"))]
    return [{VISIBLE: card, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} for card in cards if card] or [{}]


def executor(config: Config) -> Executor:
    """Return what the configuration asks for; needs a running loop."""
    if config.work.executor == "ray":
        from .ray_cluster import Cluster

        return Cluster(config)
    return Local(config)
