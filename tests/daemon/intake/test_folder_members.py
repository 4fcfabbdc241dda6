"""What the members of a dropped folder are, going by their names, and how much is too much."""

import pytest

from heygemd.config.schema import Limits
from heygemd.daemon.intake import filename_rules, folder_members
from heygemd.daemon.intake.filename_rules import WAITING_NOTE
from heygemd.errors import InputError, NotReady
from heygemd.storage import share_fs
from heygemd.storage.share_fs import MAX_ENTRIES

from .dropped_files import classified, compose, entry, seen


def test_members_are_sorted_by_what_their_names_say():
    found = seen(
        entry("anna.mp4"), entry("voice.m4a"), entry(".DS_Store"), entry("x.part"), entry("notes.txt"), entry("READY"),
        entry("job.toml"), entry("deep/inner.mp4"), entry("originals/old.mp4"), entry("l.mp4", kind="link"),
    )  # fmt: skip
    assert [e.name for e in found.media] == ["anna.mp4", "voice.m4a", "originals/old.mp4"]
    assert [e.name for e in found.temporary] == ["x.part"]
    assert found.controls == {"ready"}
    assert found.settings == {"job.toml": "job.toml"}
    assert [e.name for e in found.nested] == ["deep/inner.mp4"]
    assert [(e.name, reason) for e, reason in found.left_out] == [
        ("notes.txt", "left_out_document"),
        ("l.mp4", "left_out_shortcut"),
    ]


def test_junk_does_not_change_the_signature_but_media_does():
    base = seen(entry("a.mp4"))
    assert seen(entry("a.mp4"), entry("._a.mp4"), entry(WAITING_NOTE)).signature == base.signature
    assert seen(entry("a.mp4", 1001)).signature != base.signature


def test_bounds_are_refused_with_their_own_words():
    small = Limits(max_files_per_job=1, max_file_gib=1e-9)
    with pytest.raises(InputError, match="too_many_files"):
        folder_members.check_bounds(seen(entry("a.mp4"), entry("b.mp4")), small)
    with pytest.raises(InputError, match="file_too_big"):
        folder_members.check_bounds(seen(entry("a.mp4")), small)
    with pytest.raises(NotReady, match="too_many_entries limit=10000"):
        folder_members.check_bounds(seen(*(entry(f"{n}.jpg") for n in range(MAX_ENTRIES + 1))), small)
    folder_members.check_bounds(seen(entry(WAITING_NOTE), *(entry(f"{n}.jpg") for n in range(MAX_ENTRIES))), small)
    folder_members.check_bounds(seen(entry("a.mp4", 1), entry("b.xyz"), entry("c.xyz"), entry("d.jpg")), small)


@pytest.mark.parametrize("name", [".heygemd", "originals"])
def test_names_that_are_ours_must_be_folders(name):
    with pytest.raises(InputError, match="name_taken"):
        folder_members.check_bounds(seen(entry(name)), Limits())
    with pytest.raises(InputError, match="shortcut"):
        folder_members.check_bounds(seen(entry(name, kind="link")), Limits())
    folder_members.check_bounds(seen(entry(name, kind="dir")), Limits())


def test_thousands_of_pictures_are_one_notice_and_not_read():
    members = seen(*(entry(f"{n:04d}.jpg") for n in range(2500)), entry("v.wav"), entry("a.mp4"))
    assert [e.name for e in folder_members.worth_reading(members.media, Limits())] == ["v.wav", "a.mp4"]
    (notice,) = compose(classified(("v.wav", "audio", 1000), ("a.mp4", "video", 1000)), members).notices
    assert notice.fields["count"] == 2500
    assert len(notice.fields["names"]) == 200
    others = seen(*(entry(f"{n:04d}.xyz") for n in range(2500)), entry("v.wav"))
    assert len(folder_members.worth_reading(others.media, Limits(max_files_per_job=3))) == 4


def test_a_note_of_ours_in_a_full_folder_changes_nothing(tmp_path):
    """It pushed the last entry out of what was read: the folder counted as changed, and the note was withdrawn."""
    for n in range(MAX_ENTRIES + 2):
        (tmp_path / f"{n:05d}.jpg").touch()
    before = folder_members.sort_members(share_fs.read_folder(tmp_path, filename_rules.skip_dir))
    (tmp_path / WAITING_NOTE).touch()
    after = folder_members.sort_members(share_fs.read_folder(tmp_path, filename_rules.skip_dir))
    assert len(before.counted) == MAX_ENTRIES + 1 and before.signature == after.signature


def test_an_original_that_was_replaced_is_named_as_such():
    names = ("originals/anna (replaced).mov", "originals/zh/v (replaced 2).wav", "originals/t.en (replaced).srt")
    found = seen(*map(entry, (*names, "anna (replaced).mov", "originals/replaced.mov")))
    assert [(e.name, reason) for e, reason in found.left_out] == [(name, "left_out_replaced") for name in names]
    assert [e.name for e in found.media] == ["anna (replaced).mov", "originals/replaced.mov"]
