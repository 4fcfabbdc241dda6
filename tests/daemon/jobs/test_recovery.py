from heygemd.daemon.jobs import recovery


def test_only_a_video_that_was_alone_is_blamed_for_the_daemons_end(run):
    async def scenario(queue):
        queue.job("a", 2)
        for ends in (1, 2):
            for job in queue.store.load():
                for video in job.videos:
                    video.running = True
                queue.store.save(job)
            queue.state.active.clear()
            recovery.restore(queue.state, queue.store, queue.config)
            again = queue.state.active[0]
            assert [(v.unclean_ends, v.state) for v in again.videos] == [(ends, "waiting")] * 2
        await queue.expect_started("a/1")  # both are suspects now: one at a time
        queue.finish("a/1")
        await queue.expect_started("a/1", "a/2")
        assert [v.unclean_ends for v in again.videos] == [0, 2]
        queue.state.active.clear()
        recovery.restore(queue.state, queue.store, queue.config)
        job = queue.state.active[0]
        assert (job.videos[1].state, job.videos[1].problem.code) == ("failed", "machine_stopped")

    run(scenario)
