"""Files that grow, change, come and go under a job that is being made; real copy programs."""

from __future__ import annotations

import html
import os
import subprocess

import psutil
import pytest

from heygemd.i18n import catalog
from tests.e2e.harness import frame_count, wait_for
from tests.faults.invariants import ORIGINALS, record_digest
from tests.media_factory import ffmpeg

pytestmark = [pytest.mark.slow, pytest.mark.fault("F31"), pytest.mark.timeout(300)]


@pytest.fixture
def hold(faulty):
    """Stop the daemon at a fault point; returns the claimed folder and what lets the daemon go on."""

    def stop_at(point):
        daemon = psutil.Process(faulty.start(fault=f"{point}:hang").pid)
        wait_for(lambda: daemon.status() == psutil.STATUS_STOPPED, point)
        return faulty.share / "processing" / "j", daemon.resume

    return stop_at


def originals(folder):
    return sorted(p.name for p in (folder / ORIGINALS).iterdir())


def results(folder):
    return sorted(p.name for p in folder.glob("[!.]*.mp4"))


def rendered(site):
    return site.log().count(": rendered")


def reasons(site):
    return [job["text"].get("en", "") for job in site.status()["waiting"]]


def throttled(*options):
    return ["rsync", "-rt", "--bwlimit=16", *options]


@pytest.mark.parametrize("options", [[], ["--inplace"]])
def test_a_real_rsync_is_waited_for(faulty, media, tmp_path, options):
    """The link is so slow that nothing but rsync's temporary name grows for longer than settling takes."""
    source = tmp_path / "from" / "j"
    source.mkdir(parents=True)
    for name, data in (("anna.mp4", media.face), ("voice.m4a", media.voice)):
        (source / name).write_bytes(data.read_bytes())
    (source / "zoe.mp4").write_bytes(media.face.read_bytes() + os.urandom(60_000))
    faulty.start()
    subprocess.run([*throttled(*options), f"{source}", f"{faulty.share}/inbox/"], check=True)
    faulty.ledger.note(source)
    done = faulty.finished("j")
    assert results(done) == ["anna.mp4", "zoe.mp4"]
    assert originals(done) == ["anna.mp4", "voice.m4a", "zoe.mp4"]
    assert rendered(faulty) == 2
    faulty.check()


def test_what_rsync_left_behind_holds_the_folder_back_until_it_is_junk(faulty, media):
    faulty.configure(inbox={"settle_zero_tail_s": 1, "incomplete_fail_after_h": 0.0015})
    folder = faulty.healthy("j")
    (folder / ".zoe.mp4.CzpYz0").write_bytes(media.face.read_bytes()[:3000])
    (folder / ".anna.mp4.AbCdE1").write_bytes(media.face.read_bytes()[:3000])
    faulty.ledger.note(folder)
    faulty.start()
    wait_for(lambda: '"anna.mp4" is incomplete and has stopped growing' in str(reasons(faulty)), "said")
    done = faulty.finished("j")
    assert results(done) == ["anna.mp4"]
    assert '"zoe.mp4" is incomplete' in next(done.glob("!Why*")).read_text("utf-8-sig")
    assert {".zoe.mp4.CzpYz0", ".anna.mp4.AbCdE1"} <= set(originals(done))
    faulty.check()


def test_a_touched_original_changes_nothing(faulty, hold):
    (faulty.healthy("j") / "job.toml").write_text('audio_longer = "pingpong"')
    folder, go_on = hold("rendered")
    for path in (folder / "voice.m4a", folder / "anna.mp4", folder / "job.toml"):
        os.utime(path, (1e9, 1e9))
    go_on()
    faulty.finished("j")
    assert rendered(faulty) == 1
    faulty.check()


def change(path, same_size):
    """Change a media file's content so that it stays whole."""
    data = path.read_bytes()
    new = data.replace(b"Lavf", b"Lavx") if same_size else data + b"\0\0\0\x08free"
    assert new != data
    path.write_bytes(new)
    return new


