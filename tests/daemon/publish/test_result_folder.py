"""Originals in a finished folder: what was used is told from what a newer file replaces."""

from __future__ import annotations

from pathlib import Path

from heygemd.daemon.publish import result_folder
from heygemd.job import Media
from heygemd.storage import share_fs


def test_originals_of_one_job_that_differ_in_case_only_are_both_kept_as_used(tmp_path: Path) -> None:
    media = []
    for name in ("A.MP4", "a.mp4"):
        (tmp_path / name).write_bytes(name.encode() * (len(media) + 1))
        size, mtime_ns = share_fs.fingerprint(tmp_path / name)
        media.append(Media(name=name, size=size, mtime_ns=mtime_ns))
    list(result_folder._move_originals(tmp_path, media, set(), None, in_folders=False))
    kept = {path.name: path.read_bytes() for path in (tmp_path / "originals").iterdir()}
    assert kept == {"A.MP4": b"A.MP4", "a (2).mp4": b"a.mp4a.mp4"}
