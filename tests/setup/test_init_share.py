"""`heygemd init` without root, and on a network share that refuses chown."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from heygemd.config import loader
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
    def chown(path: Path, uid: int, gid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(init_share.pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=12345))
    monkeypatch.setattr(os, "chown", chown)
    done = init_share.initialise(tmp_path / "share", tmp_path / "config.toml", None)
    assert any("keeps its owner (Operation not permitted)" in line for line in done)
    assert (tmp_path / "config.toml").exists()
