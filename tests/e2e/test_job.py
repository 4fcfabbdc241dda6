"""The main promise: a dropped folder comes back with its results, no file is lost, every failure is explained."""

import hashlib
import os
import re
import time
import zipfile

import pytest

from heygemd.daemon.intake.filename_rules import LOOSE_NOTE, WAITING_NOTE, WHY_NOTE

from .harness import duration_s, frame_count, wait_for


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_comes_back_with_results_and_explanations(site, media):
    dropped = site.drop(
        "spring 春 promo",
        voice__m4a=media.voice,
        anna__mp4=media.face,
        broken__mp4=media.broken,
        empty__mp4=media.no_face,
    )
    (dropped / "notes.txt").write_text("for Ben")
    before = {p.name: digest(p) for p in dropped.iterdir()}
    site.start()
    done = site.finished("spring 春 promo")
    assert {p.name for p in done.iterdir()} == {
        "anna.mp4", "originals", "report.html", "HEYGEMD-log.txt", WHY_NOTE, ".heygemd",
    }  # fmt: skip
    assert {p.name: digest(p) for p in (done / "originals").iterdir()} == before
    assert frame_count(done / "anna.mp4") == 25
    assert abs(duration_s(done / "anna.mp4", "a:0") - duration_s(media.voice, "a:0")) < 0.04
    why = (done / WHY_NOTE).read_text("utf-8-sig")
    assert "broken.mp4" in why
    assert "empty.mp4: No face" in why
    assert "没有找到人脸" in why
    assert "anna.mp4" in (done / "report.html").read_text()
    assert "job=spring 春 promo" in (done / "HEYGEMD-log.txt").read_text()
    wait_for(lambda: "done/spring%20" in (site.share / "status.js").read_text(), "the page's link")


def test_a_done_folder_dragged_back_renders_only_what_is_missing(site, media):
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face, ben__mp4=media.no_face)
    site.start()
    done = site.finished("j")
    first = digest(done / "anna.mp4")
    (done / "carla.mp4").write_bytes(media.face.read_bytes())
    (done / "originals" / "ben.mp4").unlink()
    done.rename(site.share / "inbox" / "j")
    done = site.finished("j")
    assert digest(done / "anna.mp4") == first
    assert sorted(p.name for p in (done / "originals").iterdir()) == ["anna.mp4", "carla.mp4", "voice.m4a"]
    assert (done / "carla.mp4").exists()
    assert not (done / WHY_NOTE).exists()
    assert re.findall(r"(\S+): rendered", site.log()) == ["anna.mp4", "carla.mp4"]


def test_a_job_without_a_single_good_video_goes_to_failed_untouched(site, media):
    dropped = site.drop("bad", voice__m4a=media.voice, a__mp4=media.no_face)
    before = {p.name: digest(p) for p in dropped.iterdir()}
    site.start()
    failed = site.finished("bad", "failed")
    assert {n: digest(failed / n) for n in before} == before
    assert {p.name for p in failed.iterdir()} - set(before) == {
        "report.html",
        "HEYGEMD-log.txt",
        WHY_NOTE,
    }
    (failed / "b.mp4").write_bytes(media.face.read_bytes())
    failed.rename(site.share / "inbox" / "bad")
    assert (site.finished("bad") / "b.mp4").exists()


def test_waiting_is_explained_in_the_folder_and_the_note_goes_away(site, media):
    folder = site.drop("half", anna__mp4=media.face)
    (site.share / "inbox" / "loose.mp4").write_bytes(b"x")
    site.start()
    note = folder / WAITING_NOTE
    wait_for(note.exists, "note")
    assert "voice recording is missing" in note.read_text("utf-8-sig")
    assert "缺少录音" in note.read_text("utf-8-sig")
    wait_for((site.share / "inbox" / LOOSE_NOTE).exists, "loose note")
    assert any("are not processed: loose.mp4" in j["text"]["en"] for j in site.status()["waiting"]), site.status()
    (site.share / "inbox" / "loose.mp4").unlink()
    wait_for(lambda: not (site.share / "inbox" / LOOSE_NOTE).exists(), "the note gone")

    # It is rewritten only when its text changes.
    written = note.stat().st_ino
    time.sleep(2)
    assert note.stat().st_ino == written
    for name in ("a.m4a", "voice.m4a"):
        (folder / name).write_bytes(media.voice.read_bytes())
    wait_for(lambda: "2 audio files" in note.read_text("utf-8-sig"), "the new text")
    (folder / "a.m4a").unlink()
    done = site.finished("half")
    assert not (done / WAITING_NOTE).exists()


