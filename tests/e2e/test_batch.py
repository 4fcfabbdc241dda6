"""A batch as staff make it: languages with shared presenters, late and bad parts, and what comes after."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from heygemd.daemon.intake.filename_rules import WHY_NOTE
from tests.faults.invariants import LedgerSite
from tests.media_factory import ffmpeg

from .harness import frame_count, wait_for, worker


def put(folder: Path, **files: Path) -> None:
    """Copy files into a folder, which is made; the keyword `v__m4a` becomes v.m4a."""
    folder.mkdir(exist_ok=True, parents=True)
    for keyword, source in files.items():
        shutil.copyfile(source, folder / keyword.replace("__", "."))


def videos(site: LedgerSite, name: str) -> dict[str, dict[str, Any]]:
    """Return the videos of the newest record of a job by their outputs."""
    return {video["output"]: video for video in site.newest(name)["videos"]}


def rendering(site: LedgerSite, video: str) -> bool:
    """Return whether this video of the current job is being rendered."""
    current = site.status()["current"] or {"videos": []}
    return any(v["name"] == video and v["state"] == "running" for v in current["videos"])


def test_languages_share_presenters_and_one_bad_part_stops_nothing(site: LedgerSite, media: SimpleNamespace) -> None:
    site.configure(inbox={"waiting_note_after_s": 600}, render={"zip_results": True})
    batch = site.drop("batch", anna__mp4=media.face)
    put(batch / "zh", v__m4a=media.voice)
    put(batch / "客户 17", v__m4a=media.voice, notes__txt=media.voice)
    put(batch / "bad", v__wav=Path(__file__))
    put(batch / "empty", chloe__mp4=media.face)
    put(batch / "fr", v__m4a=media.voice)
    site.ledger.note(batch)
    daemon = site.start()
    wait_for(lambda: any("empty" in str(job["text"]) for job in site.status()["waiting"]), "what is waited for")
    (batch / "READY").touch()
    wait_for(lambda: rendering(site, "fr/anna.mp4"), "a part that is not wanted any more")
    (site.share / "processing" / "batch" / "fr" / "CANCEL").touch()
    wait_for(lambda: rendering(site, "客户 17/anna.mp4"), "the last part, after the others")
    (early,) = [v["link"] for v in site.status()["current"]["videos"] if v["name"] == "zh/anna.mp4"]
    assert frame_count(site.share / early) == 25, "it can be watched before all others are made"
    daemon.kill()
    daemon.wait()
    site.start()
    done = site.finished("batch")
    assert sorted(str(p.relative_to(done)) for p in done.rglob("*.mp4") if ".heygemd" not in p.parts) == [
        "empty/chloe.mp4", "originals/anna.mp4", "zh/anna.mp4", "客户 17/anna.mp4",
    ]  # fmt: skip
    assert {frame_count(done / part / "anna.mp4") for part in ("zh", "客户 17")} == {25}
    assert (done / "客户 17" / "notes.txt").exists() and (done / "originals" / "zh" / "v.m4a").exists()
    made = videos(site, "batch")
    assert {name for name, v in made.items() if v["state"] == "failed"} == {"bad/anna.mp4", "empty/", "fr/anna.mp4"}
    assert made["fr/anna.mp4"]["problem"]["code"] == "cancelled" and made["客户 17/anna.mp4"]["attempts"] == 2
    assert site.log().count("zh/anna.mp4: rendered") == 1, "what was finished before the crash is not made again"
    for analysed in ("track", "video_data"):
        assert len(list((site.root / "cache" / "analysis" / analysed).iterdir())) == 1, "one presenter, analysed once"
    why, page = (done / name for name in (WHY_NOTE, "report.html"))
    assert "empty: " in why.read_text("utf-8-sig") and "bad/v.wav" in why.read_text("utf-8-sig")
    assert 'href="%E5%AE%A2%E6%88%B7%2017/anna.mp4"' in page.read_text("utf-8")
    site.ledger.check()

    late = site.share / "inbox" / "batch"
    done.rename(late)
    put(late / "empty", v__m4a=media.voice)
    for unwanted in ("bad", "fr"):
        shutil.rmtree(late / "originals" / unwanted)
    site.ledger.note(late)
    wait_for(lambda: rendering(site, "empty/chloe.mp4"), "the late part")
    put(site.share / "processing" / "batch" / "later", v__m4a=media.voice)
    again = site.finished("batch")
    assert frame_count(again / "empty" / "chloe.mp4") == 25 and (again / "originals" / "empty" / "chloe.mp4").exists()
    made = videos(site, "batch")
    assert {name: v["kept"] for name, v in made.items()} == {
        "empty/chloe.mp4": True, "later/anna.mp4": False, "zh/anna.mp4": True, "客户 17/anna.mp4": True,
    }  # fmt: skip
    for name in made:
        assert site.log().count(f"{name}: rendered") == 1, "what is kept is not made again"
    site.ledger.check()


def cancel_third(site: LedgerSite, daemon: subprocess.Popen[bytes], what: str) -> None:
    """Cancel part c while the first part is being rendered, which is held until then."""
    wait_for(site.fired_once.exists, what)
    put(site.share / "processing" / "batch" / "c")
    (site.share / "processing" / "batch" / "c" / "CANCEL").touch()
    renderer = wait_for(lambda: worker(daemon), "the renderer that was stopped")
    renderer.resume()


def test_voices_beside_one_another_with_a_picture_and_what_is_cancelled(
    site: LedgerSite, media: SimpleNamespace
) -> None:
    """A file BATCH makes each voice a part; CANCEL stops one of them, then all, and what is left comes back."""
    batch = site.drop("batch", a__m4a=media.voice, b__m4a=media.voice, c__m4a=media.voice)
    ffmpeg("-i", media.face, "-frames:v", "1", batch / "anna.png")
    (batch / "Batch.txt").touch()
    site.ledger.note(batch)
    daemon = site.start(fault="render:hang")
    cancel_third(site, daemon, "the first part")
    site.fired_once.unlink()
    wait_for(site.fired_once.exists, "the second part")
    (site.share / "processing" / "batch" / "cancel.txt").touch()
    failed = site.finished("batch", "failed")
    assert "Cancelled on request" in (failed / WHY_NOTE).read_text("utf-8-sig")
    assert not list(failed.rglob("CANCEL")) and not (failed / "cancel.txt").exists()
    assert {n: v["problem"] and v["problem"]["code"] for n, v in videos(site, "batch").items()} == {
        "a/anna.mp4": None, "b/anna.mp4": None, "c/anna.mp4": "cancelled",
    }  # fmt: skip
    site.ledger.note(failed)
    site.fired_once.unlink()
    failed.rename(site.share / "inbox" / "batch")
    cancel_third(site, daemon, "all of it anew")
    done = site.finished("batch")
    assert sorted(str(p.relative_to(done)) for p in done.glob("*/*.mp4") if ".heygemd" not in p.parts) == [
        "a/anna.mp4", "b/anna.mp4",
    ]  # fmt: skip
    made = videos(site, "batch")
    assert {n: v["problem"] and v["problem"]["code"] for n, v in made.items()} == {
        "a/anna.mp4": None, "b/anna.mp4": None, "c/anna.mp4": "cancelled",
    }  # fmt: skip
    site.ledger.check()

    shutil.copyfile(media.long_voice, done / "b.m4a")
    site.ledger.note(done)
    done.rename(site.share / "inbox" / "batch")
    again = site.finished("batch")
    made = videos(site, "batch")
    assert {n: v["kept"] for n, v in made.items()} == {"a/anna.mp4": True, "b/anna.mp4": False, "c/anna.mp4": False}
    assert frame_count(again / "b" / "anna.mp4") > 25
    assert (again / "originals" / "b (replaced).m4a").exists()
    site.ledger.check()
