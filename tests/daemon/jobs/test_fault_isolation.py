"""A fault of a local disk pauses the queue as such; only a fault of the share makes the share unavailable."""

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest

from heygemd.daemon.queue_state import BackOff
from heygemd.errors import LocalDiskError, NotReady, ShareError
from heygemd.i18n import catalog


def fail_below(monkeypatch, folder, call, number):
    """Let an os call fail for files below a folder; for a call on an open file, by the file's path."""
    real = getattr(os, call)

    def failing(target, *rest, **options):
        folder_of_it = options.get("dir_fd", target)
        place = Path(f"/proc/self/fd/{folder_of_it}").readlink() if isinstance(folder_of_it, int) else Path()
        path = place if target is folder_of_it else place / target
        writes = call != "open" or rest[0] & os.O_WRONLY
        if writes and str(path).startswith(str(folder)):
            raise OSError(number, os.strerror(number))
        return real(target, *rest, **options)

    monkeypatch.setattr(os, call, failing)


@pytest.mark.parametrize(
    ("call", "number", "code"),
    [
        ("open", errno.EROFS, "disk_unavailable"),
        ("write", errno.ENOSPC, "disk_full"),
        ("fsync", errno.EIO, "disk_unavailable"),
    ],
)
def test_a_record_that_cannot_be_written_is_reported_as_the_local_disk(run, monkeypatch, call, number, code):
    async def scenario(queue):
        job = queue.job("a", 1)
        with monkeypatch.context() as patch:
            fail_below(patch, queue.store.folder, call, number)
            await queue.until(lambda: queue.state.paused_by)
        assert isinstance(queue.state.paused_by, LocalDiskError)
        assert queue.state.paused_by.code == code
        assert queue.state.paused_by.fields["path"].startswith(str(queue.store.folder))
        assert queue.share.problem is None
        assert not queue.executor.started
        assert queue.state.active == [job] and job.videos[0].attempts == 0
        assert "share" not in catalog.text(code, queue.state.paused_by.fields)
        queue.state.paused_until = 0.0
        await queue.expect_started("a/1")
        assert queue.state.paused_by is None

    run(scenario)


def test_a_full_scratch_disk_is_reported_as_the_local_disk(run, monkeypatch):
    async def scenario(queue):
        queue.job("a", 1)
        fail_below(monkeypatch, queue.config.paths.cache, "write", errno.ENOSPC)
        await queue.until(lambda: queue.state.paused_by)
        assert queue.state.paused_by.code == "scratch_full"
        assert queue.share.problem is None

    run(scenario)


@pytest.mark.parametrize(
    ("error", "share", "queue"),
    [
        (ShareError("share_unavailable", path="/s", reason="x"), "share_unavailable", None),
        (ShareError("share_missing", path="/s"), "share_missing", None),
        (ShareError("share_full", path="/s"), None, "share_full"),
        (LocalDiskError("disk_full", path="/s"), None, "disk_full"),
        (OSError(errno.EROFS, "read-only", "/var/lib/heygemd"), None, "disk_unavailable"),
        (FileNotFoundError(errno.ENOENT, "gone", "/s/inbox"), None, "share_place_unusable"),
        (NotReady("no_permission", path="/s/inbox"), None, "share_place_unusable"),
    ],
)
def test_who_is_at_fault(run, error, share, queue):
    async def scenario(under_test):
        under_test.isolation.pause_queue(error)
        assert (under_test.share.problem and under_test.share.problem.code) == share
        assert (under_test.state.paused_by and under_test.state.paused_by.code) == queue

    run(scenario)


def test_a_local_file_that_cannot_be_used_holds_up_its_own_job_only(run):
    async def scenario(queue):
        mine = queue.job("a", 1)
        (queue.config.paths.cache / "jobs").mkdir(parents=True)
        (queue.config.paths.cache / "jobs" / mine.id).write_text("a file where the job's scratch folder should be")
        queue.job("b", 1)
        await queue.expect_started("b/1")
        assert queue.state.backing_off[mine.id].reason.code == "job_file_unusable"
        assert queue.state.paused_by is None and queue.share.problem is None
        assert mine.videos[0].attempts == 0

    run(scenario)


def test_a_back_off_is_not_ended_early_by_another_videos_success(run):
    async def scenario(queue):
        job = queue.job("a", 2)
        waits = BackOff(NotReady("held_open", name="a"), time.monotonic() + 60)
        queue.state.backing_off[job.id] = waits
        await queue.isolation.run(job, asyncio.sleep(0))
        assert queue.state.backing_off[job.id] is waits
        queue.state.backing_off[job.id] = BackOff(waits.reason, time.monotonic() - 1)
        await queue.isolation.run(job, asyncio.sleep(0))
        assert job.id not in queue.state.backing_off

    run(scenario)
