import asyncio
import threading
import time

import pytest

from heygemd.errors import ShareError
from heygemd.storage import share_fs, share_layout
from heygemd.storage.io_thread import ShareThread


def test_a_hung_call_is_seen_and_no_second_thread_starts(tmp_path):
    async def story():
        before = threading.active_count()
        thread = ShareThread(tmp_path, 0.2)
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
        thread = ShareThread(tmp_path, 0.1)
        slow = asyncio.create_task(thread.call_slow(30, time.sleep, 0.4))
        await asyncio.sleep(0.3)
        assert not thread.hung
        await slow
        thread.close()

    asyncio.run(story())


def test_what_is_missing_from_a_share_that_is_away_was_not_removed(tmp_path):
    async def story():
        thread = ShareThread(tmp_path, 5)
        share_layout.create(tmp_path)
        with pytest.raises(FileNotFoundError):
            await thread.call(share_fs.read, tmp_path / "inbox" / "gone")
        (tmp_path / share_layout.MARKER).unlink()
        with pytest.raises(ShareError, match="share_missing"):
            await thread.call(share_fs.read, tmp_path / "inbox" / "gone")
        thread.close()

    asyncio.run(story())


def test_steps_let_other_calls_in_between(tmp_path):
    async def story():
        thread = ShareThread(tmp_path, 5)
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
