"""The doctor: finds what is wrong, says how to mend it, changes nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from heygemd.config.schema import Command, Config, Limits, Paths, Render
from heygemd.doctor import checks, share_checks
from heygemd.finding import Row
from heygemd.storage import share_layout


@pytest.fixture
def config(tmp_path: Path) -> Config:
    names = ("share", "state", "cache", "log", "models")
    (tmp_path / "share").mkdir()
    share_layout.create(tmp_path / "share")
    limits = Limits(free_scratch_gib=0, free_share_gib=0, free_state_mib=0)
    return Config(paths=Paths(**{name: tmp_path / name for name in names}), limits=limits, render=Render(device="cpu"))


def broken(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.state == "broken"]


def test_a_sound_machine(config: Config, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    rows = checks.examine(config)
    assert broken(rows) == []
    assert {"ffmpeg", "share", "ownership", "models", "GPU", "inotify", "clock"} <= {row.subject for row in rows}
    assert sorted(tmp_path.rglob("*")) == before


def test_every_problem_has_a_mend(config: Config, tmp_path: Path) -> None:
    shutil.rmtree(config.paths.share / "done")
    lacking = config.model_copy(update={"limits": Limits(free_scratch_gib=10**9, free_state_mib=10**9)})
    rows = [row for row in checks.examine(lacking) if row.state != "ok"]
    assert {"share", "paths.cache", "paths.state"} <= {row.subject for row in rows}
    assert all(row.mend for row in rows)


def test_a_missing_share_names_the_command(config: Config) -> None:
    shutil.rmtree(config.paths.share)
    (row,) = share_checks.check(config, " --config x.toml")
    assert row.state == "broken"
    assert row.mend.endswith(f"heygemd init {config.paths.share} --config x.toml")


def test_folders_on_different_mounts(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    real = share_checks.mounts.mount

    def other(path: Path) -> object:
        found = real(path)
        return found._replace(device=found.device + 1) if path.name == "done" else found

    monkeypatch.setattr(share_checks.mounts, "mount", other)
    rows = list(share_checks.check(config))
    assert any("different mounts" in row.finding for row in broken(rows))


def test_an_inbox_without_setgid_is_warned_about(config: Config) -> None:
    (config.paths.share / "inbox").chmod(0o755)
    (row,) = [row for row in share_checks.check(config) if row.subject == "ownership"]
    assert row.state == "warning"
    for words in ("chmod 2770", "setfacl", "force user", "force group"):
        assert words in row.mend


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a folder of another user")
def test_a_folder_that_cannot_be_moved_is_named(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = config.paths.share / "inbox" / "promo\n"
    dropped.mkdir(mode=0o755)
    os.chown(dropped, 12345, 12345)

    def access(path: os.PathLike[str], mode: int) -> bool:
        facts = Path(path).stat()
        return facts.st_uid != 12345 or bool(facts.st_mode & stat.S_IWOTH)

    monkeypatch.setattr(os, "access", access)
    (row,) = [row for row in share_checks.check(config) if "may not be moved" in row.finding]
    assert r"promo\n (12345:12345 drwxr-sr-x)" in row.finding
    assert "chmod -R g+rwX" in row.mend


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_unwritable_folders_are_found(config: Config, tmp_path: Path) -> None:
    config.paths.cache.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents[:4]):  # pytest's own folders are closed to other users
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        rows = [row for row in checks._own_folders(config) if row.subject == "paths.cache"]
    finally:
        os.seteuid(0)
    assert [row.state for row in rows] == ["broken"]
    assert "Permission denied" in rows[0].finding


def test_a_check_that_fails_hides_nothing_else(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterator[Row]:
        raise RuntimeError("surprise")
        yield

    monkeypatch.setattr(checks, "_inotify", fail)
    rows = checks.examine(config)
    assert [row.finding for row in rows if row.subject == "inotify"] == ["could not be checked: RuntimeError: surprise"]
    assert any(row.subject == "clock" for row in rows)


def test_missing_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (row,) = checks._programs()
    assert row.state == "broken"
    assert row.mend == "apt-get install ffmpeg"


def test_limits_that_a_sandbox_forbids(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "setpriv"
    refusing.write_text("#!/bin/sh\necho 'setpriv: activate capabilities: Operation not permitted' >&2\nexit 127\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(checks.ffmpeg, "_limiters", lambda: {"prlimit": None, "setpriv": str(refusing), "nice": None})
    (row,) = checks._confined_trial()
    assert row.state == "broken"
    assert "Operation not permitted" in row.finding


def test_engines_that_lack_something(config: Config, tmp_path: Path) -> None:
    program = Command(argv=("/opt/nowhere/sync", "{audio}", "{output}"))
    wishes = Render(engine="wav2lip", tracker="face-alignment", command={"mine": program})
    rows = {
        row.finding: row.mend for row in broken(list(checks._engines(config.model_copy(update={"render": wishes}))))
    }
    engine = rows["The weights of the wav2lip engine are not on this server."]
    assert "heygemd models add wav2lip_gan.pth, from https://" in engine
    tracker = rows["The selected face tracker is not installed on this server."]
    assert "heygemd models fetch s3fd; heygemd models fetch 2dfan4" in tracker
    assert "render.command.mine" in rows['The program of the engine "mine" is not on this server (/opt/nowhere/sync).']
    only = config.model_copy(update={"render": Render(engine="wav2lip")})
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "wav2lip.pth").write_bytes(b"<html>")
    (row,) = checks._engines(only)
    assert row.state == "broken" and "is a web page" in row.finding and row.mend
    (tmp_path / "models" / "wav2lip.pth").write_bytes(b"\x80\x02")
    assert broken(list(checks._engines(only))) == []
