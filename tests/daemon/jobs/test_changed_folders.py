"""Files that come while their job is being made, and what is said of them; a real share and a real inbox."""

import asyncio

import pytest

from heygemd.config.schema import Config, InboxSettings
from heygemd.daemon.intake.folder_changes import MAX_ROUNDS
from heygemd.daemon.intake.inbox import Inbox
from heygemd.daemon.intake.inotify import Watch
from heygemd.errors import NotReady
from heygemd.i18n import catalog
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
        assert '"late.mp4" was added' in said and f"{MAX_ROUNDS} times" in said

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
