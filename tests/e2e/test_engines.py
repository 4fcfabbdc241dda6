"""Engines through the daemon: somebody else's program and what is not installed yet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .harness import frame_count

PROGRAM = Path(__file__).parents[1] / "render" / "lipsync_program.py"
ARGV = ["{video}", "{audio}", "{output}", "{fps}"]


def programs(*modes: str, **options: Any) -> dict[str, dict[str, Any]]:
    """Sections of the settings: engines named after what the program shall do."""
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


def test_once_does_not_wait_for_what_nobody_installs(site, media):
    site.configure(render={"engine": "wav2lip"})
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    assert site.start("once").wait(150) == 69
    assert "heygemd models add" in (site.root / "stderr").read_text()
    assert site.place_of("j") == ["inbox"]
