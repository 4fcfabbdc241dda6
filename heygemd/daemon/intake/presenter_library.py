"""Presenter videos kept in templates/ on the share: a job folder can name them instead of holding copies."""

from __future__ import annotations

from pathlib import Path, PurePath

from ...errors import InputError
from ...storage import share_fs
from ...storage.share_fs import Entry
from ...storage.share_layout import MARKER, TEMPLATES
from . import filename_rules

FROM_A_JOB = f"../../{TEMPLATES}/"
"""The path of templates/ as seen from a job's folder in inbox/ or processing/."""
KNOWN_SHOWN = 8


def listed(text: bytes) -> list[str]:
    """Return the names in a presenters.txt, one per line; empty lines and lines that start with # are ignored."""
    lines = (line.strip() for line in text.decode("utf-8-sig", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def find(share: Path, wanted: list[str]) -> list[Entry]:
    """Return the templates of these names (with or without suffix) as members of a job's folder.

    Names are only compared with existing ones and never become part of a path. Raises InputError("presenter_unknown"),
    FileNotFoundError.
    """
    share_fs.read(share / MARKER)  # while the share is away no name can be called unknown
    there = [name for name in share_fs.names(share / TEMPLATES) if not filename_rules.is_a("junk", name)]
    found: dict[str, Entry] = {}
    for name in wanted:
        match = next((file for file in there if filename_rules.fold(name) in _folded_names(file)), None)
        if match is None:
            known = [PurePath(file).stem for file in there[:KNOWN_SHOWN]] or ["-"]
            raise InputError("presenter_unknown", name=name, known=known)
        size, mtime_ns = share_fs.fingerprint(share / TEMPLATES / match)
        found[match] = Entry(FROM_A_JOB + match, "file", size, mtime_ns)
    return list(found.values())


def _folded_names(name: str) -> set[str]:
    return {filename_rules.fold(name), filename_rules.fold(PurePath(name).stem)}
