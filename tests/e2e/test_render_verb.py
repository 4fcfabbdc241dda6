"""`heygemd render`: one video, no folders, no daemon, the same pipeline."""

import subprocess
import sys

from heygemd.exits import Exit

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


def test_what_cannot_be_rendered_is_said_plainly_and_leaves_no_file(site, media, tmp_path):
    done = render(site, media.voice, media.no_face, tmp_path / "out.mp4")
    assert done.returncode == Exit.INPUT
    assert "No face was found" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()
