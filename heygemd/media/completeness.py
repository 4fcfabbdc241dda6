"""Whether a media file is complete or still being copied, read from its headers and its tail alone.

ffprobe cannot tell: a preallocated, half-written file probes without an error, and half of a WAV decodes as silence.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import NotReady

TAIL_BYTES = 64 << 10
MAX_BOXES = 20_000
MAX_TAGS = 8
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
PNG_HEADER, JPEG_START, JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd9"
EBML_HEADER, MATROSKA_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
LOST_MP3_BYTES = 4096
"""Encoders count their own first frame or do not; shorter than that, a part of an MP3 cannot be told from the whole."""
FLV_METADATA_BYTES = 4096

End = Literal["whole", "open", "cut"]


@dataclass(frozen=True)
class Completeness:
    """The structure of a complete file.

    container  such as "mp4", or "" for formats without a structure to check
    size       bytes
    zero_tail  the last 64 KiB are zero: either digital silence, or a preallocated copy that has stalled; wait longer
    end        "open": the headers hold placeholders instead of sizes, as streamed recordings do, so that only time
               shows that the file is complete; wait longer
               "cut": the container's end is missing, but what is there can be used as it is; wait longer
    """

    container: str
    size: int
    zero_tail: bool
    end: End = "whole"


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


def is_cut_short(path: Path) -> bool:
    """Return whether a file that was used nevertheless lacks its end, as far as its container tells. Raises OSError."""
    try:
        return examine(path).end == "cut"
    except NotReady:
        return True


def _examine(fd: int, size: int) -> Completeness:
    name, check = _structure(os.pread(fd, 64, 0))
    end = check(fd, size)
    return Completeness(name, size, not any(_tail(fd, size)), end)


def _tail(fd: int, size: int) -> bytes:
    return os.pread(fd, TAIL_BYTES, max(0, size - TAIL_BYTES))


def _structure(head: bytes) -> tuple[str, Callable[[int, int], End]]:
    """Return the container's name and its check."""
    if head[4:8] in MP4_STARTS and head[8:12] not in STILL_BRANDS:
        return "mp4", _check_mp4
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav", _check_wav
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "avi", _check_avi
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff", _check_aiff
    if _is_mp3_frame(head):
        return "mp3", _check_mp3
    for start, check in CHECKS.items():
        if head.startswith(start):
            return check.__name__.removeprefix("_check_"), check
    return _picture_structure(head)


def _picture_structure(head: bytes) -> tuple[str, Callable[[int, int], End]]:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp", _check_webp
    if head[:8] == PNG_HEADER:
        return "png", _check_png
    return ("jpeg", _check_jpeg) if head[:3] == JPEG_START else ("", _check_nothing)


def _check_nothing(_fd: int, _size: int) -> End:
    """Formats made of packets alone (MPEG-TS, MPEG-PS, AAC, AMR, AC-3): a part of a file looks like a whole one."""
    return "whole"


def _open_or_whole(is_open: bool) -> End:
    return "open" if is_open else "whole"


def _require_bytes(end: int, size: int) -> None:
    """Raise NotReady for a file whose headers promise more bytes than it has."""
    if end > size:
        raise NotReady("still_copying", bytes=size, expected=end)


def _is_placeholder(claim: int) -> bool:
    """Return whether a size of 32 bits is what a recorder writes that never learns the true one."""
    return claim == 0 or any(0 < top - claim <= PLACEHOLDER_BYTES for top in (1 << 31, 1 << 32))


def _check_mp4(fd: int, size: int) -> End:
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
    return "whole"


def _check_wav(fd: int, size: int) -> End:
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
            return _wav_end(fd, size, position + 8, length, long_size, bytes_per_s)
        position += 8 + length + length % 2
    raise NotReady("still_copying", bytes=size)


def _wav_end(fd: int, size: int, start: int, claim: int, long_size: int, bytes_per_s: int) -> End:
    """Judge the size of a data chunk at `start`; sizes in bytes, `long_size` is RF64's."""
    if claim == UNKNOWN_32 and long_size:
        claim = long_size
    elif _is_placeholder(claim):
        return _open_or_whole(
            start + claim != size
        )  # an empty recording, or one of nearly 2 or 4 GiB, can be what it says
    if start + claim <= size:
        return "whole"
    if claim > LONGEST_WAV_S * bytes_per_s > 0:
        return "open"
    if _riff_size(fd, 0) != size:  # otherwise the file's own size is right and only the chunk's is wrong
        _require_bytes(start + claim, size)
    return "whole"


def _riff_size(fd: int, position: int) -> int:
    """Return the bytes of a RIFF chunk with its header."""
    return int(struct.unpack("<I", os.pread(fd, 4, position + 4).ljust(4, b"\0"))[0]) + 8


