"""All attacks at once on one daemon: nothing outside the job is touched, nothing hangs, each gets its reason."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
import unicodedata
from types import SimpleNamespace

import psutil
import pytest

from tests.e2e.harness import offspring, wait_for
from tests.faults.malicious_inputs import REFUSED, SERVED
from tests.media_factory import video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MEMORY_LIMIT = 2 << 30


@pytest.fixture
def trap(media, tmp_path):
    """The media, a secret video outside the share, and a port to which nobody may connect."""
    outside = tmp_path / "outside"
    outside.mkdir()
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept_all():
            with contextlib.suppress(OSError):
                while True:
                    connections.append(server.accept())

        threading.Thread(target=accept_all, daemon=True).start()
        beside = tmp_path / "beside.mp4"
        shutil.copyfile(media.face, beside)
        secret = video(outside / "secret.mp4")
        os.utime(secret, (1, 1))
        made = SimpleNamespace(secret=secret, port=server.getsockname()[1], connections=connections, face_beside=beside)
        yield SimpleNamespace(**vars(media), **vars(made))


class Watcher(threading.Thread):
    """Samples the memory of the daemon and its child processes."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.peaks = process, {}

    def run(self):
        while self.process.poll() is None:
            for child in (psutil.Process(self.process.pid), *offspring(self.process)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    name = child.name()
                    self.peaks[name] = max(self.peaks.get(name, 0), child.memory_info().rss)
            time.sleep(0.05)


@pytest.mark.fault("F18", "F21", "F22", "F23", "F24")
def test_attacks_get_their_reason_and_nothing_else(faulty, trap, record_property):
    faulty.configure(inbox={"waiting_fail_after_h": 0.001, "settle_local_s": 2}, limits={"probe_timeout_s": 10})
    for name, attack in {**{n: attack for n, (attack, _) in REFUSED.items()}, **SERVED}.items():
        folder = faulty.drop(name, voice__m4a=trap.voice)
        attack(folder, trap)
        faulty.ledger.note(folder)
    process = faulty.start()
    watcher = Watcher(process)
    watcher.start()
    ended = lambda: len(list((faulty.share / "failed").iterdir())) >= len(REFUSED)  # noqa: E731
    with contextlib.suppress(AssertionError):
        wait_for(ended, "all refused", 200)
    for name in SERVED:
        faulty.finished(name)
    records = {r["name"]: r for r in faulty.records()}
    wrong = {}
    for name, (_, codes) in REFUSED.items():
        record = records.get(name, {"problem": None, "videos": []})
        problems = [record["problem"], *(v["problem"] for v in record["videos"])]
        found = {p["code"] for p in problems if p}
        if faulty.place_of(name) != ["failed"] or not found or not found <= codes:
            wrong[name] = (faulty.place_of(name), problems)
    assert not wrong, "\n".join(f"{k}: {v}" for k, v in wrong.items())
    assert trap.connections == [], "something connected to the port"
    assert trap.secret.stat().st_atime == 1, "the secret was read"
    assert sorted(os.listdir(trap.secret.parent)) == ["secret.mp4"]
    assert max(watcher.peaks.values()) < MEMORY_LIMIT, watcher.peaks
    assert process.poll() is None
    assert "unexpected error" not in faulty.log()
    check_served(faulty)
    record_property("times", len(REFUSED) + len(SERVED))
    faulty.check()


def check_served(site):
    shown = ["-show_entries", "format_tags:stream=codec_type", "-of", "csv=p=0"]
    result = site.share / "done" / "subtitles and tags" / "anna.mp4"
    out = subprocess.run(["ffprobe", "-v", "error", *shown, result], capture_output=True, text=True, check=True).stdout
    kinds = [line for line in out.split() if line in ("video", "audio", "subtitle")]
    assert sorted(kinds) == ["audio", "subtitle", "video"]  # that of the file beside it, as plain text
    assert "script" not in out
    read = ["ffmpeg", "-v", "error", "-i", result, "-map", "0:s", "-f", "srt", "-"]
    said = subprocess.run(read, capture_output=True, text=True, check=True).stdout
    assert "alert(1)" in said and not {"<", "\x1b", "\x07"} & set(said)
    beside = site.share / "done" / "folder named as the result"
    assert (beside / "anna.mp4" / "notes.txt").read_text() == "mine"
    ours = site.share / "done" / "our names"
    assert b"sales report" in b"".join(p.read_bytes() for p in ours.rglob("*.html"))


NAMES = [
    unicodedata.normalize("NFD", "Präsentation é"), "春节促销 🎬", "new\nline\rreturn", "-vf", "concat:a|b", "%03d",
    "file:..", "$(reboot);`id`", "CON", "a'b\"c", "dot.", "space ", "\x1b[31mred", "<img src=x onerror=alert(1)>",
    "LPT1.txt",
    "x" * 251, "长" * 83, "🎬" * 62, "\u202egnp.exe", "~", "&amp;", "C:\\windows", "*", "?", "READY", "!now",
]  # fmt: skip


@pytest.mark.fault("F19")
def test_videos_of_any_name_are_rendered_and_results_have_names_for_every_system(faulty, media):
    folder = faulty.drop("names", voice__m4a=media.voice)
    for name in (*NAMES[:4], "长" * 83):
        (folder / f"{name}.mp4").write_bytes(media.face.read_bytes())
    (folder / os.fsdecode(b"caf\xe9.mp4")).write_bytes(media.face.read_bytes())
    faulty.ledger.note(folder)
    faulty.start()
    done = faulty.finished("names", patience_s=240)
    results = [p.name for p in done.glob("*.mp4")]
    assert len(results) == 6
    for name in results:
        assert not set(name) & set('<>:"/\\|?*\n\r\t') and name == unicodedata.normalize("NFC", name)
    faulty.check()


@pytest.mark.fault("F19")
def test_folders_of_any_name_come_back_twice(faulty, media, record_property):
    """The second folder of a name gets a number, even if the name has the maximum length."""
    names = [*NAMES, os.fsdecode(b"caf\xe9"), "y" * 255]
    faulty.start()
    for expected in (len(names), 2 * len(names)):
        for name in names:
            folder = faulty.share / "inbox" / "_making"
            folder.mkdir()
            shutil.copyfile(media.voice, folder / "voice.m4a")
            (folder / "broken.mp4").write_bytes(os.urandom(2000))
            folder.rename(faulty.share / "inbox" / name)
        wait_for(lambda n=expected: len(os.listdir(faulty.share / "failed")) == n, f"{expected} folders in failed", 120)
    assert os.listdir(faulty.share / "processing") == []
    lines = faulty.log().splitlines()
    assert all(line[:2] == "20" for line in lines), [line for line in lines if line[:2] != "20"][:3]
    assert "\x1b" not in faulty.log()
    for page in (faulty.share / "failed").glob("*/report.html"):
        assert "<img src=x" not in page.read_text()
    assert "<img src=x" not in (faulty.share / "status.html").read_text()
    record_property("times", 2 * len(names))
    faulty.check()


@pytest.mark.fault("F18")
def test_a_link_in_place_of_our_folder_while_rendering_is_not_followed(faulty, trap):
    faulty.healthy("j")
    process = faulty.start(fault="rendered:hang")
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "rendered")
    claimed = faulty.share / "processing" / "j"
    shutil.rmtree(claimed / ".heygemd")
    (claimed / ".heygemd").symlink_to(trap.secret.parent)
    (claimed / "originals").symlink_to(trap.secret.parent)
    psutil.Process(process.pid).resume()
    faulty.healthy("other")
    faulty.finished("other")
    done = faulty.finished("j")
    assert sorted(os.listdir(trap.secret.parent)) == ["secret.mp4"]
    assert {".heygemd (set aside)", "originals (set aside)"} <= set(os.listdir(done))
    faulty.check()
