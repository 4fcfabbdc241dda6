import os

import pytest

from heygemd.storage import mounts


@pytest.mark.parametrize("name", ["共享", "two words", "Präsent\\ation 共享", os.fsdecode(b"caf\xe9")])
def test_a_network_mount_is_recognised_whatever_its_name(tmp_path, monkeypatch, name):
    point = tmp_path / name
    (point / "inbox").mkdir(parents=True)
    escaped = os.fsencode(point).replace(b"\\", rb"\134").replace(b" ", rb"\040")  # as proc(5) says
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        + b"40 22 0:40 / %s rw,relatime shared:1 - nfs4 nas:/share rw,vers=4.2\n" % escaped
        + b"41 22 0:41 / %s rw - ext4 /dev/sdb1 rw\n" % os.fsencode(f"{tmp_path}/other")
    )
    monkeypatch.setattr(mounts, "MOUNTINFO", table)
    assert mounts.mount(point / "inbox").network
    assert not mounts.mount(tmp_path).network
