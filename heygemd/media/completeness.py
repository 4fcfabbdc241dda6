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
PLACEHOLDER_BYTES = 64 << 10
"""Recorders that cannot seek back write the largest size they know, 2³¹ or 2³² less this at most, or 0."""
LONGEST_WAV_S = 2 * 3600
"""A WAV that promises more has a placeholder of another kind."""
MP4_STARTS = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"uuid"}
MP4_BOXES = MP4_STARTS | {b"mfra", b"sidx", b"ssix", b"emsg", b"prft", b"meta", b"pdin", b"udta"}
STILL_BRANDS = {b"heic", b"heix", b"mif1", b"avif", b"crx "}
"""Pictures in an MP4-like structure, without a moov box."""
MXF_PARTITION = bytes.fromhex("060e2b34020501010d01020101")
EBML_HEADER, MATROSKA_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


@dataclass(frozen=True)
class Completeness:
    """The structure of a complete file.

    container  "mp4", "wav", "avi", "aiff", "caf", "mxf", "matroska", or "" for formats without a structure to check
    size       bytes
    zero_tail  the last 64 KiB are zero: either digital silence, or a preallocated copy that has stalled; wait longer
    open_end   the headers hold placeholders instead of sizes, as streamed recordings do: only time shows that the file
               is complete; wait longer
    """

    container: str
    size: int
    zero_tail: bool
    open_end: bool = False


def examine(path: Path) -> Completeness:
    """Check a file's structure; reads a few kilobytes only.

    Raises NotReady("not_a_file" | "empty" | "still_copying" | "moov_missing") and OSError.
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
    open_end = check(fd, size)
    return Completeness(name, size, not any(tail), open_end)


def _structure(head: bytes) -> tuple[str, Callable[[int, int], bool]]:
    """Return the container's name and its check, which returns whether the file's end is open."""
    if head[4:8] in MP4_STARTS and head[8:12] not in STILL_BRANDS:
        return "mp4", _check_mp4
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav", _check_wav
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "avi", _check_avi
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff", _check_aiff
    if head[:4] == b"caff":
        return "caf", _check_caf
    if head[:13] == MXF_PARTITION:
        return "mxf", _check_mxf
    if head[:4] == EBML_HEADER:
        return "matroska", _check_matroska
    return "", _check_nothing


def _check_nothing(_fd: int, _size: int) -> bool:
    """Formats made of independent packets (MPEG-TS, MP3, Ogg, FLAC, ASF): a truncated file is valid."""
    return False


def _require_bytes(end: int, size: int) -> None:
    """Raise NotReady for a file whose headers promise more bytes than it has."""
    if end > size:
        raise NotReady("still_copying", bytes=size, expected=end)


def _is_placeholder(claim: int) -> bool:
    """Return whether a size of 32 bits is what a recorder writes that never learns the true one."""
    return claim == 0 or any(0 < top - claim <= PLACEHOLDER_BYTES for top in (1 << 31, 1 << 32))


def _check_mp4(fd: int, size: int) -> bool:
    """Walk the top-level boxes: a moov must be among them. Cameras append data of their own after the last box."""
    position = 0
    seen: set[bytes] = set()
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
        if {b"moov", b"mdat"} <= seen and kind not in MP4_BOXES:  # not a box: a camera's trailer
            break
        _require_bytes(position + length, size)
        seen.add(kind)
        position += length
    if b"moov" not in seen:
        raise NotReady("moov_missing", bytes=size)
    return False


def _check_wav(fd: int, size: int) -> bool:
    """Find the data chunk: it must end within the file, unless its size is a placeholder."""
    position, long_size, bytes_per_s = 12, 0, 0
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 8, position)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"ds64":  # RF64: 64-bit sizes of the file and of the data chunk
            long_size = struct.unpack("<Q", os.pread(fd, 8, position + 16).ljust(8, b"\0"))[0]
        if kind == b"fmt ":
            bytes_per_s = struct.unpack("<I", os.pread(fd, 4, position + 16).ljust(4, b"\0"))[0]
        if kind == b"data":
            return _wav_has_open_end(fd, size, position + 8, length, long_size, bytes_per_s)
        position += 8 + length + length % 2
    raise NotReady("still_copying", bytes=size)


def _wav_has_open_end(fd: int, size: int, start: int, claim: int, long_size: int, bytes_per_s: int) -> bool:
    """Judge the size of a data chunk at `start`; sizes in bytes, `long_size` is RF64's."""
    if claim == UNKNOWN_32 and long_size:
        claim = long_size
    elif _is_placeholder(claim):
        return start + claim != size  # an empty recording, or one of nearly 2 or 4 GiB, can be what it says
    if start + claim <= size:
        return False
    if claim > LONGEST_WAV_S * bytes_per_s > 0:
        return True
    if _riff_size(fd, 0) != size:  # otherwise the file's own size is right and only the chunk's is wrong
        _require_bytes(start + claim, size)
    return False


