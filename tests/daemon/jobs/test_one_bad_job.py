"""A job that cannot go on never keeps others from going on, and never for ever: one place of each kind fails for good.

`tests/faults/test_one_bad_job.py` tries every place.
"""

import asyncio
import errno
import time

import pytest
from loguru import logger

from heygemd import logging_setup
from heygemd.config.schema import Log
from heygemd.daemon.intake import claim
from heygemd.daemon.jobs import fault_isolation
from heygemd.daemon.queue_state import BackOff
from heygemd.daemon.status.builder import SnapshotBuilder
from heygemd.errors import InfrastructureError, NotReady
from tests import media_factory
from tests.faults import one_bad_job
from tests.faults.one_bad_job import Place


@pytest.mark.parametrize(
    ("call", "path", "error"),
    [
        ("rename", "share/inbox/victim", "EIO"),  # its claim
        ("mkdir", "share/processing/victim/.heygemd", "EIO"),  # the mark on it, just after its claim
        ("stat", "share/processing/victim", "EACCES"),
        ("unlink", "share/processing/victim/!Why it failed 失败原因.txt", "EISDIR"),
        ("replace", "state/jobs/.victim.json.heygemd-part", "ENOSPC"),  # its record
        ("open", "state/jobs/victim.log", "EACCES"),  # its log
        ("mkdir", "cache/jobs/victim", "EROFS"),  # its scratch folder
        ("open", "share/processing/victim/v1.mp4", "EIO"),  # one of its inputs
        ("write", "share/processing/victim/.heygemd/.v1.mp4.heygemd-part", "ENOSPC"),  # one of its results
        ("rename", "share/done/victim", "EACCES"),  # its place in done/
        ("rename", "share/processing/victim", "EIO"),  # any move into or out of processing/
    ],
)
def test_the_others_finish_and_the_job_has_an_end_with_a_reason(tmp_path, call, path, error):
    logging_setup.setup(Log(level="ERROR"), None)
    logger.remove()
    voice = media_factory.audio(tmp_path / "voice.wav", 0.2)
    with one_bad_job.short_pauses():
        assert not one_bad_job.try_place(tmp_path / "site", voice, Place(call, path), getattr(errno, error), 2)


def test_a_folder_that_was_moved_before_its_claim_failed_is_not_claimed_again(tmp_path, monkeypatch):
    """It was forgotten in processing/, because nothing of its name lay in the inbox any more."""

    def full(*_):
        raise InfrastructureError("share_full", path="x")

    async def scenario():
        queue = one_bad_job.Bench(tmp_path / "site", media_factory.audio(tmp_path / "voice.wav", 0.2))
        assert await queue.share.check()
        queue.ready("a", 0)
        with monkeypatch.context() as patch:
            patch.setattr(claim, "mark_owned", full)
            with pytest.raises(InfrastructureError):
                await queue.scheduler.claimer.claim_next()
            queue.state.pending["a"].claim_after = queue.state.claims_wait_until = 0
            assert not await queue.scheduler.claimer.claim_next()
            (job,) = queue.state.active
            with pytest.raises(InfrastructureError):
                await queue.scheduler.claimer.confirm(job)
        assert not queue.state.pending
        await queue.scheduler.claimer.confirm(job)
        assert (job.phase, job.folder) == ("claimed", "a")
        queue.thread.close()

    asyncio.run(scenario())


def held_up(queue, job):
    """Let a job back off for the rest of the day."""
    queue.state.backing_off[job.id] = BackOff(NotReady("held_open", name="v1.mp4"), time.monotonic() + 86400)


@pytest.mark.parametrize("phase", ["claimed", "publishing"])
def test_cancel_frees_a_job_that_backs_off(run, phase):
    async def scenario(queue):
        job = queue.job("a", 1)
        job.phase, job.destination = phase, "done/a"
        held_up(queue, job)
        (queue.config.paths.share / "processing" / "a" / "CANCEL").touch()
        await queue.until(lambda: queue.state.finished)
        assert (job.destination, job.problem.code) == ("failed/a", "cancelled")

    run(scenario)


def test_taking_its_folder_away_frees_a_job_that_backs_off(run, tmp_path):
    async def scenario(queue):
        job = queue.job("a", 1)
        held_up(queue, job)
        (queue.config.paths.share / "processing" / "a").rename(tmp_path / "taken")
        await queue.until(lambda: queue.state.finished)
        assert (job.problem.code, job.destination) == ("removed", "")
        (shown,) = SnapshotBuilder(queue.config, queue.state, queue.share).build().recent
        assert {video.state for video in shown.videos} == {"failed"}, "nothing waits any more"

    run(scenario)


def test_what_is_good_is_published_when_the_rest_stays_blocked(run, monkeypatch):
    async def scenario(queue):
        job = queue.job("a", 2)
        await queue.expect_started("a/1", "a/2")
        queue.finish("a/1")
        queue.executor.finishing["a/2"].set_exception(NotReady("held_open", name="v2.mp4"))
        await queue.until(lambda: queue.state.backing_off)
        assert job.back_offs == queue.store.load()[0].back_offs == 1
        await queue.until(lambda: job.videos[0].state == "done" or queue.state.asleep(job))
        day = queue.config.attempts.blocked_fail_after_h * fault_isolation.HOUR_S
        job.back_offs = int(day / fault_isolation.PAUSE_S)
        queue.state.backing_off.clear()
        await queue.until(lambda: not queue.executor.finishing["a/2"].done())
        queue.executor.finishing["a/2"].set_exception(NotReady("held_open", name="v2.mp4"))
        await queue.until(lambda: queue.state.finished)
        assert [v.state for v in job.videos] == ["done", "failed"]
        assert job.videos[1].problem.code == "folder_open"
        assert job.destination == "done/a"

    run(scenario)


def test_more_files_being_copied_are_waited_for_shortly_and_are_no_fault(run, monkeypatch):
    monkeypatch.setattr(fault_isolation, "COPY_PAUSE_S", 0.01)

    async def scenario(queue):
        job = queue.job("a", 1)
        more = queue.config.paths.share / "inbox" / "a"
        more.mkdir()
        await queue.expect_started("a/1")
        queue.finish("a/1")
        await queue.until(lambda: queue.state.backing_off)
        assert queue.state.backing_off[job.id].reason.code == "more_coming"
        assert job.back_offs < 0.01
        more.rmdir()
        await queue.until(lambda: queue.state.finished)
        assert job.destination == "done/a"
        assert "ERROR" not in (queue.config.paths.log / "heygemd.log").read_text()

    run(scenario)


def test_a_missing_done_is_not_a_removed_job(run):
    async def scenario(queue):
        job = queue.job("a", 1)
        await queue.expect_started("a/1")
        (queue.config.paths.share / "done").rename(queue.config.paths.share / "finished")
        queue.finish("a/1")
        await queue.until(lambda: queue.state.backing_off)
        assert job.problem is None and job in queue.state.active
        assert not await queue.share.check()
        assert (queue.share.problem.code, queue.share.problem.fields) == ("share_folder_missing", {"name": "done"})
        assert queue.share.reachable
        (queue.config.paths.share / "finished").rename(queue.config.paths.share / "done")
        queue.share._retry_at = 0.0
        assert await queue.share.check()
        queue.state.backing_off.clear()
        await queue.until(lambda: queue.state.finished)
        assert job.destination == "done/a" and job.succeeded

    run(scenario)
