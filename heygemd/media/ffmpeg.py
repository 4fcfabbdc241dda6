"""Builds every ffmpeg and ffprobe command line; `process` runs them. Nothing else in the package starts either.

Every input has protocol and format whitelists and size limits: libavformat would otherwise follow a playlist disguised
as a video to other files and hosts. Every process has resource limits and dies with its parent.
"""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from ..errors import InfrastructureError
from . import sandbox

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mxf,asf,flv,live_flv,gif,"
    "wav,w64,mp3,flac,ogg,aac,aiff,caf,amr,ac3,eac3"
)
PHOTO_FORMATS = "jpeg_pipe,png_pipe,webp_pipe,bmp_pipe"
MAX_STREAMS = 32
MAX_PIXELS = 8192 * 4320
THREADS = min(8, len(os.sched_getaffinity(0)))
OPEN_FILES = 256
ADDRESS_SPACE_BYTES = 12 << 30
CPU_BASE_S = 600
CPU_PER_MEDIA_S = 200
NICE = 5
MOVFLAGS = "+faststart"
MIN_GAP_S = 0.015
"""Smaller steps in a sound's times are jitter of the recorder's clock. The shortest gap is a lost packet, 20 ms."""

Stream = Any
"""A node of ffmpeg-python's graph; that package has no types."""
Filters = tuple[tuple[str, tuple[object, ...], Mapping[str, object]], ...]
"""Filters one after the other: the name, arguments, options."""
MAX_DELIVERED_CHANNELS = 8
"""AAC in MP4 holds no more; a recording with more is delivered as the mix."""


def media(path: Path, *, max_pixels: int = MAX_PIXELS, photo: str = "", **options: Any) -> Stream:
    """Return a local file as input; `options` precede it (for example `t`, seconds).

    photo  the demuxer of a photograph, one of PHOTO_FORMATS
    """
    return ffmpeg.input(f"file:{path.absolute()}", threads=THREADS, **_input_limits(max_pixels, photo), **options)


def sound(path: Path, index: int, **options: Any) -> Stream:
    """Return a local file's stream at its own times from the file's start on: silence where it has gaps or starts late.

    ffmpeg otherwise plays samples one after the other, whatever their times say, and counts from the first stream that
    is used where the format is MPEG-TS: not so with an offset, be it a microsecond.
    """
    source = media(path, itsoffset="0.000001", **options)[str(index)]
    return source.filter("aresample", **{"async": 1, "first_pts": 0, "min_hard_comp": MIN_GAP_S})


def delivered(path: Path, index: int, channels: int, mix: Sequence[float]) -> Stream:
    """Return a recording's sound as it goes into the output: all its channels, or their mix if there are too many."""
    stream = sound(path, index)
    if channels <= MAX_DELIVERED_CHANNELS:
        return stream
    shares = "+".join(f"{share:.5f}*c{number}" for number, share in enumerate(mix) if share)
    return stream.filter("pan", f"mono|c0<{shares}")  # not "=", which would be escaped


def stereo(stream: Stream, channels: int, rate: int) -> Stream:
    """Return a stream of `channels` channels in stereo: a single one is heard on both sides as loud as it is."""
    if channels == 1:
        stream = stream.filter("pan", "stereo|c0<c0|c1<c0")
    return stream.filter("aformat", sample_rates=rate, channel_layouts="stereo")


def filtered(stream: Stream, filters: Filters) -> Stream:
    """Return a stream after several filters."""
    for name, arguments, options in filters:
        stream = stream.filter(name, *arguments, **options)
    return stream


def joined(streams: Sequence[Stream], name: str, **options: Any) -> Stream:
    """Return the output of a filter with several inputs."""
    return ffmpeg.filter(list(streams), name, **options)


def raw_sound(path: Path, rate: int, channels: int) -> Stream:
    """Return a file of ours with raw float32 samples as input."""
    limits = {"protocol_whitelist": "file", "format_whitelist": "f32le"}
    return ffmpeg.input(f"file:{path.absolute()}", format="f32le", ar=rate, ac=channels, **limits)


def raw_video(width: int, height: int, fps: Fraction, **options: Any) -> Stream:
    """Return standard input as raw yuv420p frames; `options` are their colour tags."""
    size, rate = f"{width}x{height}", f"{fps.numerator}/{fps.denominator}"
    pipe = {"protocol_whitelist": "pipe", "format_whitelist": "rawvideo"}
    return ffmpeg.input("pipe:0", format="rawvideo", pix_fmt="yuv420p", s=size, framerate=rate, **pipe, **options)


def srt(path: Path) -> Stream:
    """Return a SubRip file of ours as input."""
    limits = {"protocol_whitelist": "file", "format_whitelist": "srt"}
    return ffmpeg.input(f"file:{path.absolute()}", format="srt", sub_charenc="UTF-8", **limits)["s"]


def to_pipe(*streams: Stream, **options: Any) -> Stream:
    """Return an output that writes `streams` to standard output."""
    return ffmpeg.output(*streams, "pipe:1", **_without_extras(options))


def frames_to_pipe(stream: Stream, **options: Any) -> Stream:
    """Return an output that writes raw frames to standard output. More threads would only pass copies around."""
    return to_pipe(stream, format="rawvideo", threads=1, **options)


