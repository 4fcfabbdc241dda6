"""Photographs: which a file is, by its first bytes, and how it is shown. ffprobe decodes it: that is the only proof."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..config.schema import Limits
from ..errors import InputError
from . import ffmpeg, probe, process
from .probe import Facts, VideoStream

HEAD_BYTES = 16
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
MAGIC = {b"\xff\xd8\xff": "jpeg_pipe", b"\x89PNG\r\n\x1a\n": "png_pipe", b"BM": "bmp_pipe"}
TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+) (?:exceeds|is invalid)")
EXIF_ORIENTATIONS = {
    "2": (180, True),
    "3": (180, False),
    "4": (0, True),
    "5": (270, True),
    "6": (270, False),
    "7": (90, True),
    "8": (90, False),
}
"""A stream's (rotation, mirrored) by EXIF orientation, which WebP's decoder only names."""


@dataclass(frozen=True)
class Photo:
    """A photograph that can be decoded; `demuxer` is ffmpeg's name of its format."""

    demuxer: str
    stream: VideoStream


def demuxer_of(head: bytes) -> str:
    """Return ffmpeg's demuxer for a photograph that begins with `head` (HEAD_BYTES), "" for any other file."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return "mov"
    return next((demuxer for magic, demuxer in MAGIC.items() if head.startswith(magic)), "")


def is_photo(path: Path) -> bool:
    """Return whether a local file begins as a photograph does."""
    with open(path, "rb") as file:
        return bool(demuxer_of(file.read(HEAD_BYTES)))


def probe_open(file: int, limits: Limits) -> Photo:
    """As `probe_photo`, for the file open at a descriptor."""
    with probe.neutral_name() as path:
        return _probe(path, os.pread(file, HEAD_BYTES, 0), limits, stdin=file)


def probe_photo(path: Path, limits: Limits) -> Photo:
    """Decode a photograph.

    Raises InputError("photo_unreadable" | "photo_heic" | "photo_too_large") and the other faults of `probe.probe`.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    return _probe(path, head, limits)


def _probe(path: Path, head: bytes, limits: Limits, stdin: int | None = None) -> Photo:
    demuxer = demuxer_of(head)
    if not demuxer:
        raise InputError("photo_unreadable", "neither JPEG, PNG, WebP, BMP nor HEIC")
    options = ("-err_detect", "explode", "-read_intervals", "%+#1", "-show_streams", "-show_frames")
    argv = ffmpeg.probe_command(path, *options, max_pixels=limits.max_photo_pixels, photo=demuxer)
    try:
        shown, said = process.capture(argv, limits.probe_timeout_s, stdin=stdin)
    except InputError as error:
        raise _refused(error.detail, limits, demuxer) from None
    facts: Facts = json.loads(shown.decode("utf-8", "replace") or "{}")
    streams, frames = facts.get("streams", []), facts.get("frames", [])
    if len(streams) != 1 or len(frames) != 1:  # HEIC from phones: tiles that older ffmpegs do not put together
        raise _refused(said, limits, demuxer)
    return Photo(demuxer, _stream(streams[0], frames[0]))


def _refused(said: str, limits: Limits, demuxer: str) -> InputError:
    if size := TOO_LARGE.search(said):
        megapixels, limit = (round(pixels / 1e6) for pixels in (int(size[1]) * int(size[2]), limits.max_photo_pixels))
        return InputError("photo_too_large", said, megapixels=megapixels, limit=limit)
    return InputError("photo_heic" if demuxer == "mov" else "photo_unreadable", said)


def _stream(stream: Facts, frame: Facts) -> VideoStream:
    """Return the stream as its decoded frame shows it: only that tells its orientation and colour."""
    found = probe.video_stream({**frame, "index": stream["index"], "codec_name": stream.get("codec_name", "")})
    orientation = str(frame.get("tags", {}).get("Orientation", "")).strip()
    if (found.rotation or found.mirrored) or orientation not in EXIF_ORIENTATIONS:
        return found
    rotation, mirrored = EXIF_ORIENTATIONS[orientation]
    return replace(found, rotation=rotation, mirrored=mirrored)
