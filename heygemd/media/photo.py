"""Photographs: which a file is, by its first bytes, and how it is shown. A decoder proves that it can be.

ffmpeg decodes them. For HEIC, which older ones cannot put together, and for colour profiles, which it ignores,
`photo_reader` makes a PNG of them first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from ..config.schema import Limits
from ..errors import InputError
from . import ffmpeg, probe, process, sandbox
from .probe import Facts, VideoStream

HEAD_BYTES = 16
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
HEIF = "heif"
PNG_BYTES_A_PIXEL = 5
"""More than RGBA takes, compressed or not."""
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
    """Return ffmpeg's demuxer for a photograph that begins with `head` (HEAD_BYTES), HEIF, or "" for any other file."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return HEIF
    return next((demuxer for magic, demuxer in MAGIC.items() if head.startswith(magic)), "")


def is_photo(path: Path) -> bool:
    """Return whether a local file begins as a photograph does."""
    return bool(demuxer_of(_head(path)))


def check_open(file: int, limits: Limits) -> None:
    """Decode the photograph open at a descriptor. Raises as `probe_photo`."""
    head = os.pread(file, HEAD_BYTES, 0)
    with probe.neutral_name() as path:
        if demuxer_of(head) == HEIF:
            _read(path, None, limits, file)
        else:
            _probe(path, head, limits, file)


def probe_photo(path: Path, limits: Limits) -> Photo:
    """Decode a photograph that `displayable` returned.

    Raises InputError("photo_unreadable" | "photo_too_large") and the other faults of `probe.probe`.
    """
    return _probe(path, _head(path), limits)


def displayable(path: Path, target: Path, limits: Limits) -> Path:
    """Return `path`, or the PNG `target` made of it if ffmpeg cannot show it as it is. Raises as `probe_photo`."""
    ours = demuxer_of(_head(path)) == HEIF
    # What Pillow does not understand of other formats, ffmpeg may.
    with contextlib.nullcontext() if ours else contextlib.suppress(InputError):
        _read(path, target, limits)
        return target if target.exists() else path
    return path


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(HEAD_BYTES)


def _read(path: Path, target: Path | None, limits: Limits, stdin: int | None = None) -> None:
    """Run `photo_reader`, in the sandbox if it is to write nothing (the renderer is confined already)."""
    most = limits.max_photo_pixels
    program = [sys.executable, "-m", "heygemd.media.photo_reader", str(path), str(most)]
    argv = ffmpeg.limited([*program, str(target)] if target else program, PNG_BYTES_A_PIXEL * most if target else 0)
    try:
        process.run(argv if target else sandbox.confined(argv), limits.probe_timeout_s, stdin=stdin)
    except InputError as error:
        raise _refused(error.detail, limits) from None


def _probe(path: Path, head: bytes, limits: Limits, stdin: int | None = None) -> Photo:
    demuxer = demuxer_of(head)
    if not demuxer:
        raise InputError("photo_unreadable", "neither JPEG, PNG, WebP, BMP nor HEIC")
    options = ("-err_detect", "explode", "-read_intervals", "%+#1", "-show_streams", "-show_frames")
    argv = ffmpeg.probe_command(path, *options, max_pixels=limits.max_photo_pixels, photo=demuxer)
    try:
        shown, said = process.capture(argv, limits.probe_timeout_s, stdin=stdin)
    except InputError as error:
        raise _refused(error.detail, limits) from None
    facts: Facts = json.loads(shown.decode("utf-8", "replace") or "{}")
    streams, frames = facts.get("streams", []), facts.get("frames", [])
    if len(streams) != 1 or len(frames) != 1:
        raise _refused(said, limits)
    return Photo(demuxer, _stream(streams[0], frames[0]))


def _refused(said: str, limits: Limits) -> InputError:
    if size := TOO_LARGE.search(said):
        megapixels, limit = (round(pixels / 1e6) for pixels in (int(size[1]) * int(size[2]), limits.max_photo_pixels))
        return InputError("photo_too_large", said, megapixels=megapixels, limit=limit)
    return InputError("photo_unreadable", said)


def _stream(stream: Facts, frame: Facts) -> VideoStream:
    """Return the stream as its decoded frame shows it: only that tells its orientation and colour."""
    found = probe.video_stream({**frame, "index": stream["index"], "codec_name": stream.get("codec_name", "")})
    orientation = str(frame.get("tags", {}).get("Orientation", "")).strip()
    if (found.rotation or found.mirrored) or orientation not in EXIF_ORIENTATIONS:
        return found
    rotation, mirrored = EXIF_ORIENTATIONS[orientation]
    return replace(found, rotation=rotation, mirrored=mirrored)
