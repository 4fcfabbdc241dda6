"""Scans of a real inbox with real media."""

import asyncio
from pathlib import Path

import pytest

from heygemd.config.schema import Config
from heygemd.daemon.intake.inbox import Inbox
from heygemd.daemon.intake.inotify import Watch
from heygemd.daemon.queue_state import QueueState
from heygemd.job import Job, Media
from heygemd.storage import share_layout
from heygemd.storage.availability import ShareAvailability
from heygemd.storage.io_thread import ShareThread
from tests import media_factory


@pytest.fixture
def scan(tmp_path):
    """Scan the inbox twice, longer apart than settling takes; returns the folder "j"."""
    share_layout.create(tmp_path / "share")
    paths = {key: tmp_path / key for key in ("share", "state", "cache", "log", "models")}
    config = Config.model_validate({"paths": paths, "inbox": {"settle_local_s": 0.01}})
    folder = tmp_path / "share" / "inbox" / "j"
    folder.mkdir()

    async def run(state):
        thread = ShareThread(config.paths.share, 10)
        share = ShareAvailability(config.paths.share, thread)
        assert await share.check()
        inbox = Inbox(config, state, share, Watch(lambda: None))
        for _ in range(2):
            await inbox.scan()
            await asyncio.sleep(0.02)
        thread.close()
        return state.pending["j"]

    return folder, lambda state: asyncio.run(run(state))


def streamed(folder: Path) -> None:
    media_factory.video(folder / "anna.mp4", 0.5, "160x120")
    data = media_factory.audio(folder / "voice.wav", 0.5).read_bytes()
    at = data.index(b"data") + 4
    (folder / "voice.wav").write_bytes(data[:at] + b"\xff" * 4 + data[at + 4 :])


def test_a_streamed_voice_is_waited_for_unless_users_say_ready(scan):
    folder, look = scan
    streamed(folder)
    assert look(QueueState()).reason.code == "recorder_open"
    (folder / "READY").touch()
    job = look(QueueState()).job
    assert (job.voice.name, job.problem) == ("voice.wav", None)


def test_ready_does_not_make_a_cut_file_whole(scan):
    folder, look = scan
    streamed(folder)
    data = (folder / "anna.mp4").read_bytes()
    (folder / "anna.mp4").write_bytes(data[: len(data) // 2])
    assert look(QueueState()).job is None
    (folder / "READY").touch()
    [video] = look(QueueState()).job.videos
    assert video.problem.code == "file_incomplete"


def test_what_lacks_a_voice_belongs_to_the_job_of_its_name_that_is_being_made(scan):
    folder, look = scan
    media_factory.video(folder / "late.mp4", 0.5, "160x120")
    assert look(QueueState()).reason.code == "needs_audio"
    job = Job(
        id="1", name="j", folder="j", arrived=1, phase="claimed", videos=[], voice=Media(name="", size=0, mtime_ns=0)
    )
    state = QueueState(active=[job])
    pending = look(state)
    assert (pending.reason.code, pending.belongs_to) == ("belongs_to_job", "1")
    job.phase = "publishing"
    assert look(QueueState(active=[job])).reason.code == "needs_audio"
