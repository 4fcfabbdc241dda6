import asyncio

from heygemd.storage import share_fs, share_layout
from heygemd.storage.availability import ShareAvailability
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
