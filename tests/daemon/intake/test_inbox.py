"""Scans of a real inbox with real media."""

import asyncio
import errno
import os
import shutil
from pathlib import Path

import pytest

from heygemd.config.schema import Config
from heygemd.daemon.intake import job_folder
from heygemd.daemon.intake.inbox import Inbox
from heygemd.daemon.intake.inotify import Watch
from heygemd.daemon.intake.settle import WatchedFolder
from heygemd.daemon.queue_state import QueueState
from heygemd.errors import ShareError
from heygemd.i18n import catalog
from heygemd.job import Job, Media
from heygemd.storage import share_layout
from heygemd.storage.availability import ShareAvailability
from heygemd.storage.io_thread import ShareThread
from tests import media_factory


@pytest.fixture
def scan(tmp_path):
    """Scan the inbox twice, longer apart than settling takes, or until its folder "j" is a job; returns that folder."""
    share_layout.create(tmp_path / "share")
    paths = {key: tmp_path / key for key in ("share", "state", "cache", "log", "models")}
    config = Config.model_validate({"paths": paths, "inbox": {"settle_local_s": 0.01, "settle_zero_tail_s": 0.5}})
    folder = tmp_path / "share" / "inbox" / "j"
    folder.mkdir()

    async def run(state, until_ready):
        thread = ShareThread(config.paths.share, 10)
        share = ShareAvailability(config.paths.share, thread)
        assert await share.check()
        inbox = Inbox(config, state, share, Watch(lambda: None))
        for _ in range(200 if until_ready else 2):
            await inbox.scan()
            await asyncio.sleep(0.02)
            if until_ready and state.pending["j"].job:
                break
        thread.close()
        return state.pending["j"]

    return folder, lambda state, until_ready=False: asyncio.run(run(state, until_ready))


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


def test_a_file_that_may_still_grow_is_looked_at_again_as_soon_as_that_is_over(scan):
    folder, look = scan
    streamed(folder)
    assert look(QueueState(), until_ready=True).job.voice.name == "voice.wav"


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


def failing(monkeypatch, broken, number):
    """Let opening one path of the share fail for good."""
    opened = os.open

    def fail(path, *rest, **more):
        folder = Path(f"/proc/self/fd/{more['dir_fd']}").readlink() if more.get("dir_fd") is not None else Path()
        if folder / path == broken:
            raise OSError(number, os.strerror(number))
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", fail)


@pytest.mark.parametrize("code", ["file_unusable", "no_permission"])
@pytest.mark.parametrize("bad", ["voice.wav", ""])
def test_what_cannot_be_read_is_waited_for_but_not_for_ever(scan, monkeypatch, code, bad):
    folder, look = scan
    media_factory.video(folder / "anna.mp4", 0.5, "160x120")
    media_factory.audio(folder / "voice.wav", 0.5)
    failing(monkeypatch, folder / bad, errno.EIO if code == "file_unusable" else errno.EACCES)
    pending = look(QueueState())
    assert (pending.state, pending.reason.code) == ("waiting", code)
    monkeypatch.setattr(WatchedFolder, "unchanged_s", lambda *_: 25 * 3600)
    pending = look(QueueState())
    assert (pending.state, pending.job.problem.code) == ("rejected", code)


@pytest.mark.parametrize(("number", "place"), [(errno.EIO, "beside"), (errno.EACCES, "inbox/.heygemd-loose")])
def test_what_cannot_be_read_beside_the_job_folders_stops_no_scan(scan, monkeypatch, number, place):
    folder, look = scan
    media_factory.video(folder / "anna.mp4", 0.5, "160x120")
    media_factory.audio(folder / "voice.wav", 0.5)
    (folder.parent / "loose.txt").touch()
    broken = folder.parents[1] / place
    broken.mkdir()
    failing(monkeypatch, broken, number)
    state = QueueState()
    assert look(state).job is not None
    assert [notice.code for notice in state.loose_files] == ["loose_files"]


FAULTS = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ELOOP, errno.ENAMETOOLONG)


@pytest.mark.parametrize("number", FAULTS)
@pytest.mark.parametrize("bad", ["folder", "voice.wav"])
def test_a_fault_in_one_folder_is_its_own_while_the_share_answers(scan, monkeypatch, number, bad):
    folder, look = scan
    media_factory.video(folder / "anna.mp4", 0.5, "160x120")
    media_factory.audio(folder / "voice.wav", 0.5)
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    os.utime(other, (0, 0))
    failing(monkeypatch, other if bad == "folder" else other / bad, number)
    state = QueueState()
    assert look(state).job is not None
    held_up = state.pending["other"]
    assert held_up.state == "waiting" and catalog.text(held_up.reason.code, held_up.reason.fields)


def test_a_share_that_goes_away_during_a_scan_is_no_folders_fault(scan, monkeypatch):
    folder, look = scan
    media_factory.video(folder / "anna.mp4", 0.5, "160x120")

    def gone(path):
        (folder.parents[1] / share_layout.MARKER).unlink(missing_ok=True)
        raise ShareError("share_unavailable", path=str(path), reason="gone")

    monkeypatch.setattr(job_folder, "examine", gone)
    state = QueueState()
    with pytest.raises(ShareError):
        look(state)
    assert state.pending["j"].reason is None
