import errno
import os

import pytest

from heygemd.daemon.job_store import Store
from heygemd.errors import LocalDiskError
from heygemd.job import Job, Media, Video, new_id
from heygemd.storage.atomic import part_of


def record(name="job", **fields):
    voice = Media(name="v.wav", size=1, mtime_ns=2)
    video = Video(source=Media(name="caf\udce9.mp4", size=3, mtime_ns=4), output="a.mp4")
    return Job(id=new_id(), name=name, arrived=1.0, folder=name, voice=voice, videos=[video], **fields)


def test_a_record_survives_a_restart_with_undecodable_names(tmp_path):
    job = record("春\udce9")
    Store(tmp_path).save(job)
    assert Store(tmp_path).load() == [job]


def test_what_a_crash_left_half_written_is_cleared_away(tmp_path):
    half = part_of(Store(tmp_path).folder / "x.json")
    half.write_bytes(b"{")
    assert Store(tmp_path).load() == []
    assert not half.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-20],
        lambda b: b.replace(b'"arrived": 1.0', b'"arrived": 2.0'),
        lambda b: b"",
        lambda b: b"[" * 99_999,
    ],
)
def test_a_damaged_record_is_set_aside_not_lost(tmp_path, damage):
    store = Store(tmp_path)
    job = record()
    store.save(job)
    path = store.folder / f"{job.id}.json"
    path.write_bytes(damage(path.read_bytes()))
    assert store.load() == []
    assert len(list(store.folder.glob("*.corrupt-*"))) == 1


def test_old_finished_records_are_forgotten_active_ones_never(tmp_path, monkeypatch):
    monkeypatch.setattr("heygemd.daemon.job_store.KEEP_FINISHED", 2)
    store = Store(tmp_path)
    jobs = [record(f"j{n}", phase="finished") for n in range(4)] + [record("active", phase="claimed")]
    for job in jobs:
        store.save(job)
    kept = store.prune(jobs)
    assert [job.name for job in kept] == ["j2", "j3", "active"]
    assert {job.name for job in store.load()} == {"j2", "j3", "active"}


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EROFS, "disk_unavailable")])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_record_that_cannot_be_written_is_a_fault_of_the_local_disk(tmp_path, monkeypatch, call, number, code):
    store, job = Store(tmp_path), record()
    store.save(job)

    def failing(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, pytest.raises(LocalDiskError) as caught:
        patch.setattr(os, call, failing)
        store.save(record(phase="finished"))
    assert caught.value.code == code
    assert caught.value.fields["path"].startswith(str(store.folder))
    assert store.load() == [job]
