"""Folders that are copied, changed or removed while the daemon watches them."""

import contextlib
import os
import time

import psutil
import pytest

from heygemd.daemon.intake.filename_rules import WHY_NOTE
from tests.e2e.harness import PATIENCE, frame_count, wait_for
from tests.media_factory import ffmpeg

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def write_slowly(source, target, pauses, before_last=lambda: None):
    """Write a file in pieces, with a pause after each."""
    data = source.read_bytes()
    size = len(data) // len(pauses) + 1
    with open(target, "wb", buffering=0) as file:
        for number, pause_s in enumerate(pauses):
            file.write(data[number * size : (number + 1) * size])
            if number == len(pauses) - 1:
                before_last()
            time.sleep(pause_s)


@pytest.mark.fault("F1")
def test_pauses_longer_than_settling_do_not_let_half_a_file_through(faulty, media):
    folder = faulty.drop("slow", voice__m4a=media.voice)
    faulty.start()
    write_slowly(media.face, folder / "anna.mp4", [1.5, 0.2, 1.5, 0.1])
    faulty.ledger.note(folder)
    assert frame_count(faulty.finished("slow") / "anna.mp4") == 25
    faulty.check()


@pytest.mark.fault("F1")
def test_an_interrupted_copy_is_waited_for_unless_staff_say_ready(faulty, media):
    faulty.configure(inbox={"settle_zero_tail_s": 1, "incomplete_fail_after_h": 1})
    half = media.face.read_bytes()[: media.face.stat().st_size // 2]
    folders = [faulty.healthy(name) for name in ("resumed", "given up")]
    for folder in folders:
        (folder / "ben.mp4").write_bytes(half)
        faulty.ledger.note(folder)
    faulty.start()
    stopped = ['"ben.mp4" is incomplete and has stopped growing'] * 2
    said = lambda: [j["text"]["en"].split(":")[0] for j in faulty.status()["waiting"] if j["text"]]  # noqa: E731
    wait_for(lambda: said() == stopped, "both wait for ben")
    resumed, given_up = folders
    (resumed / "ben.mp4").write_bytes(media.face.read_bytes())
    faulty.ledger.note(resumed)
    (given_up / "READY").write_bytes(b"")
    assert sorted(p.name for p in faulty.finished("resumed").glob("*.mp4")) == ["anna.mp4", "ben.mp4"]
    done = faulty.finished("given up")
    assert [p.name for p in done.glob("*.mp4")] == ["anna.mp4"]
    assert '"ben.mp4" is incomplete' in (done / WHY_NOTE).read_text("utf-8-sig")
    faulty.check()


@pytest.mark.fault("F1")
def test_a_file_written_after_the_claim_puts_the_folder_back(faulty, media):
    faulty.healthy("j")
    daemon = psutil.Process(faulty.start(fault="claim:hang").pid)
    wait_for(lambda: daemon.status() == psutil.STATUS_STOPPED, "claim")
    (faulty.share / "processing" / "j" / "anna.mp4").write_bytes(media.face.read_bytes())
    daemon.resume()
    faulty.finished("j")
    assert "its files changed, starting anew: changed_after_claim" in faulty.log()
    assert [v["attempts"] for v in faulty.records()[0]["videos"]] == [1]
    faulty.check()


@pytest.mark.fault("F2")
def test_half_of_a_preallocated_voice_is_not_taken_for_silence(faulty, media, tmp_path):
    complete = tmp_path / "complete.wav"
    ffmpeg("-i", media.voice, "-ar", "48000", complete)
    data = complete.read_bytes()
    faulty.configure(inbox={"settle_zero_tail_s": 300})
    folder = faulty.drop("prealloc", anna__mp4=media.face)
    (folder / "voice.wav").write_bytes(data[: len(data) // 4].ljust(len(data), b"\0"))
    faulty.start()
    wait_for(lambda: "is still empty" in str(faulty.status()), "seen")
    assert faulty.place_of("prealloc") == ["inbox"]
    (folder / "voice.wav").write_bytes(data)
    faulty.ledger.note(folder)
    faulty.finished("prealloc")
    assert faulty.records()[0]["voice"]["size"] == len(data)
    faulty.check()


@pytest.mark.fault("F3")
def test_a_second_file_starts_the_settling_again(faulty, media):
    folder = faulty.drop("late", voice__m4a=media.voice, anna__mp4=media.face)
    faulty.start()
    for name in ("ben.mp4", "carla.mp4"):
        time.sleep(0.45)
        (folder / name).write_bytes(media.face.read_bytes())
        faulty.ledger.note(folder)
    done = faulty.finished("late")
    assert sorted(p.name for p in done.glob("*.mp4")) == ["anna.mp4", "ben.mp4", "carla.mp4"]
    faulty.check()


@pytest.mark.fault("F4")
def test_a_folder_may_be_renamed_or_deleted_while_it_settles(faulty, media):
    faulty.configure(inbox={"settle_local_s": 1.5})
    faulty.start()
    wait_for(lambda: "READY=1" in faulty.notifications, "ready")
    renamed, gone = faulty.healthy("old name"), faulty.healthy("gone")
    time.sleep(0.8)
    faulty.ledger.forget("old name")
    faulty.ledger.note(renamed.rename(renamed.with_name("new name")))
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    faulty.ledger.forget("gone")
    faulty.finished("new name")
    assert faulty.place_of("gone") == []
    faulty.check()


@pytest.mark.fault("F4")
@pytest.mark.parametrize("point", ["copy-in", "daemon-render"])
@pytest.mark.parametrize("act", ["rename", "take away"])
def test_a_claimed_folder_may_be_renamed_or_taken_away(faulty, point, act):
    faulty.healthy("j")
    daemon = psutil.Process(faulty.start(fault=f"{point}:hang").pid)
    wait_for(lambda: daemon.status() == psutil.STATUS_STOPPED, point)
    claimed = faulty.share / "processing" / "j"
    faulty.ledger.forget("j")
    if act == "rename":
        faulty.ledger.note(claimed.rename(claimed.with_name("k")))
    else:
        claimed.rename(faulty.root / "taken")
    daemon.resume()
    if act == "rename":
        faulty.finished("k")
    wait_for(lambda: faulty.status()["recent"], "its end")
    faulty.check()


@pytest.mark.fault("F5")
def test_a_start_while_a_copy_is_under_way(faulty, media):
    folder = faulty.drop("early", voice__m4a=media.voice)
    begun = []

    def start():
        begun.append(faulty.place_of("early"))

    (folder / "anna.mp4").write_bytes(media.face.read_bytes()[:3000])
    faulty.start()
    wait_for(lambda: "READY=1" in faulty.notifications, "ready")
    write_slowly(media.face, folder / "anna.mp4", [0.3] * 6, start)
    assert begun == [["inbox"]]
    faulty.ledger.note(folder)
    assert frame_count(faulty.finished("early") / "anna.mp4") == 25
    faulty.check()


JUNK = [
    ".DS_Store", "._anna.mp4", "._.DS_Store", "Thumbs.db", "ehthumbs_vista.db", "desktop.ini", "Icon\r", "~$plan.docx",
    ".~lock.plan.odt#", ".nfs0000000001", ".smbdeleteAAA123",
    ".fuse_hidden0001", "anna.mp4@SynoResource",
]  # fmt: skip
JUNK_FOLDERS = ["@eaDir", "#recycle", ".Trashes", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", ".stfolder"]


@pytest.mark.fault("F20")
def test_junk_that_keeps_changing_neither_delays_nor_joins_a_job(faulty, media):
    faulty.configure(inbox={"settle_local_s": 1.5})
    folder = faulty.healthy("promo")
    for name in JUNK_FOLDERS:
        (folder / name).mkdir()
        (folder / name / "anna.mp4").write_bytes(os.urandom(99))
        (faulty.share / "inbox" / name).mkdir()
    faulty.start()
    deadline = time.monotonic() + 8 * PATIENCE
    while time.monotonic() < deadline and faulty.place_of("promo") == ["inbox"]:
        for name in JUNK:
            with contextlib.suppress(FileNotFoundError):  # claimed meanwhile
                (folder / name).write_bytes(os.urandom(50))
        time.sleep(0.2)
    assert faulty.place_of("promo") != ["inbox"]
    done = faulty.finished("promo")
    assert [p.name for p in done.glob("[!.]*.mp4")] == ["anna.mp4"]
    assert len(faulty.records()) == 1
    faulty.check()