def _check_avi(fd: int, size: int) -> End:
    """Follow the RIFF chunks (OpenDML files have several)."""
    position = 0
    for _ in range(MAX_BOXES):
        if os.pread(fd, 4, position) != b"RIFF":
            return "whole"
        end = position + _riff_size(fd, position)
        if end > size:
            return _check_avi_chunks(fd, size, position + 12, end)
        if _is_placeholder(end - position - 8):
            return "open"
        position = end + end % 2
    return "whole"


def _check_avi_chunks(fd: int, size: int, position: int, claim: int) -> End:
    """Judge a RIFF chunk that ends beyond the file, at `claim`: the chunks in it may end where the file does."""
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 8, position)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"LIST" and _is_placeholder(length):
            return "open"
        if position + 8 + length > size:
            break
        position += 8 + length + length % 2
    if position < size:
        _require_bytes(claim, size)
    return "open"


def _check_webp(fd: int, size: int) -> End:
    """Compare the size of the one chunk that holds all others with the file's."""
    _require_bytes(_riff_size(fd, 0), size)
    return "whole"


def _check_png(fd: int, size: int) -> End:
    """Follow the chunks to the last one, IEND."""
    position = len(PNG_HEADER)
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 8, position)
        if head[4:] == b"IEND" or len(head) < 8:
            break
        position += 12 + int.from_bytes(head[:4], "big")
    _require_bytes(position + 12, size)
    return "whole"


def _check_jpeg(fd: int, size: int) -> End:
    """Look for the end marker near the end; phones append clips and data of their own behind it."""
    return _open_or_whole(JPEG_END not in os.pread(fd, TAIL_BYTES, max(0, size - TAIL_BYTES)))


def _check_aiff(fd: int, size: int) -> End:
    """Compare the size of the one chunk that holds all others with the file's."""
    claim = int.from_bytes(os.pread(fd, 4, 4), "big")
    if _is_placeholder(claim):
        return _open_or_whole(8 + claim != size)
    _require_bytes(8 + claim, size)
    return "whole"


def _check_caf(fd: int, size: int) -> End:
    """Find the data chunk: it must end within the file, unless its size is -1 (Apple's CAF specification)."""
    position = 8
    for _ in range(MAX_BOXES):
        head = os.pread(fd, 12, position)
        if len(head) < 12:
            break
        kind, length = struct.unpack(">4sq", head)
        if kind == b"data" and length == -1:
            return "open"
        if length < 0:
            break
        position += 12 + length
        _require_bytes(position, size)
        if kind == b"data":
            return "whole"
    raise NotReady("still_copying", bytes=size)


def _check_mxf(fd: int, size: int) -> End:
    """Look whether the footer that the first partition names has come (SMPTE ST 377-1, 7.1); 0: not known yet."""
    head = os.pread(fd, 64, 0)
    start = 17 + (head[16] & 0x7F if head[16:17] > b"\x80" else 0)  # after the key and the BER length
    footer = int.from_bytes(head[start + 24 : start + 32], "big")
    _require_bytes(footer + len(MXF_PARTITION), size)
    return _open_or_whole(footer == 0)


def _check_matroska(fd: int, size: int) -> End:
    """Compare the segment's size, where it is known, with the file's."""
    head = os.pread(fd, 4096, 0)
    length, width = _ebml_size(head[4:])
    start = 4 + width + (length or 0)
    segment = head[start : start + 12]
    if segment[:4] == MATROSKA_SEGMENT:
        length, width = _ebml_size(segment[4:])
        if length is None:  # a recorder that never went back to the beginning
            return "open"
        _require_bytes(start + 4 + width + length, size)
    return "whole"


def _ebml_size(data: bytes) -> tuple[int | None, int]:
    """Return an EBML number (None: unknown) and the bytes it takes (RFC 8794, section 4)."""
    if not data or not data[0]:
        return None, 1
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width


def _check_ogg(fd: int, size: int) -> End:
    """Look at the last page (RFC 3533, section 6): a stream's last one says so."""
    tail = _tail(fd, size)
    at = tail.rfind(b"OggS\0")
    if at < 0 or len(tail) < at + 27:
        return "cut" if at >= 0 else "open"
    lacing = tail[at + 27 : at + 27 + tail[at + 26]]
    if len(lacing) < tail[at + 26] or len(tail) < at + 27 + len(lacing) + sum(lacing):
        return "cut"
    return _open_or_whole(not tail[at + 5] & 4)


def _check_flac(fd: int, size: int, start: int = 0) -> End:
    """Compare the last frame's number with the samples that the stream's beginning names (RFC 9639, 8.2 and 9.1)."""
    facts = os.pread(fd, 26, start).ljust(26, b"\0")
    block, longest = int.from_bytes(facts[10:12], "big"), int.from_bytes(facts[15:18], "big")
    total = int.from_bytes(facts[21:26], "big") & ((1 << 36) - 1)
    tail = _tail(fd, size)
    starts = (found.start() for found in re.finditer(b"\xff[\xf8\xf9]", tail))
    ends = [end for at in starts if (end := _flac_frame_end(tail[at : at + 16].ljust(16, b"\0"), block))]
    if not total or not ends:
        return _open_or_whole(longest < TAIL_BYTES)
    return "whole" if max(ends) >= total else "cut"  # some bytes within a frame look like a beginning


