"""Entries appear complete, are checked when read, and the oldest are removed first."""

import os
import time
from pathlib import Path

from heygemd.render.cache import DRAFT_S, Cache


def entry(folder: Path, text: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "data").write_bytes(text)
    return folder / "data"


def test_what_was_stored_is_fetched(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1 << 20)
    assert not cache.fetch("track", "k", tmp_path / "out")
    cache.store("track", "k", [entry(tmp_path / "in", b"hello")])
    assert cache.fetch("track", "k", tmp_path / "out")
    assert (tmp_path / "out" / "data").read_bytes() == b"hello"
    assert not cache.fetch("track", "other", tmp_path / "out")


def test_a_damaged_entry_is_dropped(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1 << 20)
    cache.store("track", "k", [entry(tmp_path / "in", b"hello")])
    next((tmp_path / "cache").rglob("data")).write_bytes(b"hellu")
    assert not cache.fetch("track", "k", tmp_path / "out")
    assert not list((tmp_path / "cache").rglob("data"))
    cache.store("track", "k", [entry(tmp_path / "in", b"hello")])
    assert cache.fetch("track", "k", tmp_path / "out")


def test_the_least_recently_used_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 2500)
    for age, key in ((30, "a"), (20, "b")):
        cache.store("video_data", key, [entry(tmp_path / "in", key.encode() * 1000)])
        os.utime(cache._path("video_data", key), (age, age))
    assert cache.fetch("video_data", "b", tmp_path / "out")
    cache.store("video_data", "c", [entry(tmp_path / "in", b"c" * 1000)])
    kept = {key: cache.fetch("video_data", key, tmp_path / f"out-{key}") for key in "abc"}
    assert kept == {"a": False, "b": True, "c": True}


def test_an_evicted_entry_stays_readable_where_it_was_fetched(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1500)
    cache.store("video_data", "a", [entry(tmp_path / "in", b"a" * 1000)])
    assert cache.fetch("video_data", "a", tmp_path / "out")
    cache.store("video_data", "b", [entry(tmp_path / "in", b"b" * 1000)])
    assert (tmp_path / "out" / "data").read_bytes() == b"a" * 1000


def test_drafts_of_a_killed_process_are_cleared_away_and_no_others(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    for name, age_s in ((".draft-dead", 2 * DRAFT_S), (".draft-alive", 0)):
        (root / name).mkdir(parents=True)
        entry(root / name, b"half")
        os.utime(root / name, (time.time() - age_s,) * 2)
    Cache(root, 1 << 20).store("video_data", "a", [entry(tmp_path / "in", b"a")])
    assert [p.name for p in root.glob(".*")] == [".draft-alive"]


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    Cache(tmp_path / "cache", 1 << 20).store("video_data", "a", [entry(tmp_path / "in", b"a")])
    assert not Cache(tmp_path / "cache", 1 << 20).fetch("video_data", "a", tmp_path / "out")
