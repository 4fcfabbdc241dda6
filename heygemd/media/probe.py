"""What a media file contains, read by ffprobe; its kind is known by content, not by name, and limits are checked."""

from __future__ import annotations

import contextlib
import json
import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from ..config.schema import Limits
from ..errors import InputError
from . import ffmpeg, packets, process

HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}
STILL_CODECS = {"mjpeg", "png", "bmp", "gif", "webp", "tiff", "ppm", "jpeg2000", "jpegls"}
SAME_RATE = Fraction(1, 500)
SAME_TIME_S = 0.001
COUNTED_PACKETS = 240
SAMPLED_KEYFRAMES = 12
FRAME_TIME = "best_effort_timestamp_time"
"""ffprobe's name of the time at which a frame is shown; MPEG program streams leave out most."""
UNINDEXED, READ_UNINDEXED_S = {"mpegts", "mpeg"}, 300
SEARCHED_S = 12
"""For how long the first picture is searched: keyframes of broadcasts and cameras are at most 10 s apart."""
PROTECTED = {"encv", "enca", "drmi", "drms"}
"""What an MP4 calls the codec of an encrypted track."""
Facts = dict[str, Any]


@dataclass(frozen=True)
class VideoStream:
    """A video stream.

    index            ffprobe's stream index
    width, height    as coded, pixels, before rotation and before the pixels are made square
    rotation         degrees counter-clockwise for display, usually 0, 90, 180 or 270
    mirrored         the picture is also flipped for display, as front cameras do
    sample_aspect    width of a pixel over its height
    avg_fps          frames over duration, 0 if unknown
    real_fps         the lowest rate that fits all timestamps, 0 if unknown
    start_s          when its first frame is shown, after the file's start
    undecodable_s    what comes before that frame and cannot be decoded, see `looked_into`
    duration_s       0 if unknown
    matrix, primaries, transfer, range   ffmpeg's names, "" when untagged
    """

    index: int
    codec: str
    width: int
    height: int
    rotation: int
    mirrored: bool
    sample_aspect: Fraction
    avg_fps: Fraction
    real_fps: Fraction
    start_s: float
    duration_s: float
    pix_fmt: str
    bit_depth: int
    matrix: str
    primaries: str
    transfer: str
    range: str
    interlaced: bool
    undecodable_s: float = 0.0
    alpha_mode: bool = False
    """WebM: a second picture beside the first holds its transparency."""

    @property
    def hdr(self) -> bool:
        """Whether it is HDR (PQ or HLG) and must be tone-mapped."""
        return self.transfer in HDR_TRANSFERS

    @property
    def variable_rate(self) -> bool:
        """Whether the average and the real frame rate differ, as in phone and screen recordings."""
        if not self.avg_fps or not self.real_fps:
            return True
        return abs(self.avg_fps / self.real_fps - 1) > SAME_RATE


@dataclass(frozen=True)
class AudioStream:
    """An audio stream; `layout` is ffmpeg's name ("stereo"), "" when unknown; `start_s` is after the file's start."""

    index: int
    codec: str
    rate: int
    channels: int
    layout: str
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class MediaInfo:
    """A media file; `video` and `audio` are its default streams, else its first. Cover art is not video.

    start_s  the earliest time in it: zero on the timeline of its sound and picture
    tracks   all its audio streams that can be decoded
    """

    container: str
    start_s: float
    duration_s: float
    video: VideoStream | None
    audio: AudioStream | None
    tracks: tuple[AudioStream, ...] = ()

    @property
    def kind(self) -> Literal["audio", "video"] | None:
        """The file's role in a job, by content."""
        if self.video is not None:
            return "video"
        return "audio" if self.audio is not None else None


def probe(path: Path, limits: Limits) -> MediaInfo:
    """Run ffprobe on a file and check the result against `limits`.

    Raises InputError("media_unreadable" | "format_unsupported" | "protected" | "no_picture" | "too_many_streams" |
    "too_many_pixels" | "frame_rate_too_high" | "video_too_long" | "audio_too_long" | "no_duration"),
    DeadlineExceeded, InfrastructureError("ffmpeg_missing").
    """
    return _probe(path, limits)


def probe_open(file: int, ending: str, limits: Limits) -> MediaInfo:
    """As `probe`, for the file open at a descriptor: ffprobe learns neither its name nor its folder.

    ending  of its name, if that is a known one ("", ".mp4"): ffprobe's help for files that begin with junk
    """
    with neutral_name(ending) as path:
        return _probe(path, limits, stdin=file)


