"""`heygemd render` and `heygemd sync`: one video through the same pipeline, without folders and daemon."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heygemd.exit_codes import Exit
from tests.media_factory import ffmpeg
from tests.render import anna

from .harness import duration_s, frame_count


def render(site, audio, video, out, *more):
    site.config.write_text(site.config.read_text().replace(f"{site.root}/cache", "/nonexistent/cache"))
    command = [sys.executable, "-m", "heygemd", "render", "--config", str(site.config), "--set", "quality=draft"]
    command += ["--audio", str(audio), "--video", str(video), "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True)


def test_one_video_without_a_daemon_or_a_cache(site, media, tmp_path):
    done = render(site, media.voice, media.face, tmp_path / "out.mp4")
    assert done.returncode == Exit.OK, done.stderr
    assert frame_count(tmp_path / "out.mp4") == 25
    assert duration_s(tmp_path / "out.mp4") == duration_s(tmp_path / "out.mp4", "a:0") == 1


def test_a_video_without_a_face_is_explained_and_leaves_no_file(site, media, tmp_path):
    done = render(site, media.voice, media.no_face, tmp_path / "out.mp4")
    assert done.returncode == Exit.INPUT
    assert "No face was found" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()


VOICE = Path(__file__).parents[2] / "heygemd" / "demo" / "voice.m4a"


def sync(site, video, *more):
    command = [sys.executable, "-m", "heygemd", "sync", str(video), "--json", "--config", str(site.config), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a render and four measurements
def test_sync_accepts_a_finished_video_and_flags_late_or_foreign_sound(site, tmp_path):
    face, made, late, foreign = (tmp_path / f"{name}.mp4" for name in ("face", "made", "late", "foreign"))
    done = render(site, VOICE, anna.film(face, 12), made)
    assert done.returncode == Exit.OK, done.stderr
    status, good = sync(site, made)
    assert status == Exit.OK
    assert abs(good["offset_frames"]) <= 2
    assert abs(good["control_shift_ms"] - 200) <= 40
    assert good["reversed_confidence"] < 1
    ffmpeg("-i", made, "-af", "adelay=200:all=1", "-c:v", "copy", "-shortest", late)
    status, moved = sync(site, late)
    assert status == Exit.PROBLEM
    assert abs(moved["offset_ms"] - good["offset_ms"] + 200) <= 40
    ffmpeg("-i", made, "-af", "areverse", "-c:v", "copy", foreign)
    status, other = sync(site, foreign)
    assert status == Exit.PROBLEM
    assert other["offset_ms"] is None
    assert sync(site, foreign, "--audio", str(VOICE))[0] == Exit.OK


def test_sync_refuses_a_video_without_sound(site, media):
    command = [sys.executable, "-m", "heygemd", "sync", str(media.face), "--config", str(site.config)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == Exit.INPUT
    assert "Traceback" not in done.stderr
