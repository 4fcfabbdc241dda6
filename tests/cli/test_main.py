"""The command line in real processes: exit statuses, plain messages, never a traceback."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli
import typer

from heygemd import __version__
from heygemd.cli import main, render_one
from heygemd.config import loader, schema
from heygemd.daemon.status import status_file
from heygemd.daemon.status.snapshot import JobView, Snapshot, VideoView
from heygemd.exit_codes import Exit
from heygemd.protocol import Progress, SyncMeasurement
from heygemd.render.progress import Report

from .. import media_factory


def heygemd(*argv: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heygemd", *map(str, argv)]
    clean = {k: v for k, v in os.environ.items() if k not in ("HEYGEMD_CONFIG", "HEYGEMD_DEBUG", "LANG", "LC_ALL")}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**clean, **(env or {})}
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A configuration with all folders inside the test's own folder."""
    path = tmp_path / "config.toml"
    names = ("share", "state", "cache", "log", "models")
    path.write_text("[paths]\n" + "".join(f'{name} = "{tmp_path / name}"\n' for name in names))
    return path


def test_version() -> None:
    done = heygemd("--version")
    assert (done.returncode, done.stdout) == (0, f"heygemd {__version__}\n")


def test_every_command_has_help() -> None:
    text = heygemd("--help").stdout
    for command in (
        "run",
        "once",
        "render",
        "sync",
        "init",
        "status",
        "retry",
        "cancel",
        "models",
        "config",
        "doctor",
        "demo",
    ):
        assert f"\n  {command} " in text
        assert heygemd(command, "--help").returncode == 0


def test_help_groups_all_commands_with_whole_summaries() -> None:
    text = heygemd("--help", env={"COLUMNS": "80"}).stdout
    lines = text[text.index("\nDaemon:\n") : text.index("  Exit status:")].splitlines()
    assert [line for line in lines if re.match(r"\w", line)] == ["Daemon:", "Jobs:", "One video:", "Administration:"]
    listed = [line for line in lines if line.startswith("  ")]
    assert {line.split()[0] for line in listed} == set(typer.main.get_command(main.app).commands)  # type: ignore[attr-defined]
    assert all(re.fullmatch(r"  [a-z]+ +[A-Z].*\.", line) and len(line) < 80 for line in listed), listed
    assert max(map(len, text.splitlines())) < 80


def test_help_is_fast() -> None:
    began = time.monotonic()
    heygemd("--help")
    assert time.monotonic() - began < 2


def test_exit_statuses_are_documented() -> None:
    text = " ".join(heygemd("--help").stdout.split())
    for status in Exit:
        assert f" {status.value} " in text, status


