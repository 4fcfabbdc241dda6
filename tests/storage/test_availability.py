import asyncio

from heygemd.storage import share_fs, share_layout
from heygemd.storage.availability import RETRY_S, ShareAvailability
from heygemd.storage.io_thread import ShareThread


def test_absence_of_the_marker_means_waiting_and_return_means_going_on(tmp_path):
    async def story():
        thread = ShareThread(tmp_path / "share", 5)
        availability = ShareAvailability(tmp_path / "share", thread)
        assert not await availability.check()
        assert availability.problem.code == "share_missing"
        share_layout.create(tmp_path / "share")
        availability._retry_at = 0
        assert await availability.check()
        (tmp_path / "share" / share_layout.MARKER).unlink()
        assert not await availability.check()
        assert not share_fs.exists(tmp_path / "share" / share_layout.MARKER)

    asyncio.run(story())


def test_calls_that_fail_at_once_do_not_delay_the_next_look(tmp_path):
    async def story():
        availability = ShareAvailability(tmp_path, ShareThread(tmp_path, 5))
        for _ in range(3):
            availability.lost(OSError(5, "gone"))
        assert availability._retry_s == RETRY_S

    asyncio.run(story())