@pytest.mark.fault("F1")
def test_a_file_that_grows_slowly_is_not_taken_early(site, media):
    data = media.face.read_bytes()
    folder = site.drop("slow", voice__m4a=media.voice)
    site.start()
    with open(folder / "anna.mp4", "wb", buffering=0) as file:
        for start in range(0, len(data), len(data) // 8 + 1):
            file.write(data[start : start + len(data) // 8 + 1])
            os.fsync(file.fileno())
            time.sleep(0.4)
            assert site.place_of("slow") == ["inbox"]
    assert frame_count(site.finished("slow") / "anna.mp4") == 25


@pytest.mark.fault("F19")
def test_hostile_names_travel_safely(site, media):
    hostile = ["-vf:concat:a'b\"c;$(id).mp4", "new\nline <b>&amp;.mp4"]
    folder = site.drop("-rf <script>alert(1)<", voice__m4a=media.voice)
    for name in hostile:
        (folder / name).write_bytes(media.face.read_bytes())
    raw = os.fsencode(folder) + b"/caf\xe9.mp4"
    with open(raw, "wb") as file:
        file.write(media.face.read_bytes())
    site.start()
    done = site.finished("-rf <script>alert(1)<")
    assert len(list(done.glob("*.mp4"))) == 3
    assert raw.rpartition(b"/")[2] in os.listdir(os.fsencode(done / "originals"))
    html = (done / "report.html").read_text()
    assert "<script>alert" not in html
    assert "<b>" not in html
    assert all(re.match(r"\d{4}-", line) for line in site.log().splitlines() if line and not line.startswith(" "))


@pytest.mark.fault("F17")
def test_collisions_get_a_number_and_nothing_is_replaced(site, media):
    for round_ in ("first", "second"):
        site.drop("same", voice__m4a=media.voice, anna__mp4=media.face)
        if round_ == "first":
            site.start()
            site.finished("same")
    wait_for((site.share / "done" / "same (2)" / "anna.mp4").exists, "second result")
    assert (site.share / "done" / "same" / "anna.mp4").exists()


def test_job_toml_picks_names_only(site, media):
    folder = site.drop("wish", voice__m4a=media.voice, anna__mp4=media.face)
    (folder / "job.toml").write_text('quality = "hihg"\nengine = "/bin/sh"\n')
    site.start()
    failed = site.finished("wish", "failed")
    why = (failed / WHY_NOTE).read_text("utf-8-sig")
    assert 'Line 1: "quality" cannot be "hihg"; possible: draft, standard, and high.' in why
    assert "第 2 行：“engine”不能是“/bin/sh”" in why


def test_cancel_by_a_file_stops_within_seconds(site, media):
    site.drop("long", voice__wav=media.long_voice, anna__mp4=media.face)
    site.start()
    wait_for(lambda: (site.status()["current"] or {}).get("name") == "long", "working")
    (site.share / "processing" / "long" / "CANCEL").write_bytes(b"")
    failed = site.finished("long", "failed", 30)
    assert "Cancelled on request" in (failed / WHY_NOTE).read_text("utf-8-sig")
    assert not (failed / "CANCEL").exists()


def test_jobs_without_work_go_first_then_priority_then_arrival(site, media):
    (site.share / "inbox" / "PAUSE").write_bytes(b"")
    for name in ("b", "a", "!urgent"):
        site.drop(name, voice__m4a=media.voice, anna__mp4=media.face)
        time.sleep(0.05)
    (site.drop("hopeless") / "job.toml").write_bytes(b"x")
    site.start()
    wait_for(lambda: [j["name"] for j in site.status()["queue"]] == ["hopeless", "!urgent", "b", "a"], "the order")
    (site.share / "inbox" / "PAUSE").unlink()
    wait_for(lambda: re.findall(r"job=(\S+) claimed", site.log()) == ["hopeless", "!urgent"], "two claims")


def test_staff_may_move_and_delete_the_results(site, media):
    site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
    site.start()
    done = site.finished("j")
    assert done.stat().st_mode & 0o2070 == 0o2070
    for path in (done / "anna.mp4", done / "report.html", done / "HEYGEMD-log.txt"):
        assert path.stat().st_mode & 0o060 == 0o060
        assert path.stat().st_gid == (site.share / "inbox").stat().st_gid


def test_names_hold_and_pause_jobs_and_results_come_as_one_archive(site, media):
    site.configure(render={"zip_results": True})
    (site.share / "inbox" / "PAUSE").write_bytes(b"")
    held = site.drop("j-wip", voice__m4a=media.voice, anna__mp4=media.face)
    site.start()
    wait_for(lambda: any(j["state"] == "held" for j in site.status()["waiting"]), "held")
    held.rename(site.share / "inbox" / "j")
    wait_for(lambda: [j["state"] for j in site.status()["queue"]] == ["ready"], "ready but paused")
    time.sleep(2)
    assert site.place_of("j") == ["inbox"]
    (site.share / "inbox" / "PAUSE").unlink()
    done = site.finished("j")
    with zipfile.ZipFile(done / "HEYGEMD-j.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["anna.mp4"]


def test_folders_that_stay_incomplete_or_can_never_be_a_job_go_to_failed_with_the_reason(site, media):
    site.configure(inbox={"waiting_fail_after_h": 0.0006})
    site.drop("no voice", anna__mp4=media.face)
    linked = site.drop("linked", voice__m4a=media.voice)
    (linked / "anna.mp4").symlink_to(media.face)
    site.start()
    why = site.finished("linked", "failed") / WHY_NOTE
    assert "Not used: anna.mp4 (only a link or a shortcut)." in why.read_text("utf-8-sig")
    why = site.finished("no voice", "failed") / WHY_NOTE
    assert "voice recording is missing" in why.read_text("utf-8-sig")


def test_presenters_kept_in_the_share_are_used_by_name(site, media):
    templates = site.share / "templates"
    (templates / "Anna.mp4").write_bytes(media.face.read_bytes())
    before = digest(templates / "Anna.mp4")
    folder = site.drop("named", voice__m4a=media.voice)
    (folder / "presenters.txt").write_text("# today\n anna \n", "utf-8-sig")
    wrong = site.drop("wrong", voice__m4a=media.voice)
    (wrong / "job.toml").write_text('presenters = ["../inbox/named/voice"]\n')
    site.start()
    done = site.finished("named")
    assert frame_count(done / "Anna.mp4") == 25
    assert digest(templates / "Anna.mp4") == before
    assert sorted(p.name for p in (done / "originals").iterdir()) == ["voice.m4a"]
    why = (site.finished("wrong", "failed") / WHY_NOTE).read_text("utf-8-sig")
    assert "Available: Anna." in why
    (done / "Anna.mp4").unlink()
    done.rename(site.share / "inbox" / "named")
    assert (site.finished("named") / "Anna.mp4").exists()


def test_cancel_works_on_a_folder_that_waits(site, media):
    folder = site.drop("half", anna__mp4=media.face)
    (folder / "CANCEL").write_bytes(b"")
    site.start()
    why = (site.finished("half", "failed") / WHY_NOTE).read_text("utf-8-sig")
    assert "Cancelled on request" in why
