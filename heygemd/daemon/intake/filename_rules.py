"""What file names mean: junk, unfinished copies, shortcuts, control files. Compared as NFC, ignoring case."""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate

from ...storage.atomic import NAME_BYTES, cut
from .job_folder import REPORT

WAITING_NOTE = "!Waiting 等待中.txt"
LOOSE_NOTE = "!Put files into a folder 请放入文件夹.txt"
WHY_NOTE = "!Why it failed 失败原因.txt"
"""Notes for users: the names sort first and carry the message in both languages."""

JUNK_DIRS = [
    ".*",
    "@eaDir",
    "@tmp",
    "@Recycle",
    "@Recently-Snapshot",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "lost+found",
    "~snapshot",
    "__MACOSX",
    "System Volume Information",
]
JUNK_FILES = [
    ".*",
    "Thumbs.db",
    "ehthumbs*.db",
    "desktop.ini",
    "Icon\r",
    "~$*",
    "~syncthing~*",
    "*@Syno*",
    WAITING_NOTE,
    LOOSE_NOTE,
    WHY_NOTE,
    "HEYGEMD-*.txt",
    "HEYGEMD-*.zip",
    REPORT,
]
TEMPORARY = [
    "*.part",
    "*.partial",
    "*.partial~",
    "*.crdownload",
    "*.download",
    "*.filepart",
    "*.tmp",
    "*.temp",
    "*.aria2",
    "*.!qB",
    "*~",
    "*.??????.partial",
]
SHORTCUTS = ["*.lnk", "*.url", "*.alias", "*.webloc"]
NOT_MEDIA = [
    "*.txt",
    "*.md",
    "*.pdf",
    "*.doc",
    "*.docx",
    "*.xls",
    "*.xlsx",
    "*.ppt",
    "*.pptx",
    "*.jpg",
    "*.jpeg",
    "*.png",
    "*.gif",
    "*.webp",
    "*.heic",
    "*.srt",
    "*.vtt",
    "*.ass",
    "*.xml",
    "*.json",
    "*.nfo",
    "*.html",
    "*.csv",
    "*.toml",
    "*.zip",
]
HELD = ["_*", ".*", "*.part", "*.tmp", "*-wip"]

JOB_TOML = "job.toml"
PRESENTERS = "presenters.txt"
READY = "ready"
CANCEL = "cancel"
PAUSE = "pause"


def _matcher(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(p.casefold()) for p in patterns))


_PATTERNS = {
    "junk_dir": _matcher(JUNK_DIRS),
    "junk": _matcher(JUNK_FILES),
    "temporary": _matcher(TEMPORARY),
    "shortcut": _matcher(SHORTCUTS),
    "not_media": _matcher(NOT_MEDIA),
    "held": _matcher(HELD),
}


def fold(name: str) -> str:
    """Return the normalised form in which names are compared."""
    return unicodedata.normalize("NFC", name).casefold()


def is_a(kind: str, name: str) -> bool:
    """Return whether a base name is of a kind: junk_dir, junk, temporary, shortcut, not_media, held."""
    return _PATTERNS[kind].match(fold(name.rpartition("/")[2])) is not None


def skip_dir(name: str) -> bool:
    """Return whether folders of that name are never scanned."""
    return is_a("junk_dir", name)


def control(name: str) -> str:
    """Return the control word of a file name ("cancel", "ready", "pause"; ".txt" may follow), or ""."""
    word = fold(name).removesuffix(".txt")
    return word if word in (READY, CANCEL, PAUSE) else ""


def free_name(wanted: str, taken: set[str], stamp: str) -> str:
    """Return the first free name: `wanted`, "wanted (2)" … "wanted (99)", "wanted STAMP"; `taken`: folded names."""
    if fold(wanted) not in taken:
        return wanted
    short = cut(wanted, NAME_BYTES - len(f" {stamp}"))
    for number in range(2, 100):
        if fold(f"{short} ({number})") not in taken:
            return f"{short} ({number})"
    return f"{short} {stamp}"
