"""What executes attempts: a number of slots, each rendering one video at a time.

An attempt is started early, gets its request, reports events and ends with a result. It can be stopped at any time, and
then nothing of it runs any more. tests/daemon/executors/test_local.py holds every executor to this.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from ...config.schema import Config
from ...job import Job
from ...protocol import Event, RenderRequest, Result


class Task(Protocol):
    """One video's attempt."""

    async def render(self, request: RenderRequest, audio_s: float, report: Callable[[Event], None]) -> Result:
        """Hand over the request and wait for the renderer to finish; the result is at `request.output`.

        `audio_s`: duration of the voice, which sets the deadline; `report`: called for each event, in order.
        Raises InputError, EngineError, InfrastructureError (reported by the renderer), WorkerLost, DeadlineExceeded.
        """
        ...


class Executor(ABC):
    """Gives each attempt a place to run; a new `config` applies from the next attempt on."""

    config: Config

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many videos can be rendered at once; may change."""

    @abstractmethod
    def renderer(self, folder: Path, cache: Path, job: Job) -> AbstractAsyncContextManager[Task]:
        """Start an attempt; leaving the context ends it and everything it started.

        folder  empty, for the request and everything that is written; cache: shared analysis cache; job: for the log
        """

    @abstractmethod
    async def close(self) -> None:
        """End what outlives the attempts."""


async def completed(ending: Coroutine[None, None, None]) -> None:
    """Wait for the end of an attempt even if that is cancelled, because its place is free only then.

    Raises asyncio.CancelledError afterwards, and what `ending` raises.
    """
    task, cancelled = asyncio.ensure_future(ending), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
