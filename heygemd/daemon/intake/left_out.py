"""Which of a folder's files are not used, and why: one notice for each reason, with the files' names."""

from __future__ import annotations

from collections.abc import Iterable

from ...protocol import Notice
from ...storage.share_fs import Entry
from . import filename_rules

MAX_NAMES = 200
"""How many names one notice keeps; a job's record is written often."""
COULD_BE_NEEDED = (
    "left_out_format",
    "left_out_archive",
    "left_out_shortcut",
    "left_out_not_a_file",
    "left_out_no_stream",
    "left_out_not_media",
    "left_out_subfolder",
    "left_out_deep",
    "left_out_preview",
)
"""Reasons for which the missing voice or video may be there, but in a form that cannot be used."""
REASONS = (
    *COULD_BE_NEEDED,
    "left_out_replaced",
    "left_out_subtitles",
    "left_out_subtitles_off",
    "left_out_subtitles_inside",
    "left_out_lips",
    "left_out_picture",
    "left_out_document",
)
"""All reasons, in the order in which users read them."""
BY_NAME = {
    "shortcut": "left_out_shortcut",
    "archive": "left_out_archive",
    "picture": "left_out_picture",
    "camera_preview": "left_out_preview",
    "document": "left_out_document",
}

LeftOut = tuple[str, str]
"""A file's name and the reason, one of REASONS."""


def reason_by_name(entry: Entry) -> str:
    """Return why an entry cannot be media, as far as its kind and name tell, or ""."""
    if entry.kind == "link":
        return "left_out_shortcut"
    if entry.kind == "other":
        return "left_out_not_a_file"
    return next((reason for kind, reason in BY_NAME.items() if filename_rules.is_a(kind, entry.name)), "")


def reason_unreadable(name: str, code: str) -> str:
    """Return why a file whose ending is not a known one is not used; `code`: that of ffprobe's fault."""
    known = code == "format_unsupported" or filename_rules.is_a("other_format", name)
    return "left_out_format" if known else "left_out_not_media"


def notices(left_out: Iterable[LeftOut]) -> list[Notice]:
    """Return one notice for each reason that occurs."""
    names: dict[str, list[str]] = {reason: [] for reason in REASONS}
    for name, reason in left_out:
        names[reason].append(name)
    return [
        Notice(code=reason, fields={"names": found[:MAX_NAMES], "count": len(found)})
        for reason, found in names.items()
        if found
    ]
