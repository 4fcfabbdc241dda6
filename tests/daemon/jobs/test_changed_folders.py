"""Files that come while their job is being made, and what is said of them; a real share and a real inbox."""

import asyncio
import os

import pytest

from heygemd.config.schema import Config, InboxSettings, Limits
from heygemd.daemon.intake import folder_changes
from heygemd.daemon.intake.folder_changes import MAX_ROUNDS
from heygemd.daemon.intake.inbox import Inbox
from heygemd.daemon.intake.inotify import Watch
from heygemd.errors import NotReady
from heygemd.i18n import catalog
from heygemd.job import Media
from heygemd.media import completeness
from heygemd.media.probe import probe
from tests import media_factory


def test_a_video_that_is_added_after_the_last_new_start_is_not_made(run):
    async def scenario(queue):
        job = queue.job("spring", videos=1)
        changes = queue.scheduler.publisher.changes
        media_factory.video(queue.config.paths.share / "processing" / "spring" / "late.mp4", 0.2)
        job.rounds = MAX_ROUNDS - 1
        assert not await changes.unchanged(job)
        assert job.phase == "returning"
        job.rounds = MAX_ROUNDS
        assert await changes.unchanged(job)
        problem = job.videos[-1].problem
        assert problem.code == "file_added"
        said = catalog.text(problem.code, problem.fields)
        assert '"late.mp4" was added' in said and f"started anew {MAX_ROUNDS} times already" in said

    run(scenario)


ENDLESS = {
    "ts": ["-c:v", "mpeg2video"],
    "mpg": ["-c:v", "mpeg2video"],
    "aac": ["-c:a", "aac"],
    "ac3": ["-c:a", "ac3"],
    "amr": [],
}
"""Formats without an index or an end, and how a file is made."""


@pytest.mark.parametrize("ending", ENDLESS)
@pytest.mark.parametrize("same_time", [False, True])
def test_a_half_copy_that_looks_whole_is_noticed_when_it_goes_on(run, tmp_path, ending, same_time):
    """Nothing in it tells; its size does, also where the copy keeps the time of its original."""
    whole = tmp_path / f"whole.{ending}"
    if ending == "amr":
        media_factory.amr(whole, 4)
    elif ending in ("ts", "mpg"):
        media_factory.video(whole, 4, options=ENDLESS[ending])
    else:
        media_factory.audio(whole, 4, options=ENDLESS[ending])
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    assert completeness.examine(whole).end == "whole"
    half_s = probe(whole, Limits(probe_timeout_s=120)).duration_s
    assert 1 < half_s < 3

    async def scenario(queue):
        job = queue.job("spring", videos=1)
        folder = queue.config.paths.share / "processing" / "spring"
        copy = folder / f"copy.{ending}"
        copy.write_bytes(whole.read_bytes())
        facts = copy.stat()
        media = Media(name=copy.name, size=facts.st_size, mtime_ns=facts.st_mtime_ns)
        if ending in ("ts", "mpg"):
            replaced, job.videos[0].source = job.videos[0].source, media
        else:
            replaced, job.voice = job.voice, media
        (folder / replaced.name).unlink()
        job.videos[0].state, job.videos[0].output = "done", "made.mp4"
        drain = queue.share.thread.drain
        await drain(folder_changes.require_unchanged(folder, job))
        copy.write_bytes(data)
        if same_time:
            os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        with pytest.raises(folder_changes.FolderChanged):
            await drain(folder_changes.require_unchanged(folder, job))
        assert not await queue.scheduler.publisher.changes.unchanged(job)
        assert job.phase == "returning"

    run(scenario)


def test_more_files_for_a_job_are_waited_for_until_they_are_whole(run):
    async def scenario(queue):
        job = queue.job("spring", videos=1)
        changes = queue.scheduler.publisher.changes
        config = Config(paths=queue.config.paths, inbox=InboxSettings(settle_local_s=1e-3))
        inbox = Inbox(config, queue.state, queue.share, Watch(lambda: None))
        folder = queue.config.paths.share / "inbox" / "spring"
        folder.mkdir()
        whole = media_factory.video(folder / "late.mp4", 0.2)
        part = folder / "late.mp4.part"
        whole.rename(part)

        for _ in range(2):  # before a scan has seen the folder, and after
            with pytest.raises(NotReady) as caught:
                await changes.unchanged(job)
            assert caught.value.code == "more_coming"
            assert 'More files for "spring"' in catalog.text("more_coming", caught.value.fields)
            await inbox.scan()
        assert queue.state.pending["spring"].state == "copying"
        part.rename(whole)
        for _ in range(3):
            await inbox.scan()
            await asyncio.sleep(0.01)
        assert not await changes.unchanged(job)
        assert (job.phase, queue.state.pending["spring"].belongs_to) == ("returning", job.id)

    run(scenario)
