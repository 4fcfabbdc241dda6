"""SIGKILL of daemon and renderer at every phase: no file is lost, nothing is rendered twice, the job completes."""

import re
import signal
from pathlib import Path

import psutil
import pytest

import heygemd
from heygemd.daemon.intake.filename_rules import WHY_NOTE

from .harness import FOLDERS, PATIENCE, wait_for

BEFORE_ANY_RESULT = [
    "discover",
    "settle",
    "claim",
    "copy-in",
    "daemon-analyse",
    "daemon-prepare",
    "daemon-render",
    "daemon-measure",
]
WITH_A_RESULT = ["rendered", "keep", "originals", "publish"]
WITH_A_CHANGE = ["return", "taken-in"]
OF_LOOSE_FILES = ["gather"]  # killed in test_folders.py
CHILD_POINTS = ["analyse", "prepare", "render", "encode", "measure"]
PACKAGE = Path(heygemd.__file__).parent


def test_every_point_is_tried():
    """Every fault point in the code is listed here, so every transition gets its kill."""
    named = {n for path in PACKAGE.rglob("*.py") for n in re.findall(r'\bpoint\(f?"([^"]+)"\)', path.read_text())}
    daemon = {
        re.sub("^daemon-.*", "daemon-{event.phase}", n)
        for n in (*BEFORE_ANY_RESULT, *WITH_A_RESULT, *WITH_A_CHANGE, *OF_LOOSE_FILES)
    }
    assert named == daemon | set(CHILD_POINTS)


def all_inputs(site):
    """Return the names of the job's inputs wherever they are on the share."""
    found = [p.name for place in FOLDERS for p in (site.share / place).rglob("*") if p.is_file()]
    return {n for n in found if not n.startswith((".", "HEYGEMD", "report"))}


@pytest.mark.fault("F6")
@pytest.mark.parametrize("point", BEFORE_ANY_RESULT + WITH_A_RESULT)
def test_the_daemon_dies_and_the_next_one_finishes(site, media, point):
    titles = ["anna.mp4", "ben.mp4"] if point in WITH_A_RESULT else ["anna.mp4"]
    site.drop("j", voice__m4a=media.voice, **{t.replace(".", "__"): media.face for t in titles})
    first = site.start(fault=point)
    assert first.wait(90 * PATIENCE) == -signal.SIGKILL
    assert len(site.place_of("j")) == 1
    assert {"voice.m4a", *titles} <= all_inputs(site)
    site.start()
    done = site.finished("j")
    assert sorted(p.name for p in (done / "originals").iterdir()) == [*titles, "voice.m4a"]
    assert (done / "originals" / "anna.mp4").read_bytes() == media.face.read_bytes()
    rendered = re.findall(r"(\S+): rendered", site.log())
    assert len(rendered) == len(set(rendered))
    assert sorted(p.name for p in done.glob("*.mp4")) == titles
    site.ledger.check()


@pytest.mark.fault("F6", "F31")
@pytest.mark.parametrize("point", WITH_A_CHANGE)
def test_the_daemon_dies_while_more_files_are_added_to_a_job(site, media, point):
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    first = site.start(fault="copy-in:hang")
    wait_for(lambda: psutil.Process(first.pid).status() == psutil.STATUS_STOPPED, "claim")
    site.drop("j", ben__mp4=media.face)
    first.kill()
    first.wait()
    site.fired_once.unlink()
    assert site.start(fault=point).wait(90 * PATIENCE) == -signal.SIGKILL
    site.start()
    done = site.finished("j")
    assert sorted(p.name for p in (done / "originals").iterdir()) == ["anna.mp4", "ben.mp4", "voice.m4a"]
    assert sorted(p.name for p in done.glob("*.mp4")) == ["anna.mp4", "ben.mp4"]
    assert sorted(re.findall(r"(\S+): rendered", site.log())) == ["anna.mp4", "ben.mp4"]
    assert len(site.records()) == 1
    site.ledger.check()


@pytest.mark.fault("F7")
@pytest.mark.parametrize("point", CHILD_POINTS)
def test_the_renderer_dies_and_the_video_is_tried_again(site, media, point):
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    site.start(fault=point)
    site.finished("j")
    assert site.records()[0]["videos"][0]["attempts"] == 2
    assert "SIGKILL" in site.log()
    site.ledger.check()


@pytest.mark.fault("F9")
@pytest.mark.timeout(600)
def test_a_video_that_crashes_the_decoder_fails_alone_after_its_attempts(site, media):
    """The decoder dies by SIGSEGV on the third of six videos; the other five are rendered."""
    shim = site.root / "bin"
    shim.mkdir()
    for tool in ("ffmpeg", "ffprobe"):
        (shim / tool).write_text(
            f'#!/bin/sh\ncase "$*" in *v03.mp4*) kill -SEGV $$ ;; esac\nexec /usr/bin/{tool} "$@"\n'
        )
        (shim / tool).chmod(0o755)
    files = {f"p{n}__mp4": media.face for n in range(1, 7)}
    site.drop("six", voice__m4a=media.voice, **files)
    site.start(PATH=f"{shim}:/usr/bin:/bin")
    done = site.finished("six", patience_s=500)
    assert sorted(p.name for p in done.glob("*.mp4")) == [f"p{n}.mp4" for n in (1, 2, 4, 5, 6)]
    assert "p3.mp4" in (done / WHY_NOTE).read_text("utf-8-sig")
    videos = {v["output"]: v for v in site.records()[0]["videos"]}
    assert videos["p3.mp4"]["state"] == "failed"
    site.ledger.check()


@pytest.mark.fault("F10")
def test_a_video_that_ends_the_daemon_twice_is_given_up(site, media):
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    for round_ in range(2):
        site.fired_once.unlink(missing_ok=True)
        assert site.start(fault="copy-in").wait(60 * PATIENCE) == -signal.SIGKILL, round_
    site.start()
    failed = site.finished("j", "failed")
    assert "interrupted 2 times" in (failed / WHY_NOTE).read_text("utf-8-sig")
    site.ledger.check()
    wait_for(lambda: site.status()["recent"], "history")
