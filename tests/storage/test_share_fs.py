import errno
import os

import pytest

from heygemd.errors import NotReady, ShareError
from heygemd.storage import mounts, share_fs, share_paths, transfer
from heygemd.storage.atomic import part_of
from tests import traps


def test_rename_never_replaces_even_an_empty_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(FileExistsError):
        share_fs.rename(tmp_path / "a", tmp_path / "b")


def test_what_lies_in_place_of_a_folder_of_ours_is_set_aside_and_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("link", "link"):
        (tmp_path / name).symlink_to("elsewhere")
        assert not share_fs.is_folder(tmp_path / name)
        share_fs.make_folder(tmp_path / name)
        assert share_fs.is_folder(tmp_path / name)
        (tmp_path / name).rmdir()
    (tmp_path / "notes.txt").write_text("mine")
    share_fs.make_folder(tmp_path / "notes.txt")
    assert (tmp_path / "notes (set aside).txt").read_text() == "mine"
    assert (tmp_path / "link (set aside)").readlink() == (tmp_path / "link (set aside 2)").readlink()
    assert os.listdir(tmp_path / "elsewhere") == []
    assert share_fs.is_folder(tmp_path / "elsewhere")
    assert not share_fs.is_folder(tmp_path / "file" / "below")


def test_temporary_names_of_the_longest_names_fit(tmp_path):
    for name in ("y" * 255, "长" * 85, os.fsdecode(b"\xe9" * 255)):
        share_fs.write(tmp_path / name, b"x")
        transfer.finish(transfer.copy(tmp_path / name, tmp_path / f"2{name}"[:80]))
        assert len(os.fsencode(part_of(tmp_path / name).name)) <= 255


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.ENOSPC, ShareError, "share_full"),
        (errno.EIO, ShareError, "share_unavailable"),
        (errno.EHOSTDOWN, ShareError, "share_unavailable"),
        (errno.EACCES, NotReady, "no_permission"),
        (errno.EBUSY, NotReady, "held_open"),
    ],
)
def test_faults_of_the_system_get_a_type_and_a_code(number, kind, code):
    error = share_paths.translate(OSError(number, "x", "/share/f"))
    assert isinstance(error, kind)
    assert error.code == code


def test_a_stale_handle_is_looked_up_once_more():
    calls = []

    @share_paths.on_share
    def stale_once():
        calls.append(1)
        if len(calls) == 1:
            raise OSError(errno.ESTALE, "stale")
        return "ok"

    assert stale_once() == "ok"


@pytest.mark.parametrize("kind", [kind for kind in traps.KINDS if kind != "unreadable"])
def test_only_regular_files_are_read_and_nothing_stays_open(tmp_path, kind):
    trap = traps.lay(tmp_path, "x", kind)
    before = os.listdir("/proc/self/fd")
    for reading in (
        share_fs.read,
        share_fs.fingerprint,
        lambda path: transfer.finish(transfer.copy(path, tmp_path / "y")),
    ):
        with pytest.raises(NotReady, match="not_a_file"):
            reading(trap)
    assert os.listdir("/proc/self/fd") == before
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("kind", traps.KINDS)
@pytest.mark.parametrize("place", ["x", ".x.heygemd-part"])
def test_a_file_of_ours_is_written_whatever_has_its_name(tmp_path, kind, place):
    """Also where the temporary file goes: opening a pipe for writing would wait for ever."""
    traps.lay(tmp_path, place, kind)
    before = os.listdir("/proc/self/fd")
    (tmp_path / "source").write_bytes(b"copied")
    share_fs.write(tmp_path / "x", b"ours")
    assert (tmp_path / "x").read_bytes() == b"ours"
    traps.lay(tmp_path, place, kind)
    transfer.finish(transfer.copy(tmp_path / "source", tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == b"copied"
    assert os.listdir("/proc/self/fd") == before
    assert traps.target(tmp_path).read_bytes() == traps.SECRET


def test_scan_sees_folders_with_members_and_loose_files(tmp_path):
    (tmp_path / "job" / "sub").mkdir(parents=True)
    (tmp_path / "job" / "a.mp4").write_bytes(b"123")
    (tmp_path / "job" / "sub" / "b").write_bytes(b"")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "loose.wav").write_bytes(b"")
    name = os.fsencode(tmp_path / "job") + b"/caf\xe9.mp4"
    with open(name, "wb") as file:
        file.write(b"1")
    found, loose = share_fs.scan(tmp_path, lambda n: n.startswith("@"))
    assert [(e.name, e.kind) for e in loose] == [("loose.wav", "file")]
    assert [f.name for f in found] == ["job"]
    assert {e.name for e in found[0].entries} == {"a.mp4", "sub", "sub/b", "caf\udce9.mp4"}


@pytest.mark.parametrize(("inbox", "folder", "file"), [(0o2770, 0o2770, 0o660), (0o777, 0o2777, 0o666)])
def test_written_files_are_open_to_the_group_and_to_others_as_their_folder_is(tmp_path, inbox, folder, file):
    tmp_path.chmod(inbox)
    old = os.umask(0o077)
    try:
        share_fs.make_folder(tmp_path / "d")
        share_fs.write(tmp_path / "d" / "f", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "d" / "f").stat().st_mode & 0o777 == file
    assert (tmp_path / "d").stat().st_mode & 0o7777 == folder


def test_the_mount_of_a_local_folder_is_local(tmp_path):
    found = mounts.mount(tmp_path)
    assert not found.network
    assert found.device == tmp_path.stat().st_dev
    assert mounts.free_bytes(tmp_path) > 0


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL])
def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path, monkeypatch, number):
    for name in ("a", "bad", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "loose.wav").touch()
    opened = os.open

    def fail(path, *rest, **more):
        if path == "bad":
            raise OSError(number, os.strerror(number))
        return opened(path, *rest, **more)

    monkeypatch.setattr(os, "open", fail)
    found, loose = share_fs.scan(tmp_path, lambda _: False)
    assert [(folder.name, folder.error and folder.error.code) for folder in found] == [
        ("a", None),
        ("bad", "share_unavailable" if number == errno.EIO else "file_unusable"),
        ("c", None),
    ]
    assert [entry.name for entry in loose] == ["loose.wav"]
