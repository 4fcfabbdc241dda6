"""Local files appear whole or not at all, and their faults are reported as those of a local disk."""

import errno
import hashlib
import os
import stat

import pytest

from heygemd.errors import LocalDiskError
from heygemd.storage import atomic
from heygemd.storage.atomic import AtomicFile


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_in_place_of_the_old_one(tmp_path):
    target = tmp_path / "record.json"
    atomic.write(target, b"old")
    with AtomicFile(target) as file:
        file.write(b"ne")
        file.write(b"w")
        assert target.read_bytes() == b"old"
        assert file.written == 3
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["record.json"]


def test_permissions_are_exactly_those_that_were_asked_for(tmp_path):
    old = os.umask(0o077)
    try:
        atomic.write(tmp_path / "status.json", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o600


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "record.json"
    atomic.write(target, b"old")
    with pytest.raises(ValueError, match="stop"), AtomicFile(target, unique=True) as file:
        file.write(b"new")
        raise ValueError("stop")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["record.json"]


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EROFS, "disk_unavailable")]
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_fault_of_a_local_disk_is_told_as_one_and_leaves_nothing(tmp_path, monkeypatch, call, number, code):
    atomic.write(tmp_path / "record.json", b"old")

    def failing(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(LocalDiskError) as caught:
            atomic.write(tmp_path / "record.json", b"new")
    assert caught.value.code == code
    assert caught.value.fields["path"] == str(tmp_path / "record.json")
    assert (tmp_path / "record.json").read_bytes() == b"old"
    assert names(tmp_path) == ["record.json"]


def test_a_folder_that_cannot_be_made_is_told_as_the_local_disk(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LocalDiskError, match="disk_unavailable"):
        atomic.make_folder(tmp_path / "file" / "below")


def test_what_another_program_wrote_gets_its_name(tmp_path):
    (tmp_path / "out.part").write_bytes(b"video")
    atomic.publish(tmp_path / "out.part", tmp_path / "out.mp4")
    assert names(tmp_path) == ["out.mp4"]


def test_digests_are_those_of_the_content(tmp_path):
    content = os.urandom(atomic.BLOCK_BYTES + 17)
    (tmp_path / "a").write_bytes(content)
    blocks = list(atomic.blocks_of(tmp_path / "a"))
    assert [len(block) for block in blocks] == [atomic.BLOCK_BYTES, 17]
    assert atomic.digest(blocks) == hashlib.blake2b(content, digest_size=20).hexdigest()
    assert atomic.digest(blocks, atomic.sha256) == hashlib.sha256(content).hexdigest()
