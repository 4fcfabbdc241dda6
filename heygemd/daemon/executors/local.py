"""Renders on this machine: each video in a child process, with several GPUs each child on one of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from loguru import logger

from ...config.schema import Config
from ...job import Job
from ...renderer_process import Renderer
from ..gpus import gpu_environments
from .base import Executor, Task, completed


class LocalExecutor(Executor):
    """Starts one renderer process for each attempt."""

    def __init__(self, config: Config) -> None:
        """Takes the number of slots from `config.work.workers`."""
        self.config = config
        workers = config.work.workers
        self._free = gpu_environments() if workers == "per-gpu" else [{} for _ in range(workers)]
        self._slots = len(self._free)
        if self._slots > 1:
            logger.info("rendering up to {} videos at once", self._slots)

    @property
    def slots(self) -> int:
        """As many as configured, or one per GPU."""
        return self._slots

    @contextlib.asynccontextmanager
    async def renderer(self, folder: Path, cache: Path, job: Job) -> AsyncIterator[Task]:
        """Start a renderer; it imports its libraries while the input is still being copied."""
        environment = self._free.pop(0)
        renderer = Renderer(folder, cache, self.config.attempts, job.name, job.id, environment)
        try:
            await renderer.start()
            yield renderer
        finally:
            try:
                await completed(renderer.stop())
            finally:
                self._free.append(environment)

    async def close(self) -> None:
        """Nothing outlives the attempts."""
