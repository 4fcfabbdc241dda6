import errno
import os

import pytest

from heygemd.errors import LocalDiskError, NotReady, ShareError
from heygemd.storage import transfer
from heygemd.storage.atomic import BLOCK_BYTES


def test_a_copy_appears_only_when_it_is_whole_and_verified(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(BLOCK_BYTES + 17))
    steps = transfer.copy(source, target)
    next(steps)
    assert not target.exists()
    digest = transfer.finish(steps)
    assert target.read_bytes() == source.read_bytes()
    assert len(digest) == 40
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_source_that_changes_meanwhile_gives_no_copy(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(bytes(BLOCK_BYTES + 1))
    steps = transfer.copy(source, target)
    next(steps)
    with source.open("ab") as file:
        file.write(b"more")
    with pytest.raises(NotReady, match="changed_while_copying"):
        transfer.finish(steps)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_move_across_mounts_copies_verifies_then_removes(tmp_path, monkeypatch):
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "x").write_bytes(b"1")
    real = transfer.rename

    def cross_device(here, there):
        if here == source:
            raise OSError(errno.EXDEV, "cross-device")
        real(here, there)

    monkeypatch.setattr(transfer, "rename", cross_device)
    transfer.finish(transfer.move(source, target))
    assert (target / "deep" / "x").read_bytes() == b"1"
    assert not source.exists()


@pytest.mark.parametrize(
    ("copy", "kind", "code"),
    [
        (transfer.copy_in, LocalDiskError, "disk_full"),
        (lambda source, target: transfer.copy_out(source, target, None), ShareError, "share_full"),
        (transfer.copy, ShareError, "share_full"),
    ],
)
def test_a_full_disk_is_told_as_the_side_that_is_written(tmp_path, monkeypatch, copy, kind, code):
    (tmp_path / "a").write_bytes(b"x")

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(kind, match=code):
        transfer.finish(copy(tmp_path / "a", tmp_path / "b"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("copy", "kind"),
    [(transfer.copy_in, ShareError), (lambda source, target: transfer.copy_out(source, target, None), LocalDiskError)],
)
def test_a_fault_while_reading_is_told_as_the_side_that_is_read(tmp_path, monkeypatch, copy, kind):
    (tmp_path / "a").write_bytes(b"x")
    real = os.open

    def failing(path, *rest, **options):
        if path == "a":
            raise OSError(errno.EIO, "broken")
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(kind, match="unavailable"):
        transfer.finish(copy(tmp_path / "a", tmp_path / "b"))
