"""Presenters kept in the share: videos in templates/, which a job folder names instead of copying them in again."""

from __future__ import annotations

from pathlib import Path, PurePath

from ...errors import InputError
from ...storage import share_fs
from ...storage.share_fs import Entry
from ...storage.share_layout import MARKER, TEMPLATES
from . import filename_rules

FROM_A_JOB = f"../../{TEMPLATES}/"
"""Where the templates lie, seen from a job's folder in inbox/ or processing/."""
KNOWN_SHOWN = 8


def listed(text: bytes) -> list[str]:
    """Return the names in a presenters.txt: one a line; empty lines and lines that start with # count for nothing."""
    lines = (line.strip() for line in text.decode("utf-8-sig", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def find(share: Path, wanted: list[str]) -> list[Entry]:
    """Return the templates of these names (with or without ending) as members of a job's folder.

    A name is only compared with what lies there, it is never part of a path. Raises InputError("presenter_unknown"),
    FileNotFoundError.
    """
    share_fs.read(share / MARKER)  # a share that is away knows no names, and none is unknown
    there = [name for name in share_fs.names(share / TEMPLATES) if not filename_rules.is_a("junk", name)]
    found: dict[str, Entry] = {}
    for wish in wanted:
        match = next((name for name in there if filename_rules.fold(wish) in _called(name)), None)
        if match is None:
            known = [PurePath(name).stem for name in there[:KNOWN_SHOWN]] or ["-"]
            raise InputError("presenter_unknown", name=wish, known=known)
        size, mtime_ns = share_fs.fingerprint(share / TEMPLATES / match)
        found[match] = Entry(FROM_A_JOB + match, "file", size, mtime_ns)
    return list(found.values())


def _called(name: str) -> set[str]:
    return {filename_rules.fold(name), filename_rules.fold(PurePath(name).stem)}
