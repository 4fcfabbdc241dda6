import asyncio
import threading
import time

import pytest

from heygemd import files
from heygemd.daemon import share
from heygemd.errors import InfrastructureError


def test_a_hung_call_is_seen_and_no_second_thread_starts(tmp_path):
    async def story():
        before = threading.active_count()
        thread = share.ShareThread(tmp_path, 0.2)
        release = threading.Event()
        stuck = asyncio.create_task(thread.call(release.wait, 30))
        behind = asyncio.create_task(thread.call(time.monotonic))
        await asyncio.sleep(0.6)
        assert thread.hung
        assert not behind.done()
        assert threading.active_count() == before + 1
        release.set()
        await stuck
        assert await behind > 0
        assert not thread.hung
        thread.close()

    asyncio.run(story())


def test_a_call_that_may_be_slow_gets_its_time(tmp_path):
    async def story():
        thread = share.ShareThread(tmp_path, 0.1)
        slow = asyncio.create_task(thread.call_slow(30, time.sleep, 0.4))
        await asyncio.sleep(0.3)
        assert not thread.hung
        await slow
        thread.close()

    asyncio.run(story())


def test_absence_of_the_marker_means_waiting_and_return_means_going_on(tmp_path):
    async def story():
        thread = share.ShareThread(tmp_path / "share", 5)
        guard = share.Guard(tmp_path / "share", thread)
        assert not await guard.check()
        assert guard.problem.code == "share_missing"
        share.create(tmp_path / "share")
        guard._retry_at = 0
        assert await guard.check()
        (tmp_path / "share" / share.MARKER).unlink()
        assert not await guard.check()
        assert not files.exists(tmp_path / "share" / share.MARKER)

    asyncio.run(story())


def test_create_is_safe_to_repeat(tmp_path):
    assert share.create(tmp_path / "s")
    marker = (tmp_path / "s" / share.MARKER).read_bytes()
    assert share.create(tmp_path / "s") == []
    assert (tmp_path / "s" / share.MARKER).read_bytes() == marker


def test_what_is_missing_from_a_share_that_is_away_was_not_removed(tmp_path):
    async def story():
        thread = share.ShareThread(tmp_path, 5)
        share.create(tmp_path)
        with pytest.raises(FileNotFoundError):
            await thread.call(files.read, tmp_path / "inbox" / "gone")
        (tmp_path / share.MARKER).unlink()
        with pytest.raises(InfrastructureError, match="share_missing"):
            await thread.call(files.read, tmp_path / "inbox" / "gone")
        thread.close()

    asyncio.run(story())


def test_steps_let_other_calls_in_between(tmp_path):
    async def story():
        thread = share.ShareThread(tmp_path, 5)
        order = []

        def steps():
            for n in range(3):
                order.append(n)
                yield n
            return "end"

        long = asyncio.create_task(thread.drain(steps()))
        await asyncio.sleep(0)
        short = asyncio.create_task(thread.call(order.append, "short"))
        assert await long == "end"
        await short
        assert order.index("short") < 3

    asyncio.run(story())