def test_bad_configuration_lists_every_mistake_and_exits_78(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[render]\nengine = "mash"\ncrf = 99\n')
    for verb in ("run", "once", "config", "status", "doctor"):
        done = heygemd(verb, "--config", path)
        assert done.returncode == 78
        assert "did you mean 'mesh'" in done.stderr
        assert "render.crf" in done.stderr


def test_missing_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    done = heygemd("run", "--config", tmp_path / "none.toml")
    assert done.returncode == 78
    assert "heygemd init SHARE --config" in done.stderr


def test_wrong_usage_is_2() -> None:
    assert heygemd("dance").returncode == 2
    assert heygemd("render").returncode == 2


def test_configuration_from_the_environment(settings: Path) -> None:
    done = heygemd("config", env={"HEYGEMD_CONFIG": str(settings)})
    assert str(settings) in done.stdout


def test_config_prints_toml_with_the_same_settings(settings: Path) -> None:
    with settings.open("a") as out:
        out.write('[pages]\nlanguages = ["zh"]\n[render]\ncrf = 20\n')
    printed = heygemd("config", "--config", settings).stdout
    assert schema.Config.model_validate(tomli.loads(printed)) == loader.load(settings)
    assert f"crf = 20                                           # {settings}" in printed
    assert 'preset = "superfast"                               # default' in printed


def test_init_creates_share_and_configuration_and_can_be_repeated(tmp_path: Path) -> None:
    share, path = tmp_path / "the share", tmp_path / "etc" / "config.toml"
    assert heygemd("init", share, "--config", path).returncode == 0
    assert loader.load(path).paths.share == share
    for name in ("inbox", "processing", "done", "failed"):
        mode = (share / name).stat().st_mode
        assert mode & stat.S_ISGID
        assert mode & stat.S_IWGRP
    marker = (share / ".heygemd-share").read_text()
    path.write_text(path.read_text() + "\n# mine\n")
    assert heygemd("init", share, "--config", path).returncode == 0
    assert (share / ".heygemd-share").read_text() == marker
    assert path.read_text().endswith("# mine\n")


def test_init_refuses_a_configuration_inside_the_share(tmp_path: Path) -> None:
    done = heygemd("init", tmp_path / "share", "--config", tmp_path / "share" / "config.toml")
    assert done.returncode == 78
    assert "inside the share" in done.stderr
    assert not (tmp_path / "share").exists()


def test_init_does_not_take_over_another_shares_configuration(tmp_path: Path, settings: Path) -> None:
    done = heygemd("init", tmp_path / "other", "--config", settings)
    assert done.returncode == 78
    assert str(tmp_path / "share") in done.stderr
    assert not (tmp_path / "other").exists()


def test_init_refuses_an_unknown_group(tmp_path: Path) -> None:
    done = heygemd("init", tmp_path / "share", "--config", tmp_path / "c.toml", "--group", "no-such-group")
    assert done.returncode == 4
    assert "groupadd" in done.stderr
    assert not (tmp_path / "share").exists()


def test_status_without_a_daemon(settings: Path) -> None:
    done = heygemd("status", "--config", settings)
    assert done.returncode == 1
    assert "No daemon has run" in done.stderr


def test_status_shows_the_last_snapshot(settings: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    status_file.write(loader.load(settings), SNAPSHOT)
    done = heygemd("status", "--config", settings)
    assert done.returncode == 0
    assert "anna.mp4: running 40% render 12 fps, 1:05 left" in done.stdout
    assert "promo (2): waiting (inbox): The video is missing" in done.stdout
    as_json = heygemd("status", "--json", "--config", settings).stdout
    assert Snapshot.model_validate_json(as_json) == SNAPSHOT


def test_the_json_of_a_measurement_stands_alone(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measure(config: schema.Config, video: Path, voice: Path | None, report: Report) -> SyncMeasurement:
        report(Progress(phase="measure", done=1, total=2, percent=50))
        return SyncMeasurement(fps="25", offset_ms=40.0)

    monkeypatch.setattr(render_one, "measure_sync", measure)
    with pytest.raises(SystemExit) as ended:
        main.app(["sync", str(tmp_path / "made.mp4"), "--json", "--config", str(settings)])
    said = capsys.readouterr()
    assert ended.value.code == Exit.OK
    assert json.loads(said.out)["offset_frames"] == 1
    assert "sync/made.mp4: running" in said.err


def test_retry_and_cancel_of_unknown_jobs(settings: Path) -> None:
    for verb in ("retry", "cancel"):
        done = heygemd(verb, "nothing", "--config", settings)
        assert done.returncode == 4
        assert "nothing" in done.stderr


def test_models_without_a_subcommand_lists_them(settings: Path) -> None:
    done = heygemd("models", env={"HEYGEMD_CONFIG": str(settings)})
    assert done.returncode == 0
    assert "s3fd" in done.stdout
    assert heygemd("models", "verify", "--config", settings).returncode == 0
    (settings.parent / "models").mkdir()
    (settings.parent / "models" / "s3fd-619a316812.pth").write_bytes(b"half")
    assert heygemd("models", "verify", "--config", settings).returncode == 1


def test_render_of_a_missing_file(settings: Path, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.wav", "v.mp4", "o.mp4")]
    done = heygemd("render", "--audio", paths[0], "--video", paths[1], "--out", paths[2], "--config", settings)
    assert done.returncode == 4
    assert f"There is no file {paths[0]}." in done.stderr


@pytest.mark.parametrize("broken", ["voice.wav", "anna.mp4"])
def test_a_file_that_cannot_be_read_is_named(broken: str, settings: Path, tmp_path: Path) -> None:
    media_factory.audio(tmp_path / "voice.wav", 1)
    media_factory.video(tmp_path / "anna.mp4", 1)
    (tmp_path / broken).write_bytes((tmp_path / broken).read_bytes()[:20])
    files = "--audio", tmp_path / "voice.wav", "--video", tmp_path / "anna.mp4", "--out", tmp_path / "out.mp4"
    done = heygemd("render", *files, "--config", settings)
    assert done.returncode == 4 and f'"{broken}" cannot be read' in done.stderr


def test_demo_never_deletes_what_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = heygemd("demo", "--folder", tmp_path)
    assert done.returncode == 4
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_bug_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("")
    code = (
        "import sys; from heygemd.cli import main\nfrom heygemd.config import loader\n"
        "def load(path): raise ZeroDivisionError('x')\n"
        f"loader.load = load; sys.argv = ['heygemd', 'config', '--config', {str(path)!r}]\n"
        "main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "This is a bug in heygemd (ZeroDivisionError: x). HEYGEMD_DEBUG=1 shows where.\n"


RENDERING = VideoView(name="anna.mp4", state="running", phase="render", percent=40, fps=12, eta_s=65)
SNAPSHOT = Snapshot(
    state="working",
    current=JobView(id="1", name="promo", state="claimed", videos=(RENDERING,), folder="processing"),
    waiting=(
        JobView(
            id="1",
            name="promo (2)",
            state="waiting",
            text={"en": "The video is missing", "zh": "缺少视频"},
            folder="inbox",
        ),
    ),
    updated="2026-01-31 12:00:00",
)
