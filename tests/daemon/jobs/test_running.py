"""Several videos at once: which are stopped, which wait, and what a fault costs each."""

import asyncio

from heygemd.config.schema import GIB
from heygemd.daemon.intake import claim
from heygemd.daemon.publish import result_folder
from heygemd.daemon.status.builder import SnapshotBuilder
from heygemd.errors import InfrastructureError, InputError, NotReady


def test_the_snapshot_shows_all_running_videos(run):
    async def scenario(queue):
        queue.executor.slots = 3
        queue.job("a", 2, arrived=0), queue.job("b", 1, arrived=100)
        await queue.expect_started("a/1", "a/2", "b/1")
        snapshot = SnapshotBuilder(queue.config, queue.state, queue.share).build()
        assert (snapshot.current.name, [job.name for job in snapshot.beside], snapshot.queue) == ("a", ["b"], ())
        assert [v.percent for v in snapshot.running] == [25, 25, 25]
        assert "v1.mp4 25% and 2 more videos" in snapshot.line()

    run(scenario)


def test_cancelling_a_job_stops_its_videos_only(run):
    async def scenario(queue):
        queue.executor.slots = 3
        job, other = queue.job("a", 2), queue.job("b", 1, arrived=100)
        await queue.expect_started("a/1", "a/2", "b/1")
        (queue.config.paths.share / "processing" / "a" / "CANCEL").touch()
        await queue.running.poll_cancellations()
        assert sorted(queue.executor.stopped) == ["a/1", "a/2"]
        assert [v.attempts for v in job.videos] == [0, 0]
        await queue.until(lambda: queue.state.finished)
        assert (job.destination, other.problem, len(queue.state.running)) == ("failed/a", None, 1)

    run(scenario)


def test_a_part_cancelled_before_its_turn_is_never_started(run):
    async def scenario(queue):
        queue.executor.slots = 1
        job = queue.job("batch", 3)
        for part, video in zip("abc", job.videos, strict=True):
            video.output = f"{part}/{video.output}"
        await queue.expect_started("batch/1")
        cancelled = queue.config.paths.share / "processing" / "batch" / "b"
        cancelled.mkdir()
        (cancelled / "cancel.txt").touch()
        queue.finish("batch/1")
        await queue.expect_started("batch/1", "batch/3")
        first, second, third = job.videos
        assert (second.state, second.problem.code, second.attempts) == ("failed", "cancelled", 0)
        assert (first.problem, third.problem, job.problem) == (None, None, None)

    run(scenario)


def test_a_part_cancelled_while_its_result_is_copied_is_not_delivered(run, monkeypatch):
    async def scenario(queue):
        job = queue.job("batch", 2)
        for part, video in zip("ab", job.videos, strict=True):
            video.output = f"{part}/{video.output}"
        keep = result_folder.keep_result

        def cancelled_meanwhile(local, folder, video, group):
            digest = yield from keep(local, folder, video, group)
            if video is job.videos[0]:
                (folder / "a").mkdir()
                (folder / "a" / "CANCEL").touch()
                asyncio.run_coroutine_threadsafe(queue.running.poll_cancellations(), loop)
            yield 0
            return digest

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(result_folder, "keep_result", cancelled_meanwhile)
        await queue.expect_started("batch/1", "batch/2")
        queue.finish("batch/1")
        await queue.until(lambda: job.videos[0].state != "waiting" and job.videos[0].output_digest)
        queue.finish("batch/2")
        await queue.until(lambda: queue.state.finished)
        assert [(video.state, video.problem and video.problem.code) for video in job.videos] == [
            ("failed", "cancelled"), ("done", None),
        ]  # fmt: skip
        assert not (queue.config.paths.share / job.destination / "a" / "v1.mp4").exists()

    run(scenario)


def test_a_job_cancelled_while_its_last_video_is_rendered_fails_though_the_video_is_ready_first(run):
    async def scenario(queue):
        job = queue.job("a", 1)
        await queue.expect_started("a/1")
        (queue.config.paths.share / "processing" / "a" / "CANCEL").touch()
        queue.finish("a/1")
        await queue.until(lambda: queue.state.finished)
        assert (job.destination, job.problem.code) == ("failed/a", "cancelled")

    run(scenario)


def test_a_stop_costs_no_attempt(run):
    async def scenario(queue):
        queue.job("a", 2)
        await queue.expect_started("a/1", "a/2")
        await queue.running.stop()
        videos = queue.store.load()[0].videos
        assert [(v.attempts, v.running, v.state) for v in videos] == [(0, False, "waiting")] * 2
        assert not list((queue.config.paths.cache / "jobs" / "a").glob("attempt-*"))

    run(scenario)


def test_without_disk_space_for_two_the_second_waits_for_the_first(run, monkeypatch):
    async def scenario(queue):
        queue.job("a", 2, size=GIB >> 10)
        free = queue.voice.stat().st_size + 6 * (GIB >> 10)
        monkeypatch.setattr("heygemd.daemon.jobs.attempt.mounts.local_free_bytes", lambda _: free)
        await queue.expect_started("a/1")
        assert queue.state.paused_by is None
        queue.finish("a/1")
        await queue.expect_started("a/1", "a/2")

    run(scenario)


def test_a_full_disk_is_not_counted_while_two_videos_write_to_it(run):
    async def scenario(queue):
        job = queue.job("a", 2)
        await queue.expect_started("a/1", "a/2")
        queue.executor.finishing["a/1"].set_exception(InfrastructureError("scratch_full"))
        await queue.until(lambda: queue.state.paused_by)
        assert [(v.attempts, v.disk_full) for v in job.videos] == [(0, 0), (1, 0)]
        assert len(queue.state.running) == 1

    run(scenario)


def test_a_folder_that_still_changes_goes_back_to_the_inbox_with_all_its_videos_stopped(run):
    async def scenario(queue):
        job = queue.job("a", 2)
        await queue.expect_started("a/1", "a/2")
        queue.executor.finishing["a/2"].set_exception(NotReady(claim.STILL_CHANGING[0]))
        await queue.until(lambda: job not in queue.state.active and not queue.state.running)
        assert sorted(queue.executor.stopped) == ["a/1", "a/2"]
        assert (queue.config.paths.share / "inbox" / "a").is_dir()

    run(scenario)


def test_what_is_wrong_with_the_voice_names_the_voice(run):
    async def scenario(queue):
        queue.executor.slots = 2
        job = queue.job("a", 2)
        await queue.expect_started("a/1", "a/2")
        queue.executor.finishing["a/1"].set_exception(InputError("audio_too_short", of="voice", seconds=0.1))
        queue.executor.finishing["a/2"].set_exception(InputError("no_face"))
        await queue.until(lambda: queue.state.finished)
        assert [video.facts()["name"] for video in job.videos] == ["voice.wav", "v2.mp4"]
        assert job.videos[0].problem.fields == {"name": "voice.wav", "seconds": 0.1}

    run(scenario)
