"""Presenters' videos and photos in templates/ on the share: a job folder can name them instead of holding copies."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from ...config import staff_text
from ...errors import InputError, NotReady
from ...storage import share_fs
from ...storage.share_fs import Entry
from ...storage.share_layout import MARKER, TEMPLATES
from . import filename_rules, job_folder
from .filename_rules import input_kind

FROM_A_JOB = f"../../{TEMPLATES}/"
"""The path of templates/ as seen from a job's folder in inbox/ or processing/."""
KNOWN_SHOWN = 8
SEPARATORS = re.compile("[,;，；、]")


class Wish(NamedTuple):
    """A presenter's name, and the file and line that ask for it; line 0: unknown."""

    name: str
    file: str
    line: int = 0


def names(share: Path) -> list[str]:
    """Return the names that can be asked for, without their endings. Raises NotReady if templates/ cannot be used."""
    return [PurePath(entry.name).stem for entry in _offered(share)]


def listed(text: bytes, file: str, known: Collection[str] = ()) -> list[Wish]:
    """Return the names in a presenters.txt, one per line; empty lines and lines that start with # are ignored.

    `known`: see `staff_text`.
    """
    lines = enumerate(staff_text.decode(text, known).text.split("\n"), 1)
    found = ((line.strip(), number) for number, line in lines)
    return [Wish(name, file, number) for name, number in found if name and not name.startswith("#")]


def find(share: Path, wishes: Sequence[Wish]) -> list[Entry]:
    """Return the templates of these names (with or without suffix) as members of a job's folder.

    Names are only compared with existing ones and never become part of a path. Raises InputError("presenter_unknown" |
    "no_presenters"), NotReady if templates/ cannot be used, FileNotFoundError.
    """
    share_fs.read(share / MARKER)  # while the share is away no name can be called unknown
    offered = _offered(share)
    found: dict[str, Entry] = {}
    for wish in wishes:
        for name in _names(wish.name, offered):
            match = _match(name, offered)
            if match is None:
                if known := _known(share, offered):
                    raise InputError("presenter_unknown", name=name, known=known, place=_place(wish))
                raise InputError("no_presenters", name=name, place=_place(wish))
            found[match.name] = match._replace(name=FROM_A_JOB + match.name)
    return list(found.values())


def _offered(share: Path) -> list[Entry]:
    """Return what can be asked for, videos first: no folders, links, hidden files or unfinished copies.

    Raises NotReady if templates/ cannot be read, or is no folder.
    """
    try:
        folder = share_fs.read_folder(share / TEMPLATES, filename_rules.skip_dir)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise NotReady("name_taken", name=TEMPLATES) from None
    if folder.error is not None:
        raise folder.error
    found = [e for e in folder.entries if e.kind == "file" and "/" not in e.name and _is_presenter(e.name)]
    return sorted(found, key=lambda entry: input_kind(entry.name) == "photo")


def _is_presenter(name: str) -> bool:
    return input_kind(name) in ("video", "photo") and not filename_rules.is_a("junk", name)


def _names(line: str, offered: Sequence[Entry]) -> list[str]:
    """Return the names in a line: one, or several with commas between them."""
    if _match(line, offered) is not None:
        return [line]
    return [name for part in SEPARATORS.split(line) if (name := part.strip())] or [line]


def _match(name: str, offered: Sequence[Entry]) -> Entry | None:
    wanted = filename_rules.fold(name)
    return next((e for e in offered if wanted in map(filename_rules.fold, (e.name, PurePath(e.name).stem))), None)


def _known(share: Path, offered: Sequence[Entry]) -> list[str]:
    """Return names to choose from: of complete files only."""
    known: list[str] = []
    for entry in offered:
        stem = PurePath(entry.name).stem
        if stem not in known and len(known) < KNOWN_SHOWN and _is_complete(share / TEMPLATES / entry.name):
            known.append(stem)
    return known


def _is_complete(path: Path) -> bool:
    try:
        job_folder.examine(path)
    except (NotReady, FileNotFoundError):
        return False
    return True


def _place(wish: Wish) -> object:
    if not wish.line:
        return wish.file
    return {"code": "presenter_line", "fields": {"file": wish.file, "line": wish.line}}