def to_file(*streams: Stream, path: Path, max_bytes: int, **options: Any) -> Stream:
    """Return an output that writes `streams` to a local file; ffmpeg stops at `max_bytes`."""
    return ffmpeg.output(*streams, f"file:{path.absolute()}", fs=max_bytes, **_without_extras(options))


def to_mp4(*streams: Stream, path: Path, max_bytes: int, **options: Any) -> Stream:
    """Return an output that writes `streams` to an MP4 that can be played while it is loaded; else as `to_file`."""
    return to_file(*streams, path=path, max_bytes=max_bytes, format="mp4", movflags=MOVFLAGS, **options)


def command(
    output: Stream, *, media_s: float = 0.0, max_bytes: int | None = None, gpu: bool = False, log: str = "error"
) -> list[str]:
    """Return the argv of ffmpeg for one output.

    media_s    seconds of media to decode or encode: sets the limit on CPU time
    max_bytes  largest file that the process may write
    gpu        the process maps a GPU, so its address space is not limited
    """
    flags = ["-nostdin", "-hide_banner", "-v", log, "-y"]
    return [*_limited(media_s, max_bytes, gpu), _binary("ffmpeg"), *flags, *ffmpeg.get_args(output)]


def probe_command(path: Path, *options: str, max_pixels: int = MAX_PIXELS, photo: str = "") -> list[str]:
    """Return the argv of ffprobe for a local file, in the sandbox; `options` select what it shows; else as `media`."""
    limits = [part for key, value in _input_limits(max_pixels, photo).items() for part in (f"-{key}", str(value))]
    show = ["-hide_banner", "-v", "error", "-of", "json", *options]
    argv = [*_limited(0, 0, gpu=False), _binary("ffprobe"), *show, *limits, f"file:{path.absolute()}"]
    return sandbox.confined(argv)


def limited(program: Sequence[str], max_bytes: int) -> list[str]:
    """Return the argv of another decoder under ffmpeg's limits; it may write files of `max_bytes`."""
    return [*_limited(0, max_bytes, gpu=False), *program]


def _input_limits(max_pixels: int, photo: str = "") -> dict[str, Any]:
    """Return the options that bound an input. The name of a photograph never chooses how it is read."""
    forced = {"f": photo, "format_whitelist": PHOTO_FORMATS} if photo else {}
    limits = {
        "protocol_whitelist": "file",
        "format_whitelist": FORMATS,
        "max_pixels": max_pixels,
        "max_streams": MAX_STREAMS,
        "probesize": 32_000_000,
        "analyzeduration": 10_000_000,
    }
    return limits | forced


def _without_extras(options: dict[str, Any]) -> dict[str, Any]:
    """Drop subtitles without a codec for them, data, and the input's metadata and chapters."""
    no_subtitles = {} if "c:s" in options else {"sn": None}
    return {**no_subtitles, "dn": None, "map_metadata": -1, "map_chapters": -1, **options}


@functools.lru_cache(maxsize=8)
def _binary(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise InfrastructureError("ffmpeg_missing", program=name)
    return found


def limiters() -> dict[str, str | None]:
    """Return the programs that limit ffmpeg, and their paths (None: missing, ffmpeg then runs without it)."""
    return {name: shutil.which(name) for name in ("prlimit", "setpriv", "nice")}


@functools.lru_cache(maxsize=1)
def _limiters() -> dict[str, str | None]:
    return limiters()


def _limited(media_s: float, max_bytes: int | None, gpu: bool) -> list[str]:
    """Return the argv in front of ffmpeg: resource limits, death with the parent, niceness. All exec: one process."""
    found = _limiters()
    argv: list[str] = []
    if found["prlimit"]:
        limits = {"cpu": CPU_BASE_S + int(CPU_PER_MEDIA_S * media_s), "nofile": OPEN_FILES, "core": 0}
        if not gpu:
            limits["as"] = ADDRESS_SPACE_BYTES
        if max_bytes is not None:
            limits["fsize"] = max_bytes
        argv += [found["prlimit"], *(f"--{name}={_allowed(name, value)}" for name, value in limits.items()), "--"]
    if found["setpriv"]:
        argv += [found["setpriv"], "--pdeathsig", "KILL", "--no-new-privs", "--"]
    if found["nice"]:
        argv += [found["nice"], "-n", str(_to_nice())]
    return argv


def be_nice() -> None:
    """Give this process the niceness of ffmpeg: whoever feeds the encoder must not take its turns.

    It and all that it starts are also scheduled as batch work: threads that hand frames on need not interrupt each
    other at once, which costs a render 4 % of its time.
    """
    os.nice(_to_nice())
    with contextlib.suppress(PermissionError):  # a sandbox's filter of system calls
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _to_nice() -> int:
    return max(0, NICE - os.nice(0))


def _allowed(name: str, value: int) -> int:
    """Return `value`, but not more than the hard limit, which only root may raise."""
    hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


@functools.lru_cache(maxsize=2)
def _listed(kind: str) -> set[str]:
    listing = subprocess.run([_binary("ffmpeg"), "-hide_banner", f"-{kind}"], capture_output=True, check=False)
    return {line.split()[1] for line in listing.stdout.decode().splitlines() if len(line.split()) > 2}


def has_filter(name: str) -> bool:
    """Return whether this ffmpeg was built with a filter."""
    return name in _listed("filters")


def has_decoder(name: str) -> bool:
    """Return whether this ffmpeg was built with a decoder."""
    return name in _listed("decoders")
