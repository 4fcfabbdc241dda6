"""Publishing: reports are made beside the loop, and no trap that springs meanwhile is followed or stops anything."""

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from heygemd.daemon.jobs import attempt, fault_isolation
from heygemd.daemon.publish import preview_store, report, report_chart
from heygemd.protocol import Preview
from heygemd.storage.share_fs import HIDDEN
from tests import traps


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


def trapped(queue, job, path, kind, outside):
    """Let a trap spring when the job is published, as after a crash: its results lie hidden or were shown already."""
    publish = queue.scheduler.publisher.publish
    sprung = []

    async def publishing(each):
        if each is job and not sprung:
            sprung.append(True)
            job.phase, job.destination = "publishing", "done/a"
            hidden = path.parent / HIDDEN / path.name
            there = next((p for p in (path, hidden) if p.exists()), None)
            if there is not None:
                there.rename(outside / "taken away")
            traps.lay(path.parent, path.name, kind, outside)
        await publish(each)

    queue.scheduler.publisher.publish = publishing


@pytest.mark.parametrize("kind", [kind for kind in traps.KINDS if kind != "unreadable"])
@pytest.mark.parametrize(
    ("place", "end"),
    [
        ("processing/a/.heygemd/v1.mp4", "inbox/a"),
        ("processing/a/v1.mp4", "inbox/a"),
        ("processing/a", "removed"),
        ("done/a", "done/a (2)"),
    ],
)
def test_a_trap_that_springs_during_publishing_is_not_followed_and_stops_nothing(
    run, tmp_path, monkeypatch, kind, place, end
):
    monkeypatch.setattr(attempt.probe, "probe", lambda *_: SimpleNamespace(duration_s=1))
    monkeypatch.setattr(fault_isolation, "PAUSE_S", 0.01)

    async def scenario(queue):
        root, job, other = queue.share.root, queue.job("a", 1), queue.job("b", 1, arrived=1)
        (root / "processing" / "a" / "v1.mp4").rename(root / "processing" / "a" / "source.mp4")
        job.videos[0].source.name = "source.mp4"
        trapped(queue, job, root / place, kind, tmp_path)
        await queue.expect_started("a/1", "b/1")
        queue.finish("a/1")
        queue.finish("b/1")
        await queue.until(lambda: not queue.state.active)
        assert queue.share.problem is None and other.destination == "done/b"
        assert traps.untouched(tmp_path)
        place_now = "inbox/a" if (end, kind) == ("removed", "folder") else end
        if place_now == "removed":
            assert job.problem.code == "removed"
            return
        assert job.destination == place_now
        if kind != "folder":
            assert (root / end / "originals" / "source.mp4").is_file()
        if place_now.startswith("done/"):
            assert (root / end / "v1.mp4").read_bytes() == b"video"

    run(scenario)
