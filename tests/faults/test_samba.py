"""The inbox as staff reach it: over a real SMB server, and on mounts that raise no file events."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.e2e.harness import PATIENCE, frame_count, wait_for
from tests.faults.conftest import needs_root

CONF = """\
[global]
server role = standalone server
map to guest = Bad User
guest account = root
smb ports = {port}
interfaces = lo
bind interfaces only = yes
disable netbios = yes
load printers = no
log file = {base}/log
{folders}
[share]
path = {share}
guest ok = yes
read only = no
force user = root
"""
FOLDERS = ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir")


class Samba:
    """smbd on loopback, with all its files in a folder of the test."""

    def __init__(self, base, share):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for name in FOLDERS:
            (base / name.replace(" ", "-")).mkdir(parents=True)
        folders = "\n".join(f"{name} = {base}/{name.replace(' ', '-')}" for name in FOLDERS)
        conf = base / "smb.conf"
        conf.write_text(CONF.format(port=self.port, base=base, share=share, folders=folders))
        argv = ["smbd", "--foreground", "--no-process-group", "--configfile", conf, "--debug-stdout"]
        self.conf, self.log = conf, (base / "smbd.log").open("wb")
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True
        )
        wait_for(lambda: self.client("ls", check=False).returncode == 0, "smbd")

    def argv(self, commands):
        where = ["-p", str(self.port), "-s", str(self.conf), "-N", "-c", commands]
        return ["smbclient", "//127.0.0.1/share", *where]

    def client(self, commands, check=True, **options):
        """Run smbclient commands, as a staff computer would; return when they are done."""
        done = subprocess.run(self.argv(commands), capture_output=True, check=check, timeout=60, **options)
        print(f"smb: {commands}\n{done.stdout.decode(errors='replace')}", end="")
        return done

    def slowly(self, commands):
        """Start smbclient with a copy from its standard input, which the caller writes."""
        null = subprocess.DEVNULL
        return subprocess.Popen(self.argv(commands), stdin=subprocess.PIPE, stdout=null, stderr=null, bufsize=0)

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


TOOLS = all(shutil.which(tool) for tool in ("smbd", "smbclient", "bindfs"))

pytestmark = [
    needs_root(),
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.fault("SMB"),
    pytest.mark.timeout(400),
    pytest.mark.skipif(not TOOLS and not os.environ.get("CI"), reason="needs samba, smbclient and bindfs"),
]


@pytest.fixture
def samba(faulty):
    with tempfile.TemporaryDirectory(prefix="smb") as short:  # the paths of smbd's sockets are limited
        made = Samba(Path(short), faulty.share)
        yield made
        print(faulty.log())
        made.close()


def test_a_folder_copied_in_at_full_speed_comes_back_over_smb(faulty, samba, media, tmp_path):
    faulty.start()
    commands = f'cd inbox; mkdir promo; cd promo; put "{media.voice}" voice.m4a; put "{media.face}" anna.mp4'
    samba.client(commands)
    faulty.finished("promo")
    samba.client(f'cd done/promo; get anna.mp4 "{tmp_path}/got.mp4"; get report.html "{tmp_path}/got.html"')
    assert frame_count(tmp_path / "got.mp4") == 25
    faulty.check()
    samba.client("cd done/promo; del anna.mp4; cd originals; del voice.m4a")
    assert not (faulty.share / "done" / "promo" / "anna.mp4").exists()


def feed(copy, data, pause_s):
    for start in range(0, len(data), len(data) // 6 + 1):
        copy.stdin.write(data[start : start + len(data) // 6 + 1])
        time.sleep(pause_s)


def test_slow_interrupted_and_renamed_copies_are_waited_for(faulty, samba, media):
    faulty.configure(inbox={"settle_zero_tail_s": 2, "incomplete_fail_after_h": 1})
    data = media.face.read_bytes()
    samba.client(f'cd inbox; mkdir slow; mkdir cut; mkdir old; cd slow; put "{media.voice}" voice.m4a')
    for name in ("cut", "old"):
        samba.client(f'cd inbox/{name}; put "{media.voice}" voice.m4a')
    faulty.start()
    slow, cut = (samba.slowly(f"cd inbox/{name}; put - anna.mp4") for name in ("slow", "cut"))
    feed(cut, data[: len(data) // 2], 0.1)
    feed(slow, data, 0.7)
    cut.kill()
    cut.communicate()
    assert [faulty.place_of(name) for name in ("slow", "cut")] == [["inbox"], ["inbox"]]
    slow.stdin.close()
    assert slow.wait(30) == 0
    assert frame_count(faulty.finished("slow") / "anna.mp4") == 25
    wait_for(lambda: "has stopped growing" in str(faulty.status()["waiting"]), "the interrupted copy waits")
    samba.client(f'cd inbox/cut; put "{media.face}" anna.mp4')
    assert frame_count(faulty.finished("cut") / "anna.mp4") == 25
    moving = samba.slowly("cd inbox/old; put - anna.mp4")
    feed(moving, data[:2000], 0.1)
    refused = samba.client('cd inbox; rename "old" "new"', check=False)
    feed(moving, data[2000:], 0.2)
    moving.stdin.close()
    moving.wait(30)
    name = "new" if refused.returncode == 0 and faulty.place_of("old") == [] else "old"
    assert frame_count(faulty.finished(name) / "anna.mp4") == 25
    faulty.check()


def test_junk_files_of_macos_and_synology_are_ignored(faulty, samba, media, tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"\0\5\x16\7" + bytes(100))
    samba.client(f'cd inbox; mkdir promo; cd promo; put "{junk}" .DS_Store; put "{junk}" ._voice.m4a')
    samba.client(f'cd inbox/promo; put "{media.voice}" voice.m4a; put "{junk}" ._anna.mp4; mkdir @eaDir')
    samba.client(f'cd inbox/promo; put "{media.face}" anna.mp4; cd @eaDir; put "{junk}" anna.mp4@SynoEAStream')
    samba.client(f'cd inbox; mkdir @eaDir; mkdir #recycle; cd #recycle; put "{media.face}" anna.mp4', check=False)
    faulty.start()
    for _ in range(10):
        samba.client(f'cd inbox/promo; put "{junk}" ._anna.mp4; put "{junk}" .DS_Store', check=False)
    done = faulty.finished("promo")
    assert [p.name for p in done.glob("[!.]*.mp4")] == ["anna.mp4"]
    faulty.check()


@pytest.fixture
def without_events(faulty):
    """The daemon sees the share through a mount that raises no events for changes behind it."""
    behind, point = faulty.root / "nas", faulty.share
    behind.parent.mkdir(exist_ok=True)
    point.rename(behind)
    point.mkdir()
    subprocess.run(["bindfs", behind, point], check=True)
    faulty.share = behind
    yield faulty
    subprocess.run(["umount", "--lazy", point], check=True)


def test_a_mount_that_raises_no_events_is_scanned(without_events, media):
    site = without_events
    site.configure(inbox={"poll_s": 2, "settle_network_s": 3, "settle_local_s": 600})
    site.start()
    wait_for(lambda: "READY=1" in site.notifications, "ready")
    time.sleep(1)
    site.healthy("promo")
    began = time.monotonic()
    wait_for(lambda: "promo" in str(site.status()["waiting"]), "seen")
    seen_s = time.monotonic() - began
    assert frame_count(site.finished("promo") / "anna.mp4") == 25
    assert "no file events" not in site.log()
    site.ledger.check()
    assert seen_s < (2 * 2 + 4) * PATIENCE, "two scans, and one second until the status is written"