@contextlib.contextmanager
def neutral_name(ending: str = "") -> Iterator[Path]:
    """Yield a path under which a program finds the file that is open at its standard input."""
    with tempfile.TemporaryDirectory(prefix="heygemd-") as folder:
        neutral = Path(folder, f"media{ending}")
        neutral.symlink_to("/proc/self/fd/0")
        yield neutral


def _probe(path: Path, limits: Limits, stdin: int | None = None) -> MediaInfo:
    info = _described(_ffprobe(path, limits, "-show_format", "-show_streams", stdin=stdin))
    if info.duration_s <= 0 and (stream := info.video or info.audio):
        info = replace(info, duration_s=packets.span_s(packets.read(path, limits, stream.index, stdin=stdin)))
    _check(path, info, limits, stdin)
    return info


def _described(shown: Facts) -> MediaInfo:
    """Return what ffprobe's -show_format and -show_streams say."""
    streams: list[Facts] = shown.get("streams", [])
    container: Facts = shown.get("format", {})
    start_s = _number(container, "start_time")
    videos = [s for s in streams if _is_video(s)]
    audios = [s for s in streams if s.get("codec_type") == "audio" and _number(s, "sample_rate")]
    if not videos and any(_lacks_its_picture(s) for s in streams):
        raise InputError("no_picture")
    name = str(container.get("format_name", ""))
    video = video_stream(_played(_moving(videos), name), start_s) if videos else None
    tracks = tuple(_audio(s, start_s) for s in audios if _decodable(s))
    # A video is of use without its sound.
    audio = _audio(_played(audios, name), start_s) if tracks or (audios and not video) else None
    duration_s = max([_seconds(container), *(s.duration_s for s in (video, audio) if s)])
    return MediaInfo(name, start_s, duration_s, video, audio, tracks)


def _ffprobe(path: Path, limits: Limits, *options: str, stdin: int | None = None) -> Facts:
    argv = ffmpeg.probe_command(path, *options, max_pixels=limits.max_pixels)
    shown: Facts = json.loads(process.run(argv, limits.probe_timeout_s, stdin=stdin).decode("utf-8", "replace") or "{}")
    return shown


def _played(streams: list[Facts], container: str) -> Facts:
    """Return the stream that players choose: the default one, else the first; one that can be decoded if there is one.

    Raises InputError("protected" | "format_unsupported") where none can, such as Blackmagic RAW.
    """
    known = [s for s in streams if _decodable(s)]
    if not known and any(_is_protected(s) for s in streams):
        raise InputError("protected")
    if not known:
        tag = str(streams[0].get("codec_tag_string", ""))  # "[0][0][0][0]" where the container has none
        raise InputError("format_unsupported", format=tag if tag.isalnum() else container)
    return next((s for s in known if s.get("disposition", {}).get("default")), known[0])


def _decodable(stream: Facts) -> bool:
    return stream.get("codec_name", "unknown") not in ("unknown", "none") and not _is_protected(stream)


def _is_protected(stream: Facts) -> bool:
    return stream.get("codec_tag_string") in PROTECTED


def _lacks_its_picture(stream: Facts) -> bool:
    """Return whether a video stream has packets, but nothing from which to tell its size: no keyframe."""
    sized = stream.get("width") and stream.get("height")
    return stream.get("codec_type") == "video" and _decodable(stream) and not sized and "start_time" in stream


def _moving(videos: list[Facts]) -> list[Facts]:
    """Leave out pictures beside a video: not every program marks its cover as one."""
    return [s for s in videos if s.get("codec_name") not in STILL_CODECS] or videos


def _is_video(stream: Facts) -> bool:
    """Return whether a stream is video: neither cover art nor a single still."""
    if stream.get("codec_type") != "video" or not stream.get("width") or not stream.get("height"):
        return False
    if stream.get("disposition", {}).get("attached_pic") or stream.get("disposition", {}).get("still_image"):
        return False
    still = _ratio(stream.get("avg_frame_rate")) == 0 or str(stream.get("nb_frames")) == "1"
    return not (stream.get("codec_name") in STILL_CODECS and still)


