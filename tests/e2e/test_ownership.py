"""Folders dropped by another user: the daemon runs as its own user, as under systemd."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from .harness import Site, wait_for

DAEMON_UID, STAFF_UID, GROUP = 1, 2, 100
AS_DAEMON = ["setpriv", f"--reuid={DAEMON_UID}", f"--regid={GROUP}", "--clear-groups"]
READS_ALL = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
"""Lets the daemon read a Python in root's home. It may still write and move only what its user may."""


@pytest.fixture
def foreign():
    """A site whose daemon is not root, in a folder that other users may enter."""
    if os.geteuid() != 0:
        pytest.skip("needs root to act as two users")
    root = Path(tempfile.mkdtemp(prefix="heygemd-", dir="/var/tmp"))
    root.chmod(0o755)
    site = Site(root)
    for path in (root, *root.rglob("*")):
        os.chown(path, DAEMON_UID, GROUP)
    site.prefix = [*AS_DAEMON, *READS_ALL]
    (root / "notify").chmod(0o777)
    yield site
    site.close()
    shutil.rmtree(root)


def own(folder: Path, mode: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, STAFF_UID, GROUP)
        path.chmod(mode if path.is_dir() else 0o644)


@pytest.mark.root
def test_a_group_writable_folder_of_another_user_is_served(foreign, media):
    own(foreign.drop("staff", voice__m4a=media.voice, anna__mp4=media.face), 0o2770)
    foreign.start()
    done = foreign.finished("staff")
    result = (done / "anna.mp4").stat()
    assert (result.st_uid, result.st_gid) == (DAEMON_UID, GROUP)
    as_staff = ["setpriv", f"--reuid={STAFF_UID}", f"--regid={GROUP}", "--clear-groups"]
    subprocess.run([*as_staff, "mv", done / "anna.mp4", done / "renamed.mp4"], check=True)
    subprocess.run([*as_staff, "rm", "-r", done / "originals"], check=True)


@pytest.mark.root
@pytest.mark.fault("F12")
def test_a_folder_that_may_not_be_moved_is_explained_and_served_once_fixed(foreign, media):
    folder = foreign.drop("locked", voice__m4a=media.voice, anna__mp4=media.face)
    own(folder, 0o755)
    foreign.start()
    page = foreign.share / "status.js"
    wait_for(lambda: "The service is not allowed to move the folder" in page.read_text(), "the page says so")
    assert foreign.place_of("locked") == ["inbox"]
    folder.chmod(0o2775)
    foreign.finished("locked")


@pytest.mark.root
def test_what_another_user_s_rsync_brings_is_made_whole_in_each_round(foreign, media):
    """A slow link: for longer than settling takes nothing but rsync's temporary file grows."""
    source = Path(tempfile.mkdtemp(dir="/var/tmp"))
    job = source / "j"
    job.mkdir()
    for name, data in (("anna.mov", media.face), ("voice.m4a", media.voice)):
        (job / name).write_bytes(data.read_bytes())
    own(source, 0o755)
    as_staff = ["setpriv", f"--reuid={STAFF_UID}", f"--regid={GROUP}", "--clear-groups"]
    rsync = [*as_staff, "rsync", "-rtp", "--chmod=D2770,F660", "--bwlimit=16"]
    foreign.start()
    done = foreign.share / "done" / "j"
    for made, more in enumerate((b"\0\0\xea\x60free" + bytes(59_992), b"\0\0\0\x08free", b"\0\0\0\x08free"), 1):
        with (job / "anna.mov").open("ab") as grown:
            grown.write(more)
        if made == 1:
            subprocess.run([*rsync, job, foreign.share / "inbox"], check=True)
        else:  # into the finished folder, which is dragged back
            subprocess.run([*rsync, job / "anna.mov", done], check=True)
            subprocess.run([*as_staff, "mv", done, foreign.share / "inbox"], check=True)
        foreign.finished("j")
        assert (done / "originals" / "anna.mov").read_bytes() == (job / "anna.mov").read_bytes()
        assert [path.name for path in done.glob("*.mp4")] == ["anna.mp4"]
        assert foreign.log().count(": rendered") == made
    shutil.rmtree(source)
