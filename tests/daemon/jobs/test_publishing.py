"""A report is made beside the loop: a daemon that draws charts still answers systemd and starts videos."""

import asyncio
import threading
import time

from heygemd.daemon.publish import report


def test_reports_are_made_in_a_thread_and_from_a_copy_of_the_record(run, monkeypatch):
    make, makers, given = report.make, [], []

    def slow(job, *rest):
        makers.append(threading.current_thread())
        given.append(job)
        time.sleep(0.3)
        return make(job, *rest)

    monkeypatch.setattr(report, "make", slow)

    async def scenario(queue):
        job = queue.job("a", 1)
        await queue.expect_started("a/1")
        queue.finish("a/1")
        work = asyncio.create_task(queue.until(lambda: queue.state.finished))
        ticks = 0
        while not work.done():
            await asyncio.sleep(0.01)
            ticks += bool(makers) and job.phase != "finished"
        await work
        assert ticks > 5
        assert makers[0] is not threading.main_thread()
        assert given[0] is not job
        assert (queue.config.paths.share / "done" / "a" / "report.html").is_file()

    run(scenario)
