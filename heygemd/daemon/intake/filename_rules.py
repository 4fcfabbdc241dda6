"""What file names mean: junk, unfinished copies, shortcuts, control files. Compared as NFC, ignoring case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from fnmatch import translate
from pathlib import PurePath
from typing import Literal

from ...storage.atomic import NAME_BYTES, PART, cut, noted
from ...storage.share_paths import Kind
from .job_folder import REPORT

MediaKind = Literal["audio", "video", "photo"]

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
SYSTEM_FILES = [
    "._*",
    ".DS_Store",
    ".nfs*",
    ".smbdelete*",
    ".fuse_hidden*",
    ".~lock.*",
    f"*{PART}",
    "Thumbs.db",
    "ehthumbs*.db",
    "desktop.ini",
    "Icon\r",
    "~$*",
    "*@Syno*",
    WAITING_NOTE,
    LOOSE_NOTE,
    WHY_NOTE,
    "HEYGEMD-*.txt",
    "HEYGEMD-*.zip",
    REPORT,
]
"""Written by systems, NAS and ourselves at any time: they say nothing about a copy."""
JUNK_FILES = [*SYSTEM_FILES, ".*", "~syncthing~*"]
AUDIO_ENDINGS = (
    *(".wav", ".w64", ".mp3", ".m4a", ".m4b", ".m4r", ".aac", ".flac", ".ogg", ".oga", ".opus", ".spx", ".wma"),
    *(".mka", ".weba", ".amr", ".awb", ".3ga", ".caf", ".aif", ".aiff", ".aifc", ".ac3", ".eac3"),
)
VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".f4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".asf", ".ogv"),
    *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".mxf", ".gif"),
)
SUBTITLE_ENDINGS = (".srt", ".vtt", ".ass")
PHOTO_ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".heic", ".heif")
"""Pictures that can be made to speak."""
TEMPORARY = [
    ".part",
    ".partial",
    ".partial~",
    ".crdownload",
    ".opdownload",
    ".download",
    ".filepart",
    ".tmp",
    ".temp",
    ".aria2",
    ".!qB",
    ".!sync",
    ".!ut",
]
"""Endings of copies and downloads under way."""
SHORTCUTS = ["*.lnk", "*.alias"]
DOCUMENTS = [
    "*~",
    "*.txt",
    "*.md",
    "*.rtf",
    "*.pdf",
    "*.doc",
    "*.docx",
    "*.odt",
    "*.pages",
    "*.wps",
    "*.xls",
    "*.xlsx",
    "*.ppt",
    "*.pptx",
    "*.key",
    "*.csv",
    "*.html",
    "*.htm",
    "*.xml",
    "*.json",
    "*.toml",
    "*.nfo",
    "*.log",
    "*.srt",
    "*.vtt",
    "*.ass",
    "*.ssa",
    "*.sub",
    "*.lrc",
    "*.url",
    "*.webloc",
]
"""Texts, documents, subtitles and web links."""
PICTURES = [
    "*.jpg",
    "*.jpeg",
    "*.jfif",
    "*.png",
    "*.webp",
    "*.heic",
    "*.heif",
    "*.avif",
    "*.bmp",
    "*.tif",
    "*.tiff",
    "*.svg",
    "*.psd",
    "*.ai",
    "*.cr2",
    "*.cr3",
    "*.nef",
    "*.arw",
    "*.dng",
]
CAMERA_PREVIEWS = ["*.lrf", "*.lrv", "*.thm"]
"""Small copies that cameras and drones write beside their videos."""
ARCHIVES = [
    "*.zip",
    "*.zipx",
    "*.rar",
    "*.7z",
    "*.tar",
    "*.tgz",
    "*.gz",
    "*.bz2",
    "*.xz",
    "*.iso",
    "*.dmg",
    "*.z[0-9][0-9]",
    "*.r[0-9][0-9]",
    "*.7z.[0-9][0-9][0-9]",
    "*.zip.[0-9][0-9][0-9]",
]
OTHER_FORMATS = [
    "*.braw",
    "*.r3d",
    "*.ari",
    "*.crm",
    "*.rm",
    "*.rmvb",
    "*.ra",
    "*.swf",
    "*.dav",
    "*.qsv",
    "*.kux",
    "*.ncm",
    "*.kgm",
    "*.qmc*",
    "*.silk",
    "*.slk",
    "*.au",
    "*.snd",
    "*.dss",
    "*.ds2",
    "*.gsm",
    "*.vox",
    "*.voc",
    "*.tta",
    "*.tak",
    "*.mpc",
    "*.aa",
    "*.h264",
    "*.h265",
    "*.hevc",
    "*.ivf",
    "*.nut",
    "*.dv",
    "*.ogm",
    "*.wtv",
    "*.aax",
    "*.m4p",
    "*.ape",
    "*.wv",
    "*.dsf",
    "*.dff",
    "*.mid",
    "*.midi",
]
"""Video and sound that cannot be read here, or only if ffmpeg finds otherwise."""
VOICES = (
    *("voice", "voice over", "voiceover", "audio", "sound", "speech", "narration", "recording", "voice recording"),
    *("录音", "配音", "声音", "语音", "旁白", "音频", "人声"),
)
"""How people name a voice recording."""
HELD = ["_*", ".*", "*.part", "*.tmp", "*-wip"]

JOB_TOML = "job.toml"
PRESENTERS = "presenters.txt"
READY = "ready"
CANCEL = "cancel"
PAUSE = "pause"
BATCH = "batch"


def _matcher(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(p.casefold()) for p in patterns))


_PATTERNS = {
    "junk_dir": _matcher(JUNK_DIRS),
    "system": _matcher(SYSTEM_FILES),
    "junk": _matcher(JUNK_FILES),
    "shortcut": _matcher(SHORTCUTS),
    "document": _matcher(DOCUMENTS),
    "picture": _matcher(PICTURES),
    "archive": _matcher(ARCHIVES),
    "camera_preview": _matcher(CAMERA_PREVIEWS),
    "other_format": _matcher(OTHER_FORMATS),
    "held": _matcher(HELD),
}


def fold(name: str) -> str:
    """Return the normalised form in which names are compared."""
    return unicodedata.normalize("NFC", name).casefold()


def is_a(kind: str, name: str) -> bool:
    """Return whether a base name is of a kind, a key of _PATTERNS such as "junk"."""
    return _PATTERNS[kind].match(fold(name.rpartition("/")[2])) is not None


def known_ending(name: str, known: tuple[str, ...] = (*AUDIO_ENDINGS, *VIDEO_ENDINGS)) -> str:
    """Return the file's suffix if it is a known one, so that no text chosen by a user reaches a program."""
    return next((e for e in known if name.casefold().endswith(e)), "")


