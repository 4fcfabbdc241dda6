"""What is started next when several videos are rendered at once."""


def test_as_many_videos_are_started_as_there_are_slots(run):
    async def scenario(queue):
        job = queue.job("a", 3)
        await queue.expect_started("a/1", "a/2")
        assert [v.running for v in job.videos] == [True, True, False]
        assert [v.running for v in queue.store.load()[0].videos] == [True, True, False]
        queue.finish("a/2")
        await queue.expect_started("a/1", "a/2", "a/3")
        queue.finish("a/1"), queue.finish("a/3")
        await queue.until(lambda: queue.state.finished)
        assert [v.state for v in job.videos] == ["done"] * 3
        assert sorted(p.name for p in (queue.config.paths.share / "done" / "a").glob("*.mp4")) == [
            "v1.mp4", "v2.mp4", "v3.mp4",
        ]  # fmt: skip

    run(scenario)


def test_small_jobs_pass_a_huge_one_but_not_forever(run):
    async def scenario(queue):
        queue.job("huge", 10, arrived=0), queue.job("small", 1, arrived=500), queue.job("late", 1, arrived=1000)
        queue.state.slots = 1
        assert [job.name for job in queue.state.ordered()] == ["huge", "small", "late"]
        queue.state.slots = 2
        assert [job.name for job in queue.state.ordered()] == ["small", "huge", "late"]
        await queue.expect_started("small/1", "huge/1")
        queue.finish("small/1")
        await queue.expect_started("small/1", "huge/1", "huge/2")

    run(scenario)


def test_a_batch_gives_way_between_two_of_its_videos_but_not_forever(run):
    async def scenario(queue):
        batch = queue.job("batch", 10, arrived=0)
        for video in batch.videos:
            video.voice = batch.voice.model_copy()
        queue.state.slots = queue.executor.slots = 1
        await queue.expect_started("batch/1")
        queue.job("small", 1, arrived=500), queue.job("late", 1, arrived=900)
        queue.finish("batch/1")
        await queue.expect_started("batch/1", "small/1")
        queue.finish("small/1")
        await queue.expect_started("batch/1", "small/1", "batch/2")

    run(scenario)