def video_stream(stream: Facts, file_start_s: float = 0.0) -> VideoStream:
    """Return what ffprobe says of a video stream, or of a decoded frame, in our terms."""
    pix_fmt = str(stream.get("pix_fmt", ""))
    return VideoStream(
        index=int(stream["index"]),
        codec=str(stream.get("codec_name", "")),
        width=int(stream["width"]),
        height=int(stream["height"]),
        rotation=_rotation(stream),
        mirrored=_mirrored(stream),
        sample_aspect=_ratio(stream.get("sample_aspect_ratio"), ":") or Fraction(1),
        avg_fps=_ratio(stream.get("avg_frame_rate")),
        real_fps=_ratio(stream.get("r_frame_rate")),
        start_s=_start_s(stream, file_start_s),
        duration_s=_seconds(stream),
        pix_fmt=pix_fmt,
        bit_depth=_bit_depth(pix_fmt),
        matrix=_tag(stream, "color_space"),
        primaries=_tag(stream, "color_primaries"),
        transfer=_tag(stream, "color_transfer"),
        range=_tag(stream, "color_range") or ("pc" if pix_fmt.startswith("yuvj") else ""),
        interlaced=stream.get("field_order") in ("tt", "bb", "tb", "bt"),
        alpha_mode=_number({k.casefold(): v for k, v in stream.get("tags", {}).items()}, "alpha_mode") == 1,
    )


def _audio(stream: Facts, file_start_s: float) -> AudioStream:
    return AudioStream(
        index=int(stream["index"]),
        codec=str(stream.get("codec_name", "")),
        rate=int(_number(stream, "sample_rate")),
        channels=int(stream.get("channels", 0)),
        layout=str(stream.get("channel_layout", "")),
        start_s=_start_s(stream, file_start_s),
        duration_s=_seconds(stream),
    )


def _rotation(stream: Facts) -> int:
    for side in stream.get("side_data_list", []):
        if "rotation" in side:
            return round(float(side["rotation"])) % 360
    return -int(_number(stream.get("tags", {}), "rotate")) % 360


def _mirrored(stream: Facts) -> bool:
    """Return whether the display matrix [a b u; c d v; x y w] reverses the plane."""
    for side in stream.get("side_data_list", []):
        numbers = [int(n) for row in re.findall(r":(.*)", str(side.get("displaymatrix", ""))) for n in row.split()]
        if len(numbers) == 9:
            return numbers[0] * numbers[4] < numbers[1] * numbers[3]
    return False


def _bit_depth(pix_fmt: str) -> int:
    """Return the bits per sample from a name like yuv420p10le or p010le."""
    deep = re.search(r"(?:p|gray|gbrp|gbrap|p0|p2|p4|x2rgb|x2bgr|f)(9|1[0-6]|32)(?:le|be)?$", pix_fmt)
    return int(deep[1]) if deep else 16 if re.search(r"(?:48|64)(?:le|be)$", pix_fmt) else 8


def _tag(stream: Facts, key: str) -> str:
    value = str(stream.get(key, ""))
    return "" if value in ("unknown", "unspecified", "reserved") else value


def _ratio(text: object, separator: str = "/") -> Fraction:
    """Return "30000/1001" as a fraction; 0 if it is missing, undefined or negative."""
    parts = str(text or "").split(separator)
    if len(parts) != 2 or not all(p.isdigit() for p in parts) or int(parts[1]) == 0:
        return Fraction(0)
    return Fraction(int(parts[0]), int(parts[1]))


def _number(facts: Facts, key: str) -> float:
    try:
        return float(facts.get(key, 0))
    except ValueError:
        return 0.0


def _start_s(stream: Facts, file_start_s: float) -> float:
    return max(0.0, _number(stream, "start_time") - file_start_s)


def _seconds(facts: Facts) -> float:
    return max(0.0, _number(facts, "duration"))


def typical_rate(path: Path, stream: VideoStream, limits: Limits, stdin: int | None = None) -> Fraction:
    """Return the frames a second by the times of the first packets, 0 if unknown. Raises as `probe`."""
    return packets.typical_rate(packets.read(path, limits, stream.index, COUNTED_PACKETS, stdin))


def looked_into(path: Path, info: MediaInfo, limits: Limits) -> VideoStream:
    """Return a file's video with the size that it has for the longest time, from its first whole picture on.

    Video calls change their size as they go on. The header tells one of the sizes, in most formats the first.
    Recordings of a running broadcast begin anywhere: nothing can be decoded until the next picture that is whole.
    """
    stream = info.video
    assert stream is not None
    sizes = _keyframe_sizes(path, info, stream, limits)
    width, height = _prevailing_size(sizes, info, stream)
    begin_s, late_s = info.start_s + stream.start_s, 0.0
    if min(sizes, default=math.inf) > begin_s + SAME_TIME_S:
        late_s = max(0.0, _first_picture_s(path, stream, limits, begin_s) - begin_s)
    return replace(stream, width=width, height=height, start_s=stream.start_s + late_s, undecodable_s=late_s)


