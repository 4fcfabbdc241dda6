"""Whether a media file is complete or still being copied, read from its headers and its tail alone.

ffprobe cannot tell: a preallocated, half-written file probes without an error, and half of a WAV decodes as silence.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import NotReady

TAIL_BYTES = 64 << 10
MAX_BOXES = 20_000
UNKNOWN_32 = 0xFFFFFFFF
MP4_STARTS = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"uuid"}
STILL_BRANDS = {b"heic", b"heix", b"mif1", b"avif", b"crx "}
"""Pictures in an MP4-like structure, without a moov box."""
EBML_HEADER, MATROSKA_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


@dataclass(frozen=True)
class Completeness:
    """The structure of a complete file.

    container  "mp4", "wav", "avi", "matroska", or "" for formats without a structure to check
    size       bytes
    zero_tail  the last 64 KiB are zero: either digital silence, or a preallocated copy that has stalled; wait longer
    """

    container: str
    size: int
    zero_tail: bool


def examine(path: Path) -> Completeness:
    """Check a file's structure; reads a few kilobytes only.

    Raises NotReady("not_a_file" | "empty" | "still_copying" | "moov_missing" | "recorder_open") and OSError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotReady("not_a_file", path=str(path)) from None
        raise
    try:
        return examine_open(fd)
    finally:
        os.close(fd)


def examine_open(fd: int) -> Completeness:
    """As `examine`, for an open file."""
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        raise NotReady("not_a_file")
    if facts.st_size == 0:
        raise NotReady("empty")
    return _examine(fd, facts.st_size)


def _examine(fd: int, size: int) -> Completeness:
    head = os.pread(fd, 64, 0)
    tail = os.pread(fd, TAIL_BYTES, max(0, size - TAIL_BYTES))
    name, check = _structure(head)
    check(fd, size)
    return Completeness(name, size, not any(tail))


def _structure(head: bytes) -> tuple[str, Callable[[int, int], None]]:
    """Return the container's name and its check."""
    if head[4:8] in MP4_STARTS and head[8:12] not in STILL_BRANDS:
        return "mp4", _check_mp4
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav", _check_wav
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "avi", _check_avi
    if head[:4] == EBML_HEADER:
        return "matroska", _check_matroska
    return "", _check_nothing


def _check_nothing(fd: int, size: int) -> None:
    """Formats made of independent packets (MPEG-TS, MP3, Ogg, FLAC, ASF): a truncated file is valid."""


def _require_bytes(end: int, size: int) -> None:
    """Raise NotReady for a file whose headers promise more bytes than it has."""
    if end > size:
        raise NotReady("still_copying", bytes=size, expected=end)


def _check_mp4(fd: int, size: int) -> None:
    """Walk the top-level boxes: they must fill the file, with a moov among them."""
    position, seen = 0, set()
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 16, position)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length == 0 and kind in MP4_STARTS:  # the last box extends to the end of the file
            length = size - position
        if length < 8:  # not a box: padding, or the zeros of a preallocated file
            break
        _require_bytes(position + length, size)
        seen.add(kind)
        position += length
    if b"moov" not in seen:
        raise NotReady("moov_missing", bytes=size)


def _check_wav(fd: int, size: int) -> None:
    """Find the data chunk: it must end within the file."""
    position, long_size = 12, 0
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 16, position)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head[:8])
        if kind == b"ds64":  # RF64: 64-bit sizes of the file and of the data chunk
            long_size = struct.unpack("<Q", os.pread(fd, 8, position + 16).ljust(8, b"\0"))[0]
        if kind == b"data":
            length = long_size if length == UNKNOWN_32 and long_size else length
            if length in (0, UNKNOWN_32):
                raise NotReady("recorder_open", bytes=size)
            return _require_bytes(position + 8 + length, size)
        position += 8 + length + length % 2
    raise NotReady("still_copying", bytes=size)


def _check_avi(fd: int, size: int) -> None:
    """Follow the RIFF chunks (OpenDML files have several)."""
    position = 0
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 8, position)
        if len(head) < 8 or head[:4] != b"RIFF":
            return
        length = struct.unpack("<I", head[4:])[0]
        if length in (0, UNKNOWN_32):  # a recorder could not seek back; left to ffprobe
            return
        _require_bytes(position + 8 + length, size)
        position += 8 + length + length % 2


def _check_matroska(fd: int, size: int) -> None:
    """Compare the segment's size, where it is known, with the file's."""
    head = os.pread(fd, 4096, 0)
    length, width = _ebml_size(head[4:])
    start = 4 + width + (length or 0)
    segment = head[start : start + 12]
    if segment[:4] == MATROSKA_SEGMENT:
        length, width = _ebml_size(segment[4:])
        if length is not None:
            _require_bytes(start + 4 + width + length, size)


def _ebml_size(data: bytes) -> tuple[int | None, int]:
    """Return an EBML number (None: unknown) and the bytes it takes (RFC 8794, section 4)."""
    if not data or not data[0]:
        return None, 1
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width
