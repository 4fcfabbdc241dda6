"""Folders as staff really make them: every file is used or named with its reason, and nothing holds up a job."""

from __future__ import annotations

import html
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from heygemd.daemon.intake.filename_rules import LOOSE_NOTE, WAITING_NOTE
from heygemd.storage.share_fs import MAX_ENTRIES
from tests.faults.invariants import LedgerSite

from .harness import wait_for

SIDE_FILES = ["transfer.done", "cover.png", "brief.pdf", "plan.url", "all.rar", "raw.braw", "odd.xyz", "Thumbs.db"]


def waiting(site: LedgerSite) -> dict[str, dict[str, str]]:
    return {job["name"]: job["text"] for job in site.status()["waiting"]}


def on_the_page(site: LedgerSite, name: str, english: str) -> dict[str, str] | None:
    text = waiting(site).get(name)
    return text if text and english in text["en"] else None


def touch(folder: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)


def test_a_mixed_folder_is_rendered_and_every_file_accounted_for(site: LedgerSite, media: SimpleNamespace) -> None:
    site.configure(inbox={"incomplete_fail_after_h": 4})
    folder = site.drop("mixed")
    touch(folder, *SIDE_FILES, "raw/day 1/a.mp4")
    touch(folder, "hidden.braw", content=b"BRAW" * 999)
    touch(folder, "photo", content=b"\0\0\0\x18ftypheic" + b"0" * 500)
    (folder / "job.toml.txt").write_bytes('quality = "draft"\r\n# 草稿\r\n'.encode("utf-16"))
    for base, name, source in (("audio", "voice.m4a", media.voice), ("video", "anna.mp4", media.face)):
        (folder / base).mkdir()
        shutil.copyfile(source, folder / base / name)
    site.start()
    done = site.finished("mixed")
    page = html.unescape((done / "report.html").read_text("utf-8"))
    for name in set(SIDE_FILES) - {"Thumbs.db"}:
        assert name in page, name
    for words in (
        "Not used: all.rar (an archive).",
        "未使用：cover.png（图片，共 1 个）。",
        "Not used: brief.pdf and plan.url (texts, documents or web links).",
        "Not looked into: raw/day 1 (a folder in a subfolder).",
        "Not used: hidden.braw (this format is not supported).",
        '"job.toml.txt" was read as job.toml.',
    ):
        assert words in page
    assert "Thumbs.db" not in page
    kept = {path.name for path in (done / "originals").iterdir()}
    assert kept == {"voice.m4a", "anna.mp4", "hidden.braw", "photo", *SIDE_FILES} - {"Thumbs.db"}
    assert not (done / "video").exists()
    done.rename(site.share / "inbox" / "mixed")
    site.finished("mixed")
    assert site.log().count(": rendered") == 1


def test_a_note_says_why_nothing_there_is_the_missing_file(site: LedgerSite, media: SimpleNamespace) -> None:
    touch(site.drop("packed", anna__mp4=media.face), "voice.zip", content=b"PK")
    pictures = site.drop("pictures", zz_voice__m4a=media.voice)
    touch(pictures, *(f"{n:04d}.jpg" for n in range(2500)))
    touch(site.drop("thousands", voice__m4a=media.voice), *(f"{n:05d}.jpg" for n in range(MAX_ENTRIES)))
    site.start()
    expected = {
        "packed": ("There is no voice recording here that can be used.", "未使用：voice.zip（压缩包）。"),
        "pictures": ("no video, and 2500 pictures", "和 2500 张图片"),
        "thousands": ("more than 10000 files", "超过 10000 个"),
    }
    for name, (english, chinese) in expected.items():
        note = site.share / "inbox" / name / WAITING_NOTE
        wait_for(lambda note=note, english=english: english in note.read_text("utf-8-sig"), f"{name}: {english}")
        assert chinese in note.read_text("utf-8-sig"), name
        text = wait_for(lambda name=name, english=english: on_the_page(site, name, english), f"{name}: on the page")
        assert chinese in text["zh"]


def test_what_lies_in_the_wrong_place_gets_its_own_sentence(site: LedgerSite, media: SimpleNamespace) -> None:
    inbox = site.share / "inbox"
    beside = site.share / "spring 春"
    beside.mkdir()
    for source, target in (
        (media.voice, inbox / "voice.m4a"), (media.face, inbox / "anna.mp4"),
        (media.voice, beside / "voice.m4a"), (media.face, beside / "anna.mp4"),
    ):  # fmt: skip
        shutil.copyfile(source, target)
    (site.share / "marketing").mkdir()
    touch(site.share / "marketing", "plan.docx")
    (inbox / "linked").symlink_to(beside)
    touch(inbox, "promo.zip", content=b"PK")
    touch(site.share, "PAUSE.txt")
    (inbox / "Pause").mkdir()
    site.start()
    note = inbox / LOOSE_NOTE
    wait_for(note.exists, "the note")
    for words in (
        "A voice recording (voice.m4a) and videos (anna.mp4) were placed directly in inbox",
        "录音（voice.m4a）和视频（anna.mp4）直接放在了 inbox 中",
        "A link or a shortcut was placed in inbox: linked.",
        "An archive was placed in inbox: promo.zip.",
        "inbox 中放入的是压缩包：promo.zip。",
    ):
        assert words in note.read_text("utf-8-sig")
        assert words in str(waiting(site)["inbox"])
    assert set(waiting(site)) == {"inbox", "spring 春", "PAUSE.txt", "Pause"}
    for name in ("PAUSE.txt", "Pause"):
        said = wait_for(lambda name=name: on_the_page(site, name, f'"{name}" pauses nothing here'), name)
        assert f"“{name}”在这里不起暂停作用" in said["zh"]
    assert '"spring 春" lies beside inbox' in waiting(site)["spring 春"]["en"]
    site.configure(inbox={"waiting_note_after_s": 600})
    beside.rename(inbox / "spring 春")
    site.finished("spring 春")
    assert note.exists()


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_loose_pair_becomes_a_job_and_a_kill_on_the_way_loses_nothing(
    site: LedgerSite, media: SimpleNamespace, moved: int
) -> None:
    inbox = site.share / "inbox"
    site.configure(inbox={"loose_files": "job"})
    shutil.copyfile(media.voice, inbox / "春 promo.m4a")
    shutil.copyfile(media.no_face, inbox / "anna.mp4")
    touch(inbox, "todo.txt", content=b"x")
    if moved:
        process = site.start(fault="gather")
        assert process.wait(60) == -9
        hidden = inbox / ".heygemd-loose"
        assert [path.name for path in hidden.iterdir()] == ["春 promo.m4a"]
        if moved == 2:  # somebody puts another file of that name there meanwhile
            touch(inbox, "春 promo.m4a", content=b"another")
    site.start()
    if moved == 2:
        wait_for(lambda: "(2).m4a" in str(waiting(site).get("inbox")), "both are there")
        assert (inbox / "春 promo.m4a").read_bytes() == b"another"
        (inbox / "春 promo.m4a").unlink()
        failed = site.finished("春 promo (2)", "failed")
        assert {"春 promo (2).m4a", "anna.mp4"} <= {path.name for path in failed.iterdir()}
        return
    failed = site.finished("春 promo", "failed")
    assert (failed / "春 promo.m4a").read_bytes() == media.voice.read_bytes()
    assert (failed / "anna.mp4").read_bytes() == media.no_face.read_bytes()
    assert sorted(path.name for path in inbox.iterdir()) == ["!Put files into a folder 请放入文件夹.txt", "todo.txt"]