def kind_by_name(name: str) -> MediaKind | None:
    """Return the kind a file name suggests, "audio" or "video", for files that cannot be read."""
    folded = fold(name)
    if folded.endswith(AUDIO_ENDINGS):
        return "audio"
    return "video" if folded.endswith(VIDEO_ENDINGS) else None


def is_photo(name: str) -> bool:
    """Return whether a file name is that of a picture that can be a presenter."""
    return fold(name).endswith(PHOTO_ENDINGS)


def input_kind(name: str) -> MediaKind | None:
    """As `kind_by_name`, where a picture is a presenter."""
    return "photo" if is_photo(name) else kind_by_name(name)


_MEDIA = rf".+(?:{'|'.join(map(re.escape, (*AUDIO_ENDINGS, *VIDEO_ENDINGS)))})"
_COPIES = (
    rf"[.~](?:syncthing[.~]|in\.)?({_MEDIA})\..*",  # rsync: .NAME.XXXXXX; FTP: .in.NAME.; .NAME.icloud
    rf"({_MEDIA})~",  # editors
    rf"(?!\.)(?:({_MEDIA})\.\w{{6}}|(.+?))(?:{'|'.join(map(re.escape, TEMPORARY))})+",
)
_COPY = re.compile("|".join(_COPIES), re.DOTALL | re.IGNORECASE)