@pytest.mark.parametrize(("name", "same_size"), [("anna.mp4", True), ("voice.m4a", False)])
def test_what_changed_after_it_was_read_is_rendered_again(faulty, media, hold, name, same_size):
    faulty.drop("j", voice__m4a=media.voice, anna__mp4=media.face, ben__mp4=media.face)
    folder, go_on = hold("rendered")
    [before] = faulty.records()
    new = change(folder / name, same_size)
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    assert (done / ORIGINALS / name).read_bytes() == new
    assert results(done) == ["anna.mp4", "ben.mp4"]
    assert originals(done) == ["anna.mp4", "ben.mp4", "voice.m4a"]
    [after] = faulty.records()
    assert after["id"] != before["id"]
    assert after["arrived"] == before["arrived"], "it lost its place in the queue"
    faulty.check()


@pytest.mark.parametrize("there_before", [True, False])
def test_other_settings_are_rendered_with(faulty, hold, there_before):
    dropped = faulty.healthy("j")
    if there_before:
        (dropped / "job.toml").write_text('audio_longer = "pingpong"')
    folder, go_on = hold("rendered")
    (folder / "job.toml").write_text('audio_longer = "loop"')
    faulty.ledger.note(folder)
    go_on()
    faulty.finished("j")
    [job] = faulty.records()
    assert job["settings"]["audio_longer"] == "loop"
    assert rendered(faulty) == 2
    faulty.check()


def test_a_voice_of_which_a_third_was_there_is_rendered_whole(faulty, media, tmp_path, hold):
    """No end can be seen on an MP3: it was still, so it was claimed."""
    whole = tmp_path / "voice.mp3"
    ffmpeg("-stream_loop", "-1", "-i", media.long_voice, "-t", "24", whole)  # a third of it is rendered for seconds
    folder = faulty.drop("j", anna__mp4=media.face)
    (folder / "voice.mp3").write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    folder, go_on = hold("daemon-render")
    (folder / "voice.mp3").write_bytes(whole.read_bytes())
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    assert frame_count(done / "anna.mp4") in range(600, 603)
    assert rendered(faulty) == 1, "noticed before the first render ended"
    faulty.check()


def test_a_video_that_changes_in_every_round_is_made_once_for_each_change(faulty, media, hold):
    faulty.drop("j", voice__m4a=media.voice, anna__mov=media.face, ben__mov=media.face)
    folder, go_on = hold("rendered")
    newest = change(folder / "anna.mov", same_size=False)
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    assert rendered(faulty) == 3
    for times in (4, 5, 5):
        if times > rendered(faulty):
            newest += b"\0\0\0\x08free"
            (done / "anna.mov").write_bytes(newest)
        faulty.ledger.note(done)
        done.rename(faulty.share / "inbox" / "j")
        done = faulty.finished("j")
        assert results(done) == ["anna.mp4", "ben.mp4"]
        assert rendered(faulty) == times
        [made] = [v for v in faulty.newest("j")["videos"] if v["output"] == "anna.mp4"]
        assert made["source"]["size"] == len(newest)
        faulty.ledger.note(done)
    assert originals(done) == ["anna (replaced 2).mov", "anna (replaced).mov", "anna.mov", "ben.mov", "voice.m4a"]
    faulty.check()


@pytest.mark.parametrize(("name", "place"), [("anna.mp4", "done"), ("voice.m4a", "failed")])
def test_what_never_stops_changing_fails_with_that_reason(faulty, media, name, place):
    faulty.drop("j", voice__m4a=media.voice, anna__mp4=media.face, ben__mp4=media.face)
    daemon = psutil.Process(faulty.start(fault="rendered:hang").pid)

    def change_after_each_render():
        if daemon.status() == psutil.STATUS_STOPPED:
            change(faulty.share / "processing" / "j" / name, same_size=False)
            faulty.fired_once.unlink()  # it stops at the next render too
            daemon.resume()
        return faulty.place_of("j") == [place]

    wait_for(change_after_each_render, "its end")
    faulty.fired_once.touch()
    folder = faulty.finished("j", place)
    faulty.ledger.note(folder)
    assert f'"{name}" was changed' in next(folder.glob("!Why*")).read_text("utf-8-sig")
    assert place == "failed" or results(folder) == ["ben.mp4"]
    assert faulty.log().count("starting anew") == 3
    faulty.check()


