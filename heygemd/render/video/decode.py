"""Decodes any video into upright 8-bit 4:2:0 frames with square pixels at a constant rate, and small ones for analysis.

Frames stay raw yuv420p, so that unchanged samples are never converted. The source's matrix and range are kept and
passed on as tags; high dynamic range is tone-mapped to BT.709, and transparent parts are put on white.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config.schema import Limits
from ...errors import InputError
from ...media import completeness, ffmpeg, packets, photo, probe
from ...media.probe import MediaInfo, VideoStream
from ...media.process import ProcessEnd, Reader
from ..scene import Finding, Image
from ..stages import Prefetch

Frame = NDArray[np.uint8]
"""(width * height * 3 // 2,) uint8: the planes Y, U, V one after the other; `planes` returns views of them. One that
is shown more than once is read-only; any other belongs to whoever it is passed to."""

ANALYSIS_SIDE = 640
"""Longest side of a small frame, pixels."""
SMALL_FRAMES_AHEAD = 8
"""How many may wait to be tracked: a pipe holds one or two, and a decoder that waits leaves a core idle."""
STANDARD_FPS = [Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120, 240)] + [
    Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)
]
STANDARD_WITHIN, ROUNDED_WITHIN = Fraction(2, 100), Fraction(1, 5000)
"""A rate this close to a standard one becomes it: the first for variable rates, the second for constant ones whose
container rounds times (Matroska)."""
MIN_VARIABLE_FPS, MIN_FPS, FALLBACK_FPS = Fraction(18), Fraction(10), Fraction(25)
"""A variable rate below the first (screen recordings, sparse frames) and a constant one below the second (a photograph
as a video, often at one frame a second) become the third: lip motion needs it."""
PHOTO_FPS = Fraction(25)
MAX_PHOTO_PIXELS, MAX_PHOTO_SIDE = 3840 * 2160, 3840
"""A photograph with more becomes a video of this size: few players show more."""
SCALED_FROM = 1.05
"""A photograph with so many times the video's pixels was scaled; odd sides lose a line."""
MAX_SAMPLE_ASPECT = 4
"""A pixel aspect ratio beyond this is taken for an error in the file."""
KEPT_MATRICES = {"bt709", "smpte170m", "bt470bg", "fcc", "smpte240m", "bt2020nc"}
REFERENCE_WHITE_NITS, PEAK_NITS = 203, 10_000
"""HDR's reference white, which is HLG at 75 % and PQ at 58 % (ITU-R BT.2408, table 1), and PQ's peak."""
KNEE = 0.5
"""Up to this share of reference white, linear light is kept; above, highlights are rolled off as far as PEAK_NITS, so
that nothing clips: reference white becomes 89 % of SDR white, HLG's peak 98 %."""
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""ffmpeg's own decoders of these codecs drop transparency."""
ALPHA_FORMAT = re.compile("yuva|gbrap|rgba|bgra|argb|abgr|ya8|ya16|pal8")
ALPHA_CHECKED_S, OPAQUE = 1.0, 250
UPRIGHT: dict[tuple[int, bool], list[tuple[str, ...]]] = {
    (270, False): [("transpose", "clock")],
    (180, False): [("hflip",), ("vflip",)],
    (90, False): [("transpose", "cclock")],
    (0, True): [("vflip",)],
    (270, True): [("transpose", "cclock_flip")],
    (180, True): [("hflip",)],
    (90, True): [("transpose", "clock_flip")],
}
"""Filters by a stream's (rotation, mirrored)."""
TOLD_S = 0.2
"""A beginning that cannot be decoded and is shorter is not worth a remark: a few frames around the first keyframe."""
MAX_SELECTED = 64
"""ffmpeg accepts expressions of a few hundred terms at most."""


@dataclass(frozen=True)
class Picture:
    """A video as the pipeline decodes it.

    width, height                 even, upright, square pixels
    fps                           constant
    matrix, primaries, transfer   as in the source, "" if untagged; BT.709 after tone mapping
    stream                        its size is that of most frames
    expected_frames               by the video's own duration; fewer may be decoded
    cut_short                     the end of the file is missing
    """

    path: Path
    stream: VideoStream
    width: int
    height: int
    fps: Fraction
    matrix: str
    primaries: str
    transfer: str
    full_range: bool
    expected_frames: int
    max_pixels: int = ffmpeg.MAX_PIXELS
    cut_short: bool = False
    photo: str = ""
    """Of a photograph, the one frame of which is shown all the time: its demuxer."""
    info: MediaInfo | None = None
    """What else is in a video that people gave: its own sound."""

    @property
    def frame_bytes(self) -> int:
        """Size of a Frame in bytes."""
        return self.width * self.height * 3 // 2

    @property
    def small_size(self) -> tuple[int, int]:
        """(width, height) of an analysis frame."""
        return self.size_within(ANALYSIS_SIDE)

    def size_within(self, side: int) -> tuple[int, int]:
        """Return the even (width, height) of the same shape whose longer side is at most `side`."""
        shrink = min(1.0, side / max(self.width, self.height))
        return max(2, round(self.width * shrink / 2) * 2), max(2, round(self.height * shrink / 2) * 2)

    @property
    def alpha(self) -> bool:
        """Whether its pixels have transparency, as far as this ffmpeg can decode it."""
        return ALPHA_FORMAT.match(self.stream.pix_fmt) is not None or self.alpha_decoder is not None

    @property
    def alpha_decoder(self) -> str | None:
        """The decoder that must be named to get the transparency."""
        name = ALPHA_DECODERS.get(self.stream.codec) if self.stream.alpha_mode else None
        return name if name and ffmpeg.has_decoder(name) else None

    @property
    def alpha_unreadable(self) -> bool:
        """Whether it has transparency that this ffmpeg cannot decode."""
        return self.stream.alpha_mode and not self.alpha

    @property
    def range(self) -> str:
        """The range as swscale names it."""
        return "full" if self.full_range else "limited"


def planes(frame: Frame, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return views (h, w), (h/2, w/2), (h/2, w/2) of a frame's Y, U, V."""
    luma, chroma = width * height, width * height // 4
    y, u, v = frame[:luma], frame[luma : luma + chroma], frame[luma + chroma :]
    half = (height // 2, width // 2)
    return y.reshape(height, width), u.reshape(half), v.reshape(half)


def describe_video(path: Path, limits: Limits) -> Picture:
    """Probe a video and look into it to decide how it is decoded: its headers may be wrong.

    Raises InputError as `probe`, or InputError("no_video" | "picture_too_small").
    """
    info = probe.probe(path, limits)
    if info.video is None:
        raise InputError("no_video")
    stream = probe.looked_into(path, info, limits)
    info = replace(info, video=stream)
    if stream.variable_rate or stream.avg_fps > limits.max_fps:
        fps = variable_rate(probe.typical_rate(path, stream, limits), limits.max_fps)
    else:
        fps = _nearest_standard(stream.real_fps, ROUNDED_WITHIN) or stream.real_fps
        fps = fps if fps >= MIN_FPS else FALLBACK_FPS
    duration_s = stream.duration_s
    if not duration_s and (info.audio is not None or stream.undecodable_s):  # the file's may be another
        duration_s = packets.span_s(packets.read(path, limits, stream.index))
    picture = _picture(path, stream, fps, (duration_s or info.duration_s) - stream.undecodable_s)
    cut_short = completeness.is_cut_short(path)
    return replace(picture, max_pixels=limits.max_pixels, cut_short=cut_short, info=info)


def describe_photo(path: Path, limits: Limits, scratch: Path) -> Picture:
    """Describe a photograph as a video of one frame, in BT.709 as most players expect. Raises as `probe_photo`.

    Where ffmpeg cannot show it as it is, a PNG of it is made in `scratch`.
    """
    path = photo.displayable(path, scratch / "photo.png", limits)
    found = photo.probe_photo(path, limits)
    picture = replace(_picture(path, found.stream, PHOTO_FPS, float(1 / PHOTO_FPS)), max_pixels=limits.max_photo_pixels)
    width, height = _within(picture.width, picture.height, min(MAX_PHOTO_PIXELS, limits.max_pixels))
    picture = replace(picture, width=width, height=height, photo=found.demuxer)
    return replace(picture, matrix="bt709", primaries="bt709", transfer="bt709", full_range=False)


def _within(width: int, height: int, pixels: int) -> tuple[int, int]:
    """Return the even size of the same shape that has at most so many pixels and sides of MAX_PHOTO_SIDE."""
    shrink = min(1.0, (pixels / (width * height)) ** 0.5, MAX_PHOTO_SIDE / max(width, height))
    return tuple(max(2, int(side * shrink) // 2 * 2) for side in (width, height))  # type: ignore[return-value]


def describe_encoded(picture: Picture, frames: int, path: Path) -> Picture:
    """Describe the file that we made of so many frames of `picture`."""
    stream = VideoStream(
        index=0, codec="h264", width=picture.width, height=picture.height, rotation=0, mirrored=False,
        sample_aspect=Fraction(1), avg_fps=picture.fps, real_fps=picture.fps, start_s=0.0,
        duration_s=float(frames / picture.fps), pix_fmt="yuvj420p" if picture.full_range else "yuv420p", bit_depth=8,
        matrix=picture.matrix, primaries=picture.primaries, transfer=picture.transfer,
        range="pc" if picture.full_range else "tv", interlaced=False,
    )  # fmt: skip
    return _picture(path, stream, picture.fps, stream.duration_s)


def _picture(path: Path, stream: VideoStream, fps: Fraction, duration_s: float) -> Picture:
    width, height = _square_pixel_size(stream)
    tags = (stream.matrix, stream.primaries, stream.transfer)
    full = stream.range == "pc"
    if stream.hdr or _is_rgb(stream) or (stream.matrix and stream.matrix not in KEPT_MATRICES):
        tags, full = ("bt709", "bt709", "bt709"), False
    return Picture(path, stream, width, height, fps, *tags, full, round(duration_s * fps))


def _square_pixel_size(stream: VideoStream) -> tuple[int, int]:
    """Return the upright (width, height) with square pixels, even; no axis shrinks by more than a pixel."""
    width, height, aspect = stream.width, stream.height, stream.sample_aspect
    if not Fraction(1, MAX_SAMPLE_ASPECT) <= aspect <= MAX_SAMPLE_ASPECT:
        aspect = Fraction(1)
    wide, tall = (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))
    if stream.rotation % 180 == 90:
        wide, tall = tall, wide
    if min(wide, tall) < 16:
        raise InputError("picture_too_small", width=wide, height=tall)
    return wide // 2 * 2, tall // 2 * 2


def variable_rate(typical: Fraction, max_fps: float) -> Fraction:
    """Return the constant rate for a video whose frames mostly come at the rate `typical` (0: unknown)."""
    if typical < MIN_VARIABLE_FPS:
        return FALLBACK_FPS
    return min(_nearest_standard(typical, STANDARD_WITHIN) or typical, Fraction(max_fps))


def _nearest_standard(rate: Fraction, within: Fraction) -> Fraction | None:
    nearest = min(STANDARD_FPS, key=lambda standard: abs(standard / rate - 1))
    return nearest if abs(nearest / rate - 1) <= within else None


def _is_rgb(stream: VideoStream) -> bool:
    return stream.pix_fmt.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "rgba", "bgra", "0rgb", "0bgr", "pal8"))


def findings(picture: Picture) -> list[Finding]:
    """Return what people should know about the video's resolution, colour, beginning and end."""
    found = []
    if min(picture.width, picture.height) < 720:
        found.append(Finding("below_720p", {"width": picture.width, "height": picture.height}))
    if picture.stream.hdr:
        found.append(Finding("hdr_tone_mapped" if _can_tone_map() else "hdr_not_tone_mapped", {}))
    if picture.cut_short:
        found.append(Finding("video_cut_short", {}))
    if picture.stream.undecodable_s >= TOLD_S:
        found.append(Finding("video_begins_late", {"seconds": round(picture.stream.undecodable_s, 1)}))
    if picture.alpha_unreadable:
        found.append(Finding("transparency_not_read", {}))
    elif picture.alpha and _is_transparent(picture):
        found.append(Finding("photo_on_white" if picture.photo else "transparent_on_white", {}))
    taken = picture.stream.width * picture.stream.height
    if picture.photo and taken > SCALED_FROM * picture.width * picture.height:
        megapixels = round(taken / 1e6)
        found.append(
            Finding("photo_scaled", {"width": picture.width, "height": picture.height, "megapixels": megapixels})
        )
    return found


@functools.lru_cache(maxsize=1)
def _can_tone_map() -> bool:
    return ffmpeg.has_filter("zscale") and ffmpeg.has_filter("tonemap")


def _is_transparent(picture: Picture) -> bool:
    """Return whether something in the first frames is transparent: many files have alpha and are opaque."""
    width, height = picture.small_size
    alpha = _source(picture, ALPHA_CHECKED_S)
    alpha = alpha.filter("format", "yuva444p").filter("alphaextract").filter("scale", width, height, flags="area")
    output = ffmpeg.frames_to_pipe(alpha, pix_fmt="gray")
    return any(int(frame.min()) < OPAQUE for frame in Decode(ffmpeg.command(output), width * height))


def _source(picture: Picture, limit_s: float) -> ffmpeg.Stream:
    """Return the video's stream as it is decoded, at the size of most frames.

    A size that changes midway would restart ffmpeg's filters and their clock; instead the first one scales.
    """
    stream = picture.stream
    options: dict[str, Any] = {"c:v": picture.alpha_decoder} if picture.alpha_decoder else {}
    until_s = round(limit_s + stream.start_s, 3)
    if picture.photo:  # phones put more pictures behind the first one
        options, until_s = {"photo": picture.photo}, float(1 / (2 * PHOTO_FPS))
    options |= {"max_pixels": picture.max_pixels, "t": until_s, "autorotate": 0, "reinit_filter": 0}
    file = ffmpeg.media(picture.path, **options)
    return file[str(stream.index)].filter("scale", stream.width, stream.height, flags="bicubic")


def _constant_rate_stream(picture: Picture, limit_s: float) -> ffmpeg.Stream:
    """Return the decoded stream upright at the constant rate, starting at time zero."""
    stream, source = _source(picture, limit_s), picture.stream
    if source.interlaced:
        stream = stream.filter("bwdif", mode="send_frame", deint="interlaced")
    for name, *arguments in UPRIGHT.get((source.rotation, source.mirrored), []):
        stream = stream.filter(name, *arguments)
    return stream.filter("setpts", "PTS-STARTPTS").filter("fps", f"{picture.fps.numerator}/{picture.fps.denominator}")


def _tone_mapped(stream: ffmpeg.Stream, picture: Picture) -> ffmpeg.Stream:
    """Return the stream with high dynamic range tone-mapped: a Möbius curve in linear light that keeps hues."""
    if not picture.stream.hdr or not _can_tone_map():
        return stream
    tagged = {"pin": "bt2020", "min": "bt2020nc", "tin": picture.stream.transfer}
    stream = stream.filter("zscale", t="linear", npl=REFERENCE_WHITE_NITS, **tagged).filter("format", "gbrpf32le")
    peak = PEAK_NITS / REFERENCE_WHITE_NITS
    stream = stream.filter("zscale", p="bt709").filter("tonemap", "mobius", param=KNEE, peak=peak, desat=0)
    return stream.filter("zscale", t="bt709", m="bt709", r="tv").filter("format", "yuv420p")


def _source_colour(picture: Picture) -> dict[str, str]:
    """Return swscale's options that keep range and matrix, or convert them to BT.709, limited."""
    stream = picture.stream
    if stream.hdr and _can_tone_map():
        return {"in_range": "limited", "out_range": "limited"}
    if _is_rgb(stream):
        return {"out_color_matrix": "bt709", "out_range": "limited"}
    options = {"in_range": "full" if stream.range == "pc" else "limited", "out_range": picture.range}
    if stream.matrix and stream.matrix != picture.matrix:
        options["out_color_matrix"] = picture.matrix.removesuffix("nc")  # swscale says bt2020
    return options


def _normalised(stream: ffmpeg.Stream, picture: Picture) -> ffmpeg.Stream:
    """Return the stream in the Picture's size and colour: cropped to even sides, scaled if pixels are not square."""
    stream = _tone_mapped(stream, picture).filter("crop", "trunc(iw/2)*2", "trunc(ih/2)*2", 0, 0)
    stream = stream.filter("scale", picture.width, picture.height, flags="bicubic", **_source_colour(picture))
    if picture.alpha:
        stream = _on_white(stream, picture)
    return stream.filter("setsar", 1).filter("format", "yuv420p")


def _on_white(stream: ffmpeg.Stream, picture: Picture) -> ffmpeg.Stream:
    """Return the stream in front of white, where it is transparent."""
    layers = stream.filter("format", "yuva420p").filter_multi_output("split")
    white = layers[0].filter("format", "yuv420p").filter("lutyuv", y=255 if picture.full_range else 235, u=128, v=128)
    return white.overlay(layers[1], format="yuv420")


class Decode(Iterator[NDArray[np.uint8]]):
    """Iterates over buffers of `size` bytes, (size,) uint8, from ffmpeg.

    ffmpeg starts with the first buffer, in the thread that asks for it. `ended` is set after the last one.
    """

    def __init__(self, argv: list[str], size: int) -> None:
        self._argv, self._size = argv, size
        self._reader: Reader | None = None
        self.ended: ProcessEnd | None = None

    def __next__(self) -> NDArray[np.uint8]:
        if self.ended is not None:
            raise StopIteration
        if self._reader is None:
            self._reader = Reader(self._argv)
        buffer = np.empty(self._size, np.uint8)
        if self._reader.read_into(buffer.data) == self._size:
            return buffer
        self.ended = self._reader.wait()
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Kill ffmpeg if it still runs."""
        if self._reader is not None:
            self._reader.close()

    def __del__(self) -> None:
        self.close()


def frames(picture: Picture, limit: int | None = None) -> Decode:
    """Return an iterator over all frames (the first `limit`) at full size."""
    limit_s = _limit_s(picture, limit)
    stream = _normalised(_constant_rate_stream(picture, limit_s), picture)
    output = ffmpeg.frames_to_pipe(stream, **_first(limit))
    return Decode(ffmpeg.command(output, media_s=limit_s), picture.frame_bytes)


def chosen_frames(picture: Picture, wanted: list[int]) -> Iterator[tuple[int, Frame]]:
    """Yield (number, frame) at full size for the ascending numbers `wanted`; ffmpeg selects up to MAX_SELECTED."""
    if not wanted:
        return
    if len(wanted) > MAX_SELECTED:
        chosen = frozenset(wanted)
        yield from (pair for pair in enumerate(frames(picture, wanted[-1] + 1)) if pair[0] in chosen)
        return
    limit_s = _limit_s(picture, wanted[-1] + 1)
    stream = _constant_rate_stream(picture, limit_s).filter("select", "+".join(f"eq(n,{number})" for number in wanted))
    # Close the gaps, or ffmpeg fills them with copies.
    stream = stream.filter("setpts", f"N*{picture.fps.denominator}/({picture.fps.numerator}*TB)")
    output = ffmpeg.frames_to_pipe(_normalised(stream, picture), vframes=len(wanted))
    yield from zip(wanted, Decode(ffmpeg.command(output, media_s=limit_s), picture.frame_bytes), strict=False)


class SmallFrames(Iterator[Image]):
    """Iterates over small BGR images; up to SMALL_FRAMES_AHEAD are decoded ahead, from the first one asked for on."""

    def __init__(self, decode: Decode, size: tuple[int, int]) -> None:
        """`decode` yields images of `size` (width, height)."""
        self._decode, self._size = decode, size
        self._ahead: Prefetch[Image] | None = None
        self._images: Iterator[Image] = iter(())

    @property
    def ended(self) -> ProcessEnd | None:
        """How ffmpeg ended, set after the last image."""
        return self._decode.ended

    def __next__(self) -> Image:
        if self._ahead is None:
            width, height = self._size
            shaped = (buffer.reshape(height, width, 3) for buffer in self._decode)
            self._ahead = Prefetch(shaped, SMALL_FRAMES_AHEAD)
            self._images = iter(self._ahead)
        return next(self._images)

    def close(self) -> None:
        """End the thread, and kill ffmpeg if it still runs."""
        if self._ahead is not None:
            self._ahead.close()
        self._decode.close()

    def __del__(self) -> None:
        self.close()


def small_frames(picture: Picture, limit: int | None = None) -> SmallFrames:
    """Return an iterator over all frames (the first `limit`) as small BGR images."""
    width, height = picture.small_size
    limit_s = _limit_s(picture, limit)
    stream = _constant_rate_stream(picture, limit_s)
    if picture.stream.hdr:
        stream = _tone_mapped(stream.filter("scale", width, height, flags="area"), picture)
    if picture.alpha:
        stream = _on_white(stream.filter("scale", width, height, flags="area", **_source_colour(picture)), picture)
        colour = {"in_range": picture.range} | ({"in_color_matrix": "bt709"} if _is_rgb(picture.stream) else {})
    else:
        colour = {} if _is_rgb(picture.stream) else {"in_range": _source_colour(picture)["in_range"]}
    stream = stream.filter("scale", width, height, flags="area", **colour).filter("format", "bgr24")
    output = ffmpeg.frames_to_pipe(stream, **_first(limit))
    decode = Decode(ffmpeg.command(output, media_s=limit_s), width * height * 3)
    return SmallFrames(decode, (width, height))


def _first(limit: int | None) -> dict[str, int]:
    return {} if limit is None else {"vframes": limit}


def _limit_s(picture: Picture, limit: int | None) -> float:
    """Return the most seconds to read: timestamps that jump must not make hours of copies."""
    promised = picture.expected_frames if limit is None else limit
    return 60 + 1.1 * float(promised / picture.fps)
