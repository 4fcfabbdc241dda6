"""The doctor finds what is wrong, says how to fix it, and changes nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from heygemd.config.schema import Command, Config, Limits, Paths, Render
from heygemd.doctor import checks, share_checks
from heygemd.doctor.check_result import CheckResult
from heygemd.storage import share_layout


@pytest.fixture
def config(tmp_path: Path) -> Config:
    names = ("share", "state", "cache", "log", "models")
    (tmp_path / "share").mkdir()
    share_layout.create(tmp_path / "share")
    limits = Limits(free_scratch_gib=0, free_share_gib=0, free_state_mib=0)
    return Config(paths=Paths(**{name: tmp_path / name for name in names}), limits=limits, render=Render(device="cpu"))


def broken(results: list[CheckResult]) -> list[CheckResult]:
    return [result for result in results if result.state == "broken"]


def test_a_sound_machine(config: Config, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    results = checks.examine(config)
    assert broken(results) == []
    assert {"ffmpeg", "privacy", "share", "ownership", "models", "GPU", "inotify", "clock"} <= {
        result.subject for result in results
    }
    assert sorted(tmp_path.rglob("*")) == before


def test_every_problem_has_a_fix(config: Config, tmp_path: Path) -> None:
    shutil.rmtree(config.paths.share / "done")
    lacking = config.model_copy(update={"limits": Limits(free_scratch_gib=10**9, free_state_mib=10**9)})
    results = [result for result in checks.examine(lacking) if result.state != "ok"]
    assert {"share", "paths.cache", "paths.state"} <= {result.subject for result in results}
    assert all(result.fix for result in results)


def test_a_missing_share_names_the_command(config: Config) -> None:
    shutil.rmtree(config.paths.share)
    (result,) = share_checks.check(config, " --config x.toml")
    assert result.state == "broken"
    assert result.fix.endswith(f"heygemd init {config.paths.share} --config x.toml")


def test_folders_on_different_mounts(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    real = share_checks.mounts.mount

    def other(path: Path) -> object:
        found = real(path)
        return found._replace(device=found.device + 1) if path.name == "done" else found

    monkeypatch.setattr(share_checks.mounts, "mount", other)
    results = list(share_checks.check(config))
    assert any("different mounts" in result.text for result in broken(results))


def test_an_inbox_without_setgid_is_warned_about(config: Config) -> None:
    (config.paths.share / "inbox").chmod(0o755)
    (result,) = [result for result in share_checks.check(config) if result.subject == "ownership"]
    assert result.state == "warning"
    for words in ("heygemd init", "setfacl", "force user", "force group"):
        assert words in result.fix


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a folder of another user")
def test_a_folder_that_cannot_be_moved_is_named(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = config.paths.share / "inbox" / "promo\n"
    dropped.mkdir(mode=0o755)
    os.chown(dropped, 12345, 12345)
    voice = config.paths.share / "inbox" / "talk" / "voice.wav"
    voice.parent.mkdir()
    voice.touch(0o600)
    os.chown(voice, 12345, 12345)

    def access(path: os.PathLike[str], mode: int) -> bool:
        facts = Path(path).stat()
        return facts.st_uid != 12345 or bool(facts.st_mode & stat.S_IWOTH)

    monkeypatch.setattr(os, "access", access)
    (result,) = [result for result in share_checks.check(config) if "may not be moved" in result.text]
    assert r"promo\n (12345:12345 drwxr-sr-x)" in result.text
    assert "talk/voice.wav (12345:12345 -rw-------)" in result.text
    assert f"heygemd init {config.paths.share}" in result.fix


def test_no_link_in_the_share_is_written_through(config: Config, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    for folder in (config.paths.share, config.paths.share / "inbox"):
        (folder / f".heygemd-doctor-{os.getpid()}").symlink_to(victim)
    list(share_checks.check(config))
    assert victim.read_text() == "kept"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_unwritable_folders_are_found(config: Config, tmp_path: Path) -> None:
    config.paths.cache.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents[:4]):  # pytest's own folders are closed to other users
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        results = [result for result in checks._local_folders(config) if result.subject == "paths.cache"]
    finally:
        os.seteuid(0)
    assert [result.state for result in results] == ["broken"]
    assert "Permission denied" in results[0].text


def test_a_check_that_fails_hides_nothing_else(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterator[CheckResult]:
        raise RuntimeError("surprise")
        yield

    monkeypatch.setattr(checks, "_inotify", fail)
    results = checks.examine(config)
    assert [result.text for result in results if result.subject == "inotify"] == [
        "could not be checked: RuntimeError: surprise"
    ]
    assert any(result.subject == "clock" for result in results)


def test_missing_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (result,) = checks._programs()
    assert result.state == "broken"
    assert result.fix == "apt-get install ffmpeg"


def test_an_ffmpeg_that_drops_the_transparency_of_webm(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checks._output
    assert not [result for result in checks._programs() if "WebM" in result.text]
    monkeypatch.setattr(checks, "_output", lambda *told: whole(*told).replace("libvpx-vp9", "vp9-own"))
    (result,) = [result for result in checks._programs() if "WebM" in result.text]
    assert (result.state, "libvpx-vp9" in result.text) == ("warning", True)


def test_limits_that_a_sandbox_forbids(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "setpriv"
    refusing.write_text("#!/bin/sh\necho 'setpriv: activate capabilities: Operation not permitted' >&2\nexit 127\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(checks.ffmpeg, "_limiters", lambda: {"prlimit": None, "setpriv": str(refusing), "nice": None})
    (result,) = checks._limits_trial()
    assert result.state == "broken"
    assert "Operation not permitted" in result.text


def test_engines_that_lack_something(config: Config, tmp_path: Path) -> None:
    program = Command(argv=("/opt/nowhere/sync", "{audio}", "{output}"))
    wishes = Render(engine="wav2lip", tracker="face-alignment", command={"mine": program})
    results = {
        result.text: result.fix
        for result in broken(list(checks._engines(config.model_copy(update={"render": wishes}))))
    }
    engine = results["The weights of the wav2lip engine are not on this server."]
    assert "heygemd models add wav2lip_gan.pth, from https://" in engine
    tracker = results["The selected face tracker is not installed on this server."]
    assert "heygemd models fetch s3fd; heygemd models fetch 2dfan4" in tracker
    assert (
        "render.command.mine" in results['The program of the engine "mine" is not on this server (/opt/nowhere/sync).']
    )
    only = config.model_copy(update={"render": Render(engine="wav2lip")})
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "wav2lip.pth").write_bytes(b"<html>")
    (result,) = checks._engines(only)
    assert result.state == "broken" and "is a web page" in result.text and result.fix
    (tmp_path / "models" / "wav2lip.pth").write_bytes(b"\x80\x02")
    assert broken(list(checks._engines(only))) == []