def _flac_frame_end(head: bytes, fixed_block: int) -> int | None:
    """Return the number of the sample after a frame, None if no frame begins here. `fixed_block`: samples in most."""
    if not head[2] >> 4 or head[2] & 15 == 15 or head[3] >> 4 > 10 or head[3] & 1:
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # the number is coded as in UTF-8
    at, number = 5 + max(0, ones - 1), head[4] & 0xFF >> ones
    for byte in head[5:at]:
        number = number << 6 | byte & 0x3F
    code, rate = head[2] >> 4, head[2] & 15
    samples = {1: 192, 6: head[at] + 1, 7: int.from_bytes(head[at : at + 2], "big") + 1}.get(code)
    samples = samples or (576 << code - 2 if code < 6 else 256 << code - 8)
    at += (code in (6, 7)) + (code == 7) + (rate in (12, 13, 14)) + (rate in (13, 14))
    if at > 15 or _crc8(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * fixed_block) + samples


def _crc8(data: bytes) -> int:
    """Return the checksum of a FLAC frame's header: x⁸ + x² + x + 1."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value << 1 & 0xFF ^ (7 if value & 0x80 else 0)
    return value


def _is_mp3_frame(head: bytes) -> bool:
    return head[:1] == b"\xff" and head[1:2] > b"\xe1" and head[1] & 6 == 2


def _check_mp3(fd: int, size: int) -> End:
    """Compare the bytes that the first frame names, if it does ("Xing", "Info", "VBRI"), with the file's."""
    start, frame = 0, os.pread(fd, 64, 0)
    for _ in range(MAX_TAGS):
        if frame[:3] != b"ID3":
            break
        start += 10 + sum((byte & 0x7F) << 7 * n for n, byte in enumerate(reversed(frame[6:10])))  # 7 bits a byte
        frame = os.pread(fd, 64, start)
    if frame[:4] == b"fLaC":
        return _check_flac(fd, size, start)
    if start >= size:
        return "cut"
    if not _is_mp3_frame(frame) or len(frame) < 64:
        return "whole"
    mono, first_version = frame[3] >> 6 == 3, frame[1] & 0x18 == 0x18
    at = 4 + ((17 if mono else 32) if first_version else (9 if mono else 17))
    claim = 0
    if frame[at : at + 4] in (b"Xing", b"Info") and frame[at + 7] & 2:
        at += 8 + 4 * (frame[at + 7] & 1)
        claim = int.from_bytes(frame[at : at + 4], "big")
    elif frame[36:40] == b"VBRI":
        claim = int.from_bytes(frame[46:50], "big")
    return "cut" if start + claim > size + LOST_MP3_BYTES else "whole"


def _check_asf(fd: int, size: int) -> End:
    """Look where the data object ends, which follows the header (ASF specification, 5.1); 0: not known."""
    data = int.from_bytes(os.pread(fd, 8, 16), "little")
    if data >= size:
        return "cut"
    claim = int.from_bytes(os.pread(fd, 8, data + 16), "little")
    return "cut" if data + claim > size else _open_or_whole(claim == 0)


def _check_flv(fd: int, size: int) -> End:
    """Compare the size that the metadata names, if it does, with the file's; 0: not known."""
    head = os.pread(fd, FLV_METADATA_BYTES, 0)
    at = head.find(b"filesize\0") + 9
    if at < 9 or len(head) < at + 8:
        return "whole"
    claim = struct.unpack(">d", head[at : at + 8])[0]
    return "cut" if claim > size else _open_or_whole(claim == 0)


def _check_gif(fd: int, size: int) -> End:
    """Look whether the last byte is the trailer."""
    return "whole" if _tail(fd, size).rstrip(b"\0").endswith(b";") else "cut"


def _check_w64(fd: int, size: int) -> End:
    """Compare the size of the whole with the file's."""
    claim = int.from_bytes(os.pread(fd, 8, 16), "little")
    if claim == 0 or claim >> 62:
        return "open"
    return "cut" if claim > size else "whole"


CHECKS: dict[bytes, Callable[[int, int], End]] = {
    b"caff": _check_caf,
    MXF_PARTITION: _check_mxf,
    EBML_HEADER: _check_matroska,
    b"OggS": _check_ogg,
    b"fLaC": _check_flac,
    b"ID3": _check_mp3,
    ASF_HEADER: _check_asf,
    b"FLV\1": _check_flv,
    b"GIF8": _check_gif,
    W64_RIFF: _check_w64,
}
"""By what a file begins with."""
