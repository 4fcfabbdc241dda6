import asyncio
import errno
import threading
import time

import pytest

from heygemd.errors import NotReady, ShareError
from heygemd.storage import atomic, share_fs, share_layout, share_paths, transfer
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


def test_an_error_of_one_file_is_the_shares_only_while_its_marker_cannot_be_read(tmp_path):
    async def story():
        thread = ShareThread(tmp_path, 5)
        share_layout.create(tmp_path)

        @share_paths.on_share
        def broken_disk():
            raise OSError(errno.EIO, "input/output error", str(tmp_path / "inbox" / "a.mp4"))

        with pytest.raises(NotReady, match="file_unusable") as found:
            await thread.call(broken_disk)
        assert found.value.fields["name"] == "a.mp4"
        (tmp_path / share_layout.MARKER).unlink()
        (tmp_path / share_layout.MARKER).symlink_to(tmp_path / "inbox")
        with pytest.raises(ShareError, match="share_unavailable"):
            await thread.call(broken_disk)
        thread.close()

    asyncio.run(story())


def test_a_cancelled_operation_ends_before_the_next_begins(tmp_path):
    """Its temporary file must not be removed at some later time, when it is that of the next operation."""

    async def story():
        thread = ShareThread(tmp_path, 5)
        share_layout.create(tmp_path)
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(bytes(3 * atomic.BLOCK_BYTES))
        kept = [transfer.copy(source, target)]  # held by nobody but us: garbage collection is not what ends it
        first = asyncio.create_task(thread.drain(kept[0]))
        while not atomic.part_of(target).exists():
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        second = transfer.copy(source, target)
        await thread.call(next, second)
        kept.clear()
        assert atomic.part_of(target).exists()
        await thread.drain(second)
        assert target.stat().st_size == source.stat().st_size
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
