"""The daemon's main loop: it ends when it is told to, whatever else happens at that moment."""

from __future__ import annotations

import asyncio

import pytest

from heygemd.daemon.service import _sleep_or


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_is_obeyed_though_the_event_comes_first(turns: int) -> None:
    """`asyncio.wait_for` of Python 3.11 swallows it when both fall together; the part then went on for ever."""

    async def scenario() -> None:
        event = asyncio.Event()

        async def part() -> None:
            await _sleep_or(event, 60)
            await asyncio.Event().wait()

        task = asyncio.create_task(part())
        await asyncio.sleep(0)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()

    asyncio.run(scenario())