Sizes = dict[float, tuple[int, int]]
"""The (width, height), as coded, of some keyframes by their times, in seconds."""


def _keyframe_sizes(path: Path, info: MediaInfo, stream: VideoStream, limits: Limits) -> Sizes:
    options = ("-select_streams", str(stream.index), "-skip_frame", "nokey", "-read_intervals", _sampled(info))
    try:
        found = _ffprobe(path, limits, *options, "-show_entries", f"frame={FRAME_TIME},width,height").get("frames", [])
    except InputError:  # damaged: the decoder takes what can be read
        found = []
    timed = [frame for frame in found if frame.get("width") and FRAME_TIME in frame]
    return {float(frame[FRAME_TIME]): (frame["width"], frame["height"]) for frame in timed}


def _prevailing_size(sizes: Sizes, info: MediaInfo, stream: VideoStream) -> tuple[int, int]:
    shown_s: dict[tuple[int, int], float] = {}
    for start_s, end_s in pairwise([*sorted(sizes), info.start_s + info.duration_s]):
        shown_s[sizes[start_s]] = shown_s.get(sizes[start_s], 0.0) + end_s - start_s
    return max(shown_s, key=lambda size: (round(shown_s[size], 1), size), default=(stream.width, stream.height))


def _first_picture_s(path: Path, stream: VideoStream, limits: Limits, default: float) -> float:
    """Return the time of the first picture that can be decoded, `default` if none is found soon."""
    options = ("-select_streams", str(stream.index), "-read_intervals", f"%+{SEARCHED_S}")
    try:
        found = _ffprobe(path, limits, *options, "-show_entries", f"frame={FRAME_TIME}").get("frames", [])
    except InputError:
        found = []
    return min((float(frame[FRAME_TIME]) for frame in found if FRAME_TIME in frame), default=default)


def _sampled(info: MediaInfo) -> str:
    """Return where to look for keyframes, as ffprobe's read intervals: a packet each throughout the video.

    In formats without an index seeking finds no keyframes, so that their beginning is read.
    """
    if info.container in UNINDEXED:
        return f"%+{READ_UNINDEXED_S}"
    step_s = info.duration_s / SAMPLED_KEYFRAMES
    return ",".join(f"{info.start_s + k * step_s:.3f}%+#1" for k in range(SAMPLED_KEYFRAMES))


def _check(path: Path, info: MediaInfo, limits: Limits, stdin: int | None) -> None:
    if info.kind is None:
        return
    video = info.video
    if video is not None:
        if video.width * video.height > limits.max_pixels:
            raise InputError("too_many_pixels", width=video.width, height=video.height, limit=limits.max_pixels)
        # A stated rate may be a time base.
        if video.avg_fps > limits.max_fps and (fps := typical_rate(path, video, limits, stdin)) > limits.max_fps:
            raise InputError("frame_rate_too_high", fps=round(float(fps), 1), limit=limits.max_fps)
    if info.duration_s <= 0:
        raise InputError("no_duration")
    limit_s = limits.max_video_s if info.kind == "video" else limits.max_audio_s
    if info.duration_s > limit_s:
        raise InputError(f"{info.kind}_too_long", duration_s=round(info.duration_s, 1), limit_s=limit_s)


@dataclass(frozen=True)
class RenderedInfo:
    """A rendered file: codecs of (video, audio, subtitles …), frames by counting packets, times in seconds."""

    info: MediaInfo
    codecs: tuple[str, ...]
    frames: int
    fps: Fraction
    width: int
    height: int
    video_start_s: float
    video_s: float
    audio_start_s: float
    audio_s: float


def measure(path: Path, limits: Limits) -> RenderedInfo:
    """Count a rendered file's packets and read its times. Raises the errors of `probe`."""
    shown = _ffprobe(path, limits, "-count_packets", "-show_format", "-show_streams")
    streams: list[Facts] = shown.get("streams", [])
    if [str(s.get("codec_type")) for s in streams[:2]] != ["video", "audio"]:
        raise InputError("media_unreadable", detail=f"streams: {[s.get('codec_type') for s in streams]}")
    video, audio = streams[:2]
    return RenderedInfo(
        info=_described(shown),
        codecs=tuple(str(stream.get("codec_name")) for stream in streams),
        frames=int(_number(video, "nb_read_packets")),
        fps=_ratio(video.get("avg_frame_rate")),
        width=int(video.get("width", 0)),
        height=int(video.get("height", 0)),
        video_start_s=_number(video, "start_time"),
        video_s=_seconds(video),
        audio_start_s=_number(audio, "start_time"),
        audio_s=_seconds(audio),
    )
