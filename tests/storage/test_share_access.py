import asyncio
import threading
import time

import pytest

from heygemd.errors import InfrastructureError
from heygemd.storage import share_access, share_fs


def test_a_hung_call_is_seen_and_no_second_thread_starts(tmp_path):
    async def story():
        before = threading.active_count()
        thread = share_access.ShareThread(tmp_path, 0.2)
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
        thread = share_access.ShareThread(tmp_path, 0.1)
        slow = asyncio.create_task(thread.call_slow(30, time.sleep, 0.4))
        await asyncio.sleep(0.3)
        assert not thread.hung
        await slow
        thread.close()

    asyncio.run(story())


def test_absence_of_the_marker_means_waiting_and_return_means_going_on(tmp_path):
    async def story():
        thread = share_access.ShareThread(tmp_path / "share", 5)
        guard = share_access.Guard(tmp_path / "share", thread)
        assert not await guard.check()
        assert guard.problem.code == "share_missing"
        share_access.create(tmp_path / "share")
        guard._retry_at = 0
        assert await guard.check()
        (tmp_path / "share" / share_access.MARKER).unlink()
        assert not await guard.check()
        assert not share_fs.exists(tmp_path / "share" / share_access.MARKER)

    asyncio.run(story())


def test_create_is_safe_to_repeat(tmp_path):
    assert share_access.create(tmp_path / "s")
    marker = (tmp_path / "s" / share_access.MARKER).read_bytes()
    assert share_access.create(tmp_path / "s") == []
    assert (tmp_path / "s" / share_access.MARKER).read_bytes() == marker


def test_what_is_missing_from_a_share_that_is_away_was_not_removed(tmp_path):
    async def story():
        thread = share_access.ShareThread(tmp_path, 5)
        share_access.create(tmp_path)
        with pytest.raises(FileNotFoundError):
            await thread.call(share_fs.read, tmp_path / "inbox" / "gone")
        (tmp_path / share_access.MARKER).unlink()
        with pytest.raises(InfrastructureError, match="share_missing"):
            await thread.call(share_fs.read, tmp_path / "inbox" / "gone")
        thread.close()

    asyncio.run(story())


def test_steps_let_other_calls_in_between(tmp_path):
    async def story():
        thread = share_access.ShareThread(tmp_path, 5)
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
