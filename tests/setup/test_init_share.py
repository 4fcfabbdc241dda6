"""`heygemd init` without root, and on a network share that refuses chown."""

from __future__ import annotations

import contextlib
import grp
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from heygemd import groups, package_data
from heygemd.config import loader
from heygemd.errors import HeygemdError, InputError
from heygemd.setup import init_share


def test_init_without_root_stays_in_the_users_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    init_share.initialise(tmp_path / "share", None, None)
    paths = loader.load(tmp_path / "CONFIG" / "heygemd" / "config.toml").paths
    assert paths.share == tmp_path / "share"
    assert all(p.is_relative_to(tmp_path) for _, p in paths)


def test_init_on_a_share_whose_server_decides_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.chown

    def chown(path: Path, uid: int, gid: int) -> None:
        if str(path).startswith("/proc/self/fd"):
            raise PermissionError(1, "Operation not permitted")
        real(path, uid, gid)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(groups.pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=12345, pw_gid=12345))
    monkeypatch.setattr(init_share.systemd_units, "add_users", lambda: None)
    monkeypatch.setattr(
        package_data,
        "config_for",
        lambda **_: (
            f'[paths]\nshare = "{tmp_path / "share"}"\nstate = "{tmp_path / "s"}"\n'
            f'cache = "{tmp_path / "c"}"\nlog = "{tmp_path / "l"}"\n'
        ),
    )
    monkeypatch.setattr(os, "chown", chown)
    done = init_share.initialise(tmp_path / "share", tmp_path / "config.toml", None)
    assert any("keeps its owner (Operation not permitted)" in line for line in done)
    facts = (tmp_path / "config.toml").stat()
    assert (facts.st_mode & 0o777, facts.st_gid) == (0o640, 12345)


@pytest.mark.root
@pytest.mark.parametrize("name", ["done", ".heygemd-share"])
def test_root_follows_no_link_that_staff_put_into_the_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    share, victim = tmp_path / "share", tmp_path / "victim"
    init_share.initialise(share, tmp_path / "config.toml", None)
    (share / name).unlink() if name.startswith(".") else (share / name).rmdir()
    victim.mkdir(mode=0o700) if name == "done" else victim.write_text("x")
    before = victim.lstat()
    (share / name).symlink_to(victim)
    monkeypatch.setattr(groups.pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=12345, pw_gid=12345))
    monkeypatch.setattr(init_share.systemd_units, "add_users", lambda: None)
    with contextlib.suppress(HeygemdError, OSError):
        init_share.initialise(share, tmp_path / "config.toml", None)
    after = victim.lstat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of another user")
def test_root_opens_dropped_folders_to_the_share_but_follows_no_link(tmp_path: Path) -> None:
    share, victim = tmp_path / "share", tmp_path / "victim"
    init_share.initialise(share, tmp_path / "config.toml", None)
    closed, file = share / "inbox" / "closed", share / "inbox" / "closed" / "a.mp4"
    for folder in (closed, victim):
        folder.mkdir(mode=0o700)
        (folder / "a.mp4").touch(0o600)
        for path in (folder, folder / "a.mp4"):
            os.chown(path, 12345, 12345)
    (share / "inbox" / "link").symlink_to(victim)
    (closed / "link").symlink_to(victim / "a.mp4")
    init_share.initialise(share, tmp_path / "config.toml", None)
    group = (share / "inbox").stat().st_gid
    opened = [(path.stat().st_mode & 0o7777, path.stat().st_gid) for path in (closed, file)]
    kept = [(path.stat().st_mode & 0o7777, path.stat().st_gid) for path in (victim, victim / "a.mp4")]
    assert opened == [(0o2770, group), (0o660, group)]
    assert kept == [(0o700, 12345), (0o600, 12345)]


@pytest.mark.root
def test_the_services_own_group_cannot_be_that_of_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups.pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=12345, pw_gid=os.getgid()))
    monkeypatch.setattr(init_share.systemd_units, "add_users", lambda: None)
    own = grp.getgrgid(os.getgid()).gr_name
    with pytest.raises(InputError, match="group_private"):
        init_share.initialise(tmp_path / "share", tmp_path / "config.toml", own)