def test_a_new_video_in_the_claimed_folder_is_made_too(faulty, media, hold):
    faulty.drop("j", voice__m4a=media.voice, anna__mov=media.face)
    folder, go_on = hold("rendered")
    (folder / "anna.mp4").write_bytes(media.face.read_bytes())  # also the name of the first one's result
    (folder / "zoe.mp4").write_bytes(media.face.read_bytes())
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    assert originals(done) == ["anna.mov", "anna.mp4", "voice.m4a", "zoe.mp4"]
    assert len(results(done)) == 3
    faulty.check()


def test_a_new_file_that_is_not_used_is_kept_and_told(faulty, media, hold):
    faulty.healthy("j")
    folder, go_on = hold("rendered")
    (folder / "script.pdf").write_text("1")
    (folder / "more").mkdir()
    (folder / "more" / "zoe.mp4").write_bytes(media.face.read_bytes())
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    assert originals(done) == ["anna.mp4", "script.pdf", "voice.m4a"]
    report = (done / "report.html").read_text()
    assert "script.pdf" in report
    assert "more/zoe.mp4 (in a subfolder)" in report
    assert rendered(faulty) == 1
    faulty.check()


def test_a_video_added_to_the_subfolder_that_the_others_came_from_is_made_too(faulty, media, hold):
    dropped = faulty.drop("j", voice__m4a=media.voice)
    (dropped / "takes").mkdir()
    (dropped / "takes" / "anna.mp4").write_bytes(media.face.read_bytes())
    faulty.ledger.note(dropped)
    folder, go_on = hold("rendered")
    (folder / "takes" / "zoe.mp4").write_bytes(media.face.read_bytes())
    (late := faulty.share / "inbox" / "j" / "takes").mkdir(parents=True)
    (late / "anna.mp4").write_bytes(media.face.read_bytes() + b"\0\0\0\x08free")  # and an anna of its own
    faulty.ledger.note(folder)
    faulty.ledger.note(late.parent)
    go_on()
    done = faulty.finished("j")
    assert {"anna.mp4", "zoe.mp4"} <= set(results(done))
    faulty.check()


def templated(site, media, **files):
    """Drop a folder that asks for the template anna; return the template."""
    template = site.share / "templates" / "anna.mp4"
    template.write_bytes(media.face.read_bytes())
    (site.drop("j", voice__m4a=media.voice, **files) / "presenters.txt").write_text("anna\n")
    return template


@pytest.mark.parametrize("same_size", [True, False])
def test_a_template_that_was_replaced_is_rendered_with_again(faulty, media, hold, same_size):
    template = templated(faulty, media, ben__mp4=media.face)
    _folder, go_on = hold("rendered")
    change(template, same_size)
    go_on()
    done = faulty.finished("j")
    assert results(done) == ["anna.mp4", "ben.mp4"]
    made_from = {v["source"]["name"]: v["source"]["digest"] for v in faulty.records()[-1]["videos"]}
    assert made_from["../../templates/anna.mp4"] == record_digest(template)
    assert rendered(faulty) == 3, "the other video is not made again"
    faulty.check()


def test_a_template_that_was_only_touched_changes_nothing(faulty, media, hold):
    template = templated(faulty, media)
    _folder, go_on = hold("rendered")
    os.utime(template, (1e9, 1e9))
    go_on()
    faulty.finished("j")
    assert rendered(faulty) == 1
    faulty.check()


def test_what_was_made_from_a_template_that_is_gone_is_delivered_and_told(faulty, media, hold):
    template = templated(faulty, media)
    _folder, go_on = hold("rendered")
    template.unlink()
    go_on()
    done = faulty.finished("j")
    assert results(done) == ["anna.mp4"]
    [notice] = [n for n in faulty.records()[0]["notices"] if n["code"] == "template_gone"]
    words, _advice = catalog.what_and_advice("template_gone", notice["fields"])
    assert words in html.unescape((done / "report.html").read_text())
    faulty.check()


