"""Engines through the daemon: external programs that work, fail or hang, and engines that are not installed yet."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from heygemd.daemon.intake.filename_rules import WHY_NOTE

from ..render import wav2lip_weights
from ..render.engines.test_recipes import Installed
from .harness import frame_count, offspring, wait_for

PROGRAM = Path(__file__).parents[1] / "render" / "lipsync_program.py"
ARGV = ["{video}", "{audio}", "{output}", "{fps}"]


def programs(*modes: str, **options: Any) -> dict[str, dict[str, Any]]:
    """Return settings sections: one engine for each mode of the test program, named after it."""
    return {
        f"render.command.{mode}": {"argv": [sys.executable, str(PROGRAM), mode, *ARGV], "time_limit_s": 5, **options}
        for mode in modes
    }


def test_a_job_is_rendered_by_a_program(site, media):
    site.configure(render={"engine": "plain"}, **programs("plain", time_limit_s=300))
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    site.start()
    done = site.finished("j")
    assert frame_count(done / "anna.mp4") == 25
    (video,) = site.records()[0]["videos"]
    assert video["result"]["engine"] == "plain" and video["attempts"] == 1
    site.ledger.check()


def test_heygem_by_its_recipe_renders_and_a_failure_with_status_0_says_what_it_printed(site, media):
    recipe = Installed(site.root).recipes["heygem"].model_dump(mode="json")
    bad = {**recipe, "environment": {"STANDIN_FAULT": "nothing"}}
    sections = {f"render.command.{name}": command for name, command in (("heygem", recipe), ("bad", bad))}
    site.configure(render={"engine": "heygem"}, attempts={"max_attempts": 1}, **sections)
    site.drop("good", voice__m4a=media.voice, anna__mp4=media.face)
    folder = site.drop("wish", voice__m4a=media.voice, anna__mp4=media.face)
    (folder / "job.toml").write_text('engine = "bad"\n')
    site.ledger.note(folder)
    site.start()
    assert frame_count(site.finished("good") / "anna.mp4") == 25
    failed = site.finished("wish", "failed")
    assert "did not write a video" in (failed / WHY_NOTE).read_text("utf-8-sig")
    assert "CUDA error: no kernel image" in (failed / "HEYGEMD-log.txt").read_text()
    site.ledger.check()


@pytest.mark.slow
def test_a_program_that_fails_hangs_or_writes_garbage_goes_to_failed_with_its_reason(site, media):
    reasons = {
        "fail": "failed (status 3)",
        "hang": "took longer than 5 s and was stopped",
        "garbage": "program cannot be used",
    }
    site.configure(attempts={"max_attempts": 1}, **programs(*reasons))
    for mode in reasons:
        folder = site.drop(mode, voice__m4a=media.voice, anna__mp4=media.face)
        (folder / "job.toml").write_text(f'engine = "{mode}"\n')
        site.ledger.note(folder)
    process = site.start()
    for mode, reason in reasons.items():
        why = (site.finished(mode, "failed") / WHY_NOTE).read_text("utf-8-sig")
        assert reason in why and "administrator" in why and "Traceback" not in why
    assert "CUDA driver is too old" in (site.share / "failed" / "fail" / "HEYGEMD-log.txt").read_text()
    assert [v["attempts"] for job in site.records() for v in job["videos"]] == [1] * len(reasons)
    wait_for(lambda: "sleep" not in [child.name() for child in offspring(process)], "no program left", 5)
    site.ledger.check()


@pytest.mark.slow
def test_work_waits_for_weights_and_goes_on_by_itself(site, media):
    """The daemon rejects a wrong file by its first bytes, without a renderer; only the renderer reads the weights."""
    site.module = "tests.faults.fault_injection"  # with pauses of one second
    site.configure(render={"engine": "wav2lip"})
    weights = site.root / "models" / "wav2lip.pth"
    weights.parent.mkdir()
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)

    def said(words: str) -> bool:
        return words in site.status()["detail"].get("en", "")

    def attempts() -> int:
        return int(site.records()[0]["videos"][0]["attempts"])

    site.start()
    wait_for(lambda: said("The weights of the wav2lip engine are not on this server"), "the reason on the page")
    wait_for(lambda: site.status()["state"] == "paused", "the pause")
    first = next(line for line in site.log().splitlines() if "ERROR" in line)
    assert "heygemd models add wav2lip_gan.pth" in first and site.log().index(first) < site.log().index("claimed")
    weights.write_text("<!DOCTYPE html>")
    wait_for(lambda: said("is a web page"), "a web page reported")
    torch.save({"conv1_1.weight": torch.zeros(1)}, weights)
    wait_for(lambda: said("is a face detector"), "another network reported")
    assert site.place_of("j") == ["processing"]
    wait_for(lambda: attempts() == 0, "no attempt counted")
    wav2lip_weights.write(weights.with_suffix(".part")).replace(weights)
    assert frame_count(site.finished("j") / "anna.mp4") == 25
    assert site.records()[0]["videos"][0]["result"]["engine"] == "wav2lip" and attempts() == 1
    weights.unlink()


@pytest.mark.slow
def test_a_folder_whose_engine_is_not_installed_does_not_block_others(site, media):
    site.module = "tests.faults.fault_injection"
    program = site.root / "lipsync.py"
    argv = {"argv": [str(program), "plain", *ARGV]}
    site.configure(**{"render.command.mine": argv})
    wish = site.drop("!wish", voice__m4a=media.voice, anna__mp4=media.face)
    (wish / "job.toml").write_text('engine = "mine"\n')
    site.start()
    wait_for(lambda: any("is not on this server" in j["text"].get("en", "") for j in site.status()["queue"]), "why")
    site.drop("other", voice__m4a=media.voice, anna__mp4=media.face)
    site.finished("other")
    assert site.place_of("!wish") == ["processing"]
    shutil.copy(PROGRAM, program)
    program.write_text(f"#!{sys.executable}\n{program.read_text()}")
    program.chmod(0o755)
    done = site.finished("!wish")
    assert frame_count(done / "anna.mp4") == 25
    assert {job["videos"][0]["attempts"] for job in site.records()} == {1}


def test_once_does_not_wait_for_missing_weights(site, media):
    site.configure(render={"engine": "wav2lip"})
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    assert site.start("once").wait(150) == 69
    assert "heygemd models add" in (site.root / "stderr").read_text()
    assert site.place_of("j") == ["inbox"]


def test_once_does_not_wait_for_a_folder_whose_engine_is_not_installed(site, media):
    site.configure(**{"render.command.mine": {"argv": ["/opt/nowhere/sync", *ARGV]}})
    folder = site.drop("wish", voice__m4a=media.voice, anna__mp4=media.face)
    (folder / "job.toml").write_text('engine = "mine"\n')
    assert site.start("once").wait(150) == 3
    assert site.place_of("wish") == ["processing"]
