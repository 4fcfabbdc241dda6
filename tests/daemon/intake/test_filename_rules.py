import os
import unicodedata
from pathlib import Path

import pytest

from heygemd.daemon.intake import filename_rules
from heygemd.job import output_name, safe_stem


@pytest.mark.parametrize(
    "name", [".DS_Store", "._anna.mp4", "Thumbs.db", "~$plan.docx", filename_rules.WAITING_NOTE, "Icon\r"]
)
def test_junk_is_junk(name):
    assert filename_rules.is_a("junk", name)


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("anna.mp4.part", "anna.mp4"),
        ("Voice.WAV.crdownload", "Voice.WAV"),
        ("x.opdownload", "x"),
        ("x.partial", "x"),
        ("movie.mp4.ab12cd.partial", "movie.mp4"),
        ("a.TMP", "a"),
        ("zoe.mp4.!sync", "zoe.mp4"),
        (".Zoe.mp4.CzpYz0", "Zoe.mp4"),
        (".syncthing.zoe.mp4.tmp", "zoe.mp4"),
        ("~syncthing~zoe.mp4.tmp", "zoe.mp4"),
        (".zoe.mp4.icloud", "zoe.mp4"),
        (".in.zoe.mp4.", "zoe.mp4"),
        ("zoe.mp4~", "zoe.mp4"),
        ("a/.zoe.mp4.CzpYz0", "zoe.mp4"),
    ],
)
def test_a_temporary_name_tells_what_the_copy_becomes(name, becomes):
    assert filename_rules.copied_as(name) == becomes


@pytest.mark.parametrize(
    "name", ["zoe.mp4", ".zoe.mp4", "._zoe.mp4", ".notes.txt.swp", "notes.txt~", ".DS_Store", ".zoe.mp4.heygemd-part"]
)
def test_other_names_are_no_copies(name):
    assert filename_rules.copied_as(name) == ""


def test_media_is_none_of_these():
    for kind in ("junk", "shortcut", "document", "picture", "archive", "other_format"):
        assert not filename_rules.is_a(kind, "anna präsentiert 春.mp4")


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "System Volume Information", ".heygemd", ".Trashes"])
def test_nas_folders_are_never_looked_into(name):
    assert filename_rules.skip_dir(name)


def test_decomposed_names_compare_equal():
    assert filename_rules.fold(unicodedata.normalize("NFD", "Präsentation")) == filename_rules.fold("präsentation")


def test_free_name_counts_and_never_reuses():
    taken = {"promo", "promo (2)"}
    assert filename_rules.free_name("Promo", taken, "s") == "Promo (3)"
    assert filename_rules.free_name("other", taken, "s") == "other"
    crowd = {"p"} | {f"p ({n})" for n in range(2, 100)}
    assert filename_rules.free_name("p", crowd, "20260131") == "p 20260131"


def test_a_number_fits_behind_the_longest_name():
    for name in ("y" * 255, "长" * 85, "\udce9" * 255):
        found = filename_rules.free_name(name, {filename_rules.fold(name)}, "20260131-142233")
        assert found.endswith(" (2)")
        assert len(os.fsencode(found)) <= 255


def test_control_words_with_and_without_ending():
    assert filename_rules.control("CANCEL", "file") == filename_rules.control("cancel.txt", "file") == "cancel"
    assert filename_rules.control("CANCEL.txt.txt", "file") == "cancel"
    assert filename_rules.control("cancelled.txt", "file") == ""
    assert not any(filename_rules.control("CANCEL", kind) for kind in ("dir", "link", "other", None))


def test_output_names_suit_every_system_and_never_collide():
    taken: set[str] = set()
    assert output_name("anna.mov", taken) == "anna.mp4"
    assert output_name("ANNA.mkv", taken) == "ANNA (2).mp4"
    assert output_name("con.mp4", taken) == "_con.mp4"
    assert output_name('a<b>:"c|?*.mp4', taken) == "a_b___c___.mp4"
    assert output_name("originals/née.mp4", taken) == "née.mp4"


def test_hostile_stems_become_harmless():
    assert safe_stem("-x\n<script>") == "-x__script_"
    assert safe_stem("caf\udce9") == "caf?".replace("?", "_")
    assert len(safe_stem("长" * 200).encode()) <= 150
    assert safe_stem("...") == "video"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("job.toml", "job.toml"), ("JOB.TOML.txt", "job.toml"), ("Presenters.txt.TXT", "presenters.txt"), ("job.txt", "")],
)
def test_windows_adds_an_ending_that_it_hides(name, meant):
    assert filename_rules.settings_file(name) == meant


def test_a_free_file_name_keeps_its_ending():
    taken = {"anna.mp4"}
    assert [filename_rules.free_file_name("Anna.mp4", taken) for _ in range(2)] == ["Anna (2).mp4", "Anna (3).mp4"]


@pytest.mark.parametrize("name", [f"{'x' * 251}.mp4", f"{'字' * 83}.mp4", f"a.{'x' * 253}"])
def test_a_free_file_name_is_one_that_the_disk_takes(tmp_path: Path, name: str) -> None:
    taken: set[str] = set()
    names = [filename_rules.free_file_name(name, taken) for _ in range(3)]
    for each in names:
        (tmp_path / each).touch()
    assert len(set(names)) == 3