@pytest.fixture(scope="module")
def picture(media, tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "anna.png"
    ffmpeg("-i", media.face, "-frames:v", "1", path)
    return path


def test_a_picture_added_to_the_subfolder_that_the_others_came_from_is_made_too(faulty, media, hold, picture):
    dropped = faulty.drop("j", voice__m4a=media.voice)
    (dropped / "people").mkdir()
    (dropped / "people" / "anna.png").write_bytes(picture.read_bytes())
    faulty.ledger.note(dropped)
    folder, go_on = hold("rendered")
    (folder / "people" / "zoe.png").write_bytes(picture.read_bytes())
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    assert results(done) == ["anna.mp4", "zoe.mp4"]
    assert originals(done) == ["anna.png", "voice.m4a", "zoe.png"]
    assert rendered(faulty) == 2
    faulty.check()


def test_a_picture_added_to_one_part_of_a_batch_is_made_with_that_parts_voice(faulty, media, hold, picture):
    dropped = faulty.drop("j")
    for part in ("en", "zh"):
        (dropped / part).mkdir()
        (dropped / part / "voice.m4a").write_bytes(media.voice.read_bytes())
        (dropped / part / "anna.png").write_bytes(picture.read_bytes())
    faulty.ledger.note(dropped)
    folder, go_on = hold("rendered")
    (folder / "zh" / "zoe.png").write_bytes(picture.read_bytes())
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    assert results(done / "en") == ["anna.mp4"]
    assert results(done / "zh") == ["anna.mp4", "zoe.mp4"]
    [added] = [v for v in faulty.records()[0]["videos"] if v["output"] == "zh/zoe.mp4"]
    assert added["voice"]["name"].endswith("zh/voice.m4a")
    assert rendered(faulty) == 3
    faulty.check()


def test_what_comes_into_a_subfolder_and_is_not_used_is_told(faulty, media, hold, picture):
    dropped = faulty.drop("j", voice__m4a=media.voice, anna__png=picture)
    (dropped / "more").mkdir()
    (dropped / "more" / "old.png").write_bytes(picture.read_bytes())
    faulty.ledger.note(dropped)
    folder, go_on = hold("rendered")
    for name in ("zoe.png", "script.pdf"):
        (folder / "more" / name).write_bytes(picture.read_bytes())
    faulty.ledger.note(folder)
    go_on()
    done = faulty.finished("j")
    told = [(n["code"], n["fields"]["names"]) for n in faulty.records()[0]["notices"]]
    assert told == [
        ("left_out_picture", ["more/old.png"]),
        ("left_out_picture", ["more/zoe.png"]),
        ("left_out_document", ["more/script.pdf"]),
    ]
    assert "more/script.pdf" in (done / "report.html").read_text()
    assert rendered(faulty) == 1
    faulty.check()


def test_a_removed_voice_is_asked_for_and_nothing_is_delivered_without_it(faulty, media, hold):
    faulty.healthy("j")
    folder, go_on = hold("rendered")
    (folder / "voice.m4a").unlink()
    faulty.ledger.note(folder)
    go_on()
    wait_for(lambda: "The voice recording is missing" in str(reasons(faulty)), "asked for")
    (faulty.share / "inbox" / "j" / "voice.m4a").write_bytes(media.voice.read_bytes())
    faulty.ledger.note(faulty.share / "inbox" / "j")
    assert originals(faulty.finished("j")) == ["anna.mp4", "voice.m4a"]
    faulty.check()


@pytest.mark.parametrize("name", ["ben.mp4", "voice.m4a"])
def test_a_file_dropped_again_after_the_claim_joins_the_job(faulty, media, hold, name):
    faulty.healthy("j")
    _folder, go_on = hold("rendered")
    source = media.voice if name == "voice.m4a" else media.face
    late = faulty.drop("j", **{name.replace(".", "__"): source})
    if name != "ben.mp4":
        (late / name).write_bytes(source.read_bytes().replace(b"Lavf", b"Lavx"))
    content = (late / name).read_bytes()
    go_on()
    wait_for(lambda: 'Belongs to the job "j"' in str(reasons(faulty)) or len(faulty.place_of("j")) == 1, "said")
    done = faulty.finished("j")
    assert content in [p.read_bytes() for p in (done / ORIGINALS).iterdir()]
    assert results(done) == (["anna.mp4", "ben.mp4"] if name == "ben.mp4" else ["anna.mp4"])
    assert not (faulty.share / "inbox" / "j").exists()
    faulty.ledger.note(done)
    faulty.check()


def test_a_whole_job_of_the_same_name_is_a_job_of_its_own(faulty, hold):
    faulty.healthy("j")
    _folder, go_on = hold("rendered")
    faulty.healthy("j")
    go_on()
    wait_for(lambda: len(list((faulty.share / "done").iterdir())) == 2, "both")
    faulty.ledger.forget("j")
    faulty.check()