def _riff_size(fd: int, position: int) -> int:
    """Return the bytes of a RIFF chunk with its header."""
    return int(struct.unpack("<I", os.pread(fd, 4, position + 4).ljust(4, b"\0"))[0]) + 8


def _check_avi(fd: int, size: int) -> bool:
    """Follow the RIFF chunks (OpenDML files have several)."""
    position = 0
    for _ in range(MAX_BOXES):
        if os.pread(fd, 4, position) != b"RIFF":
            return False
        end = position + _riff_size(fd, position)
        if end > size:
            return _check_avi_chunks(fd, size, position + 12, end)
        if _is_placeholder(end - position - 8):
            return True
        position = end + end % 2
    return False


def _check_avi_chunks(fd: int, size: int, position: int, claim: int) -> bool:
    """Judge a RIFF chunk that ends beyond the file, at `claim`: the chunks in it may end where the file does."""
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 8, position)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"LIST" and _is_placeholder(length):
            return True
        if position + 8 + length > size:
            break
        position += 8 + length + length % 2
    if position < size:
        _require_bytes(claim, size)
    return True


def _check_aiff(fd: int, size: int) -> bool:
    """Compare the size of the one chunk that holds all others with the file's."""
    claim = int.from_bytes(os.pread(fd, 4, 4), "big")
    if _is_placeholder(claim):
        return 8 + claim != size
    _require_bytes(8 + claim, size)
    return False


def _check_caf(fd: int, size: int) -> bool:
    """Find the data chunk: it must end within the file, unless its size is -1 (Apple's CAF specification)."""
    position = 8
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 12, position)
        if len(head) < 12:
            break
        kind, length = struct.unpack(">4sq", head)
        if kind == b"data" and length == -1:
            return True
        if length < 0:
            break
        position += 12 + length
        _require_bytes(position, size)
        if kind == b"data":
            return False
    raise NotReady("still_copying", bytes=size)


def _check_mxf(fd: int, size: int) -> bool:
    """Look whether the footer that the first partition names has come (SMPTE ST 377-1, 7.1); 0: not known yet."""
    head = os.pread(fd, 64, 0)
    start = 17 + (head[16] & 0x7F if head[16:17] > b"\x80" else 0)  # after the key and the BER length
    footer = int.from_bytes(head[start + 24 : start + 32], "big")
    _require_bytes(footer + len(MXF_PARTITION), size)
    return footer == 0


def _check_matroska(fd: int, size: int) -> bool:
    """Compare the segment's size, where it is known, with the file's."""
    head = os.pread(fd, 4096, 0)
    length, width = _ebml_size(head[4:])
    start = 4 + width + (length or 0)
    segment = head[start : start + 12]
    if segment[:4] == MATROSKA_SEGMENT:
        length, width = _ebml_size(segment[4:])
        if length is not None:
            _require_bytes(start + 4 + width + length, size)
    return False


def _ebml_size(data: bytes) -> tuple[int | None, int]:
    """Return an EBML number (None: unknown) and the bytes it takes (RFC 8794, section 4)."""
    if not data or not data[0]:
        return None, 1
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width
