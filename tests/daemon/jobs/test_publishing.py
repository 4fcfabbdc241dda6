"""A report is made beside the loop: a daemon that draws charts still answers systemd and starts videos."""

import asyncio
import threading
import time

from heygemd.daemon.publish import preview_store, report, report_chart
from heygemd.protocol import Preview


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


def test_a_chart_that_fails_keeps_no_result_back(run, monkeypatch):
    def fail(preview):
        raise ValueError("no axis")

    monkeypatch.setattr(report_chart, "draw", fail)
    shown = Preview(moments_s=(), strip="", thumbnail="", curve_hz=25, lips=(0.5, 1), voice=(0.5, 1))
    monkeypatch.setattr(preview_store, "load", lambda folder, job: {"v1.mp4": shown})

    async def scenario(queue):
        job = queue.job("a", 1)
        await queue.expect_started("a/1")
        queue.finish("a/1")
        await queue.until(lambda: queue.state.finished)
        done = queue.config.paths.share / "done" / "a"
        assert job.succeeded
        assert (done / "v1.mp4").is_file()
        assert "v1.mp4" in (done / "report.html").read_text()
        assert "the report has no pictures" in (done / "HEYGEMD-log.txt").read_text()

    run(scenario)