_BESIDE = "the|my|new|final|only|file|track|新的?|最终|文件"
_VOICE = re.compile(rf"(?:(?:{_BESIDE}) ?)?(?:{'|'.join(VOICES)})(?: ?(?:{_BESIDE}))?")


def is_named_as_voice(name: str) -> bool:
    """Return whether a file, or the folder it lies in, is named as a voice recording is: "voice 2.mp4", "录音.mov"."""
    path = PurePath(fold(name))
    plain = (re.sub(r"[\W\d_]+", " ", part).strip() for part in (path.stem, path.parent.name))
    return any(_VOICE.fullmatch(part) for part in plain)


def copied_as(name: str) -> str:
    """Return the name a file gets when the copy that writes it has ended; "" for a name that is no temporary one.

    Hidden names are temporary only round the name of a media file: others belong to systems and programs.
    """
    base = unicodedata.normalize("NFC", name.rpartition("/")[2])
    found = None if is_a("system", base) else _COPY.fullmatch(base)
    return next(filter(None, found.groups()), "") if found else ""


def skip_dir(name: str) -> bool:
    """Return whether folders of that name are never scanned."""
    return is_a("junk_dir", name)


def control(name: str, kind: Kind | None) -> str:
    """Return the control word of a file's name ("cancel", "ready", "pause", "batch"; ".txt" may follow), or "".

    A folder, a link or a pipe of that name controls nothing. Windows hides endings: "CANCEL.txt.txt" is one too.
    """
    word = fold(name)
    while word.endswith(".txt"):
        word = word.removesuffix(".txt")
    return word if kind == "file" and word in (READY, CANCEL, PAUSE, BATCH) else ""


def looks_like_pause(name: str) -> bool:
    """Return whether a name pauses the queue if it is that of a file in inbox/."""
    return control(name, "file") == PAUSE


def controls(kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Return the control words in a listing, and the file that each stands in."""
    return {word: name for name, kind in kinds.items() if (word := control(name, kind))}


def settings_file(name: str) -> str:
    """Return "job.toml" or "presenters.txt" for a file that is meant as one, else "".

    Windows hides endings: who types "job.toml" there makes "job.toml.txt".
    """
    folded = fold(name)
    return next((known for known in (JOB_TOML, PRESENTERS) if folded in (known, f"{known}.txt")), "")


_LIPS = re.compile(r"(.*[^\s._(（-])(?:[\s._-]+lips|[\s._-]*口型|\s*[(（](?:lips|口型)[)）])")


def lips_of(name: str) -> str:
    """Return the folded stem of the voice whose lips a recording drives ("voice.lips.wav", "voice 口型.wav"), or ""."""
    found = _LIPS.fullmatch(fold(PurePath(name).stem))
    return found[1] if found else ""


REPLACED = "replaced"
_REPLACED = re.compile(rf".+ \({REPLACED}(?: \d+)?\)(?:\.[^.]*)?", re.DOTALL)


def is_replaced(name: str) -> bool:
    """Return whether a name in originals/ says that a newer file took its place, as publishing names it."""
    return _REPLACED.fullmatch(name) is not None


def free_name(wanted: str, taken: set[str], stamp: str) -> str:
    """Return the first free name: `wanted`, "wanted (2)" … "wanted (99)", "wanted STAMP"; `taken`: folded names."""
    if fold(wanted) not in taken:
        return wanted
    short = cut(wanted, NAME_BYTES - len(f" {stamp}"))
    for number in range(2, 100):
        if fold(f"{short} ({number})") not in taken:
            return f"{short} ({number})"
    return f"{short} {stamp}"


def free_file_name(wanted: str, taken: set[str]) -> str:
    """Return `wanted` or "stem (2).suffix" and so on, and add it to `taken` (folded names)."""
    number, candidate = 2, wanted
    while fold(candidate) in taken:
        candidate, number = noted(wanted, str(number)), number + 1
    taken.add(fold(candidate))
    return candidate
