"""Full disks, really full: small file systems mounted for the daemon alone."""

import os
import subprocess

import pytest

from .harness import wait_for

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk"),
    pytest.mark.timeout(300),
]


def on_small_disk(site, place, size):
    """Let the daemon see a disk of `size` at `place`; returns how to give it more room."""
    folder = site.root / place
    folder.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o size={size} tmpfs "{folder}" && exec "$@"'
    site.prefix = ["unshare", "--mount", "sh", "-c", script, "--"]

    def more_room(process):
        command = ["nsenter", "-t", str(process.pid), "-m", "mount", "-o", "remount,size=500m", str(folder)]
        subprocess.run(command, check=True)

    return more_room


@pytest.mark.slow
def test_a_full_scratch_disk_pauses_and_costs_no_attempt(site, media):
    more_room = on_small_disk(site, "cache", "150k")
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    process = site.start()
    wait_for(lambda: site.status()["state"] == "paused", "pause")
    assert "disk" in site.status()["detail"][0]
    assert site.place_of("j") == ["processing"]
    assert [v["attempts"] for v in site.records()[0]["videos"]] == [0]
    more_room(process)
    assert (site.finished("j") / "anna.mp4").exists()
    assert site.records()[0]["videos"][0]["attempts"] == 1


@pytest.mark.slow
def test_too_little_room_on_the_share_waits_before_anything_is_begun(site, media):
    site.configure(limits={"free_share_gib": 1e6})
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    site.start()
    wait_for(lambda: site.status()["state"] == "paused", "pause")
    assert "share has only" in site.status()["detail"][0]
    assert [v["attempts"] for v in site.records()[0]["videos"]] == [0]
