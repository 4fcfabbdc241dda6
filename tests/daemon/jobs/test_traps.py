"""Every kind of trap under every name of ours in a claimed job's folder: the job ends, the others too, all is kept."""

import asyncio
import gc
import os
import tempfile
import threading
from types import SimpleNamespace

import psutil
import pytest

from heygemd.daemon.intake import inbox
from heygemd.daemon.intake.cancel import cancellation
from heygemd.daemon.intake.inotify import Watch
from heygemd.daemon.jobs import attempt, recovery
from tests import traps

SCANS = int(os.environ.get("HEYGEMD_SCANS", "150"))
MAY_GROW_BYTES = 8 << 20
STARTS_ANEW = ("originals", "b.mp4.part", "v1.mp4", "job.toml", "presenters.txt")
"""As plain files they may be media or are settings: the job starts anew (tests/faults/test_changes.py)."""


def with_setting(config, section, **values):
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def check(done, name):
    assert done.parent.name == "done", name
    assert (done / "v1.mp4").read_bytes() == b"video", name
    assert {"voice.wav", "source.mp4"} <= set(os.listdir(done / "originals")), name
    assert b"heygemd" in (done / "report.html").read_bytes(), name


@pytest.mark.fault("TRAPS")
@pytest.mark.parametrize("moment", ["before it is rendered", "before it is published"])
@pytest.mark.parametrize("kind", traps.KINDS)
def test_a_trap_in_a_claimed_folder_stops_neither_its_job_nor_another(run, tmp_path, monkeypatch, kind, moment):
    monkeypatch.setattr(attempt.probe, "probe", lambda *_: SimpleNamespace(duration_s=1))  # of the copy in scratch
    names = [name.replace("anna", "v1") for name in (*traps.names_in_job(), "v1.mp4")]
    if kind == "unreadable":  # a locked CANCEL is one nevertheless
        names = [name for name in names if name.casefold() not in ("cancel", "cancel.txt", *STARTS_ANEW)]

    async def scenario(queue):
        queue.executor.slots = len(names) + 1
        queue.scheduler.publisher.config = with_setting(queue.config, "render", zip_results=True)
        jobs = [queue.job(f"j{number}", 1) for number in range(len(names) + 1)]  # the last without a trap
        for job in jobs:
            job.videos[0].source.name = "source.mp4"
            folder = queue.share.root / "processing" / job.name
            (folder / "v1.mp4").rename(folder / "source.mp4")
        if moment == "before it is rendered":
            spring(jobs, queue.share.root)
        await queue.until(lambda: len(queue.executor.finishing) == len(names) + 1)
        if moment == "before it is published":
            spring(jobs, queue.share.root)
        for name in list(queue.executor.finishing):
            queue.finish(name)
        await queue.until(lambda: len(queue.state.finished) == len(names) + 1)
        assert queue.share.problem is None and not queue.state.paused_by
        for name, job in zip([*names, ""], jobs, strict=True):
            check(queue.share.root / job.destination, name)
        assert traps.untouched(tmp_path)
        assert traps.kept(queue.share.root) == (len(names) if kind == "folder" else 0)
        assert not [p for place in ("processing", "inbox", "failed") for p in (queue.share.root / place).iterdir()]

    def spring(jobs, share):
        for name, job in zip(names, jobs[:-1], strict=True):
            traps.lay_in_job(share / "processing" / job.name, name, kind, tmp_path)

    run(scenario)


@pytest.mark.fault("TRAPS")
@pytest.mark.timeout(120 + SCANS / 2)
def test_scanning_traps_again_and_again_uses_nothing_up(run, tmp_path, monkeypatch, record_property):
    """Descriptors, threads, temporary files and memory are the same afterwards; HEYGEMD_SCANS: how often."""
    monkeypatch.setattr(inbox, "RECLASSIFY_S", 0.0)
    monkeypatch.setattr(recovery, "ORPHAN_S", 1e9)
    temporary = tmp_path / "temporary"  # other programs use the usual one
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def in_use(root):
        gc.collect()
        files = sorted(str(path) for path in (*root.rglob("*"), *temporary.rglob("*")))
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(asyncio.all_tasks()), files

    async def scenario(queue):
        root = queue.share.root
        traps.lay_everywhere(root, traps.KINDS)
        for kind in traps.KINDS:
            for name in traps.names_in_job():
                folder = root / "inbox" / (f"hidden {kind}" if "/" in name else f"top {kind}")
                folder.mkdir(exist_ok=True)
                traps.lay_in_job(folder, name, kind, tmp_path)
        watch = Watch(lambda: None)
        config = with_setting(queue.config, "inbox", settle_local_s=0)
        scanned = inbox.Inbox(config, queue.state, queue.share, watch)
        orphans = recovery.OrphanedFolders(queue.state, queue.share, "me")
        job = queue.job("j", 1)
        memory = psutil.Process().memory_info

        async def scan(times):
            for _ in range(times):
                assert await queue.share.check()
                await scanned.scan()
                await orphans.check()
                await queue.thread.call(cancellation, root, job)

        watch.start(root / "inbox")
        await scan(SCANS // 5)
        before, rss = in_use(root), memory().rss
        await scan(SCANS)
        assert in_use(root) == before
        grown = memory().rss - rss
        print(
            f"{SCANS} scans: {before[0]} descriptors, {before[1]} threads, memory {rss >> 10} KiB {grown >> 10:+} KiB"
        )
        assert grown < MAY_GROW_BYTES
        assert traps.untouched(tmp_path)
        watch.stop()

    run(scenario)
    record_property("times", SCANS)
