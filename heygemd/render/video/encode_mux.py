"""Encodes raw frames and the voice into an MP4 that plays everywhere: x264 or NVENC, and AAC."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ...config.schema import Render
from ...errors import HeygemdError
from ...media import ass, ffmpeg
from ...media.ffmpeg import MAX_DELIVERED_CHANNELS
from ...media.process import Writer
from ...storage import atomic
from ..audio.load import Voice
from ..subtitles import burn
from ..subtitles.track import Track, write_srt
from .decode import Frame, Picture

AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_CHANNELS = (1, 2, 3, 4, 5, 6, 8)
AAC_CHANNEL_BITS = 96_000
AAC_MIN_BITS, AAC_MAX_BITS = 128_000, 512_000
X264_QUALITY = {"draft": ("ultrafast", 26), "high": ("medium", 15)}
"""Preset and CRF of the qualities that fix them; "standard" takes both from the settings."""
X264_PARAMS = "sync-lookahead=0"
"""With its lookahead in a thread of its own, x264's macroblock-tree rate control depends on timing: presets superfast
(as extended here) and veryfast gave another file from the same frames in one encode of three (x264 build 164). Without
the thread the result is the one it usually gave, and the encode takes as long."""
X264_THREADS = ffmpeg.THREADS * 3 // 2
"""As many as x264 takes by itself: each encodes a frame and waits for what it refers to in the frame before."""
X264_PRESET_PARAMS = {"superfast": "mbtree=1:rc-lookahead=10"}
"""What superfast lacks most: with it files are hardly larger than veryfast's, in two thirds of its time."""
NVENC_PRESETS = {"draft": "p2", "standard": "p5", "high": "p7"}
NVENC_SIDES = (160, 4096)
FIRST_SUBTITLES = 2
"""The index of the first subtitle stream, after video and sound."""
MAX_FILE_BYTES = 1 << 40
NVIDIA = Path("/dev/nvidiactl")
"""Where NVIDIA's driver is, this is. Asking CUDA or NVENC instead takes up to a second."""


@dataclass(frozen=True)
class EncodePlan:
    """What is encoded: `frames` frames of `picture`, and `sound_s` seconds of the voice, cut or padded with silence.

    subtitles  soft tracks; players show the first one unless told otherwise
    burnt      subtitles to be drawn onto the picture
    """

    picture: Picture
    voice: Voice
    settings: Render
    frames: int
    sound_s: Fraction
    subtitles: Sequence[Track] = ()
    burnt: Track | None = None

    @property
    def cut(self) -> bool:
        """Whether the sound ends before the voice does."""
        return self.sound_s < self.voice.duration_s

    @property
    def pad(self) -> bool:
        """Whether silence follows the voice."""
        return self.sound_s > self.voice.duration_s

    @property
    def copied(self) -> bool:
        """Whether the voice's packets go into the file as they are."""
        return self.voice.copyable and not self.pad


class Encoder:
    """Encodes frames in order; `output` appears complete, by rename from a .part file beside it."""

    def __init__(self, plan: EncodePlan, output: Path, shown_size: tuple[int, int] | None = None) -> None:
        """`shown_size`: (width, height) to which frames are scaled; None: as they are."""
        self._plan, self._output, self._shown_size = plan, output, shown_size
        self._part = output.with_name(output.name + ".part")
        self._gpu = wants_nvenc(plan.settings, plan.picture)
        self._writer: Writer | None = None
        self.written = 0

    def start(self) -> Writer:
        """Start ffmpeg in the calling thread, that of `write`, unless it runs: it takes a tenth of a second."""
        if self._writer is None:
            self._writer = Writer(_command(self._plan, self._part, self._gpu, self._shown_size))
        return self._writer

    def write(self, frame: Frame) -> None:
        """Encode the next frame."""
        self.start().write(frame.data)
        self.written += 1

    def finish(self) -> None:
        """Finish the file. Raises EngineError("encode_failed"); OSError, which `protocol.failed` tells apart."""
        assert self._writer is not None
        self._writer.finish()
        self._writer.close()
        atomic.publish(self._part, self._output)

    def close(self) -> None:
        """Kill what still runs; a finished file is kept."""
        if self._writer is not None:
            self._writer.close()
        for path in (self._part, _drawing(self._part), *_clean_paths(self._plan.subtitles, self._part)):
            path.unlink(missing_ok=True)


def _command(plan: EncodePlan, part: Path, gpu: bool, shown_size: tuple[int, int] | None) -> list[str]:
    picture, voice = plan.picture, plan.voice
    tagged = tags(picture)
    source = ffmpeg.raw_video(picture.width, picture.height, picture.fps, **tagged)
    if shown_size:
        source = source.filter("scale", *shown_size, flags="area")
    if plan.burnt is not None:
        drawing = _drawing(part)
        burn.write_ass(plan.burnt, plan.settings.subtitle_font, picture.width, picture.height, drawing)
        source = ass.drawn(source, drawing)
    index = voice.stream.index
    if plan.copied:
        sound = ffmpeg.media(voice.path)[str(index)]
    else:
        sound = ffmpeg.delivered(voice.path, index, voice.stream.channels, voice.mix.tolist())
        sound = ffmpeg.filtered(sound, voice.filters)
    if plan.pad:
        sound = sound.filter("apad", whole_dur=float(plan.sound_s))
    options: dict[str, object] = {**(_nvenc(plan.settings) if gpu else x264(plan.settings)), **tagged, **_sound(plan)}
    if plan.cut or plan.pad:
        options["t"] = float(plan.frames / picture.fps)
    options |= _subtitles(plan.subtitles)
    streams = source, sound, *_clean_files(plan.subtitles, part)
    options["pix_fmt"] = "yuv420p"
    output = ffmpeg.to_mp4(*streams, path=part, max_bytes=MAX_FILE_BYTES, **options)
    return ffmpeg.command(output, media_s=float(plan.frames / picture.fps), gpu=gpu)


def x264(settings: Render) -> dict[str, object]:
    """Return ffmpeg's options for x264."""
    preset, crf = X264_QUALITY.get(settings.quality, (settings.preset, settings.crf))
    params = ":".join(filter(None, [X264_PARAMS, X264_PRESET_PARAMS.get(preset)]))
    return {"c:v": "libx264", "preset": preset, "crf": crf, "threads": X264_THREADS, "x264-params": params}


def _nvenc(settings: Render) -> dict[str, object]:
    crf = X264_QUALITY.get(settings.quality, ("", settings.crf))[1]
    preset = NVENC_PRESETS[settings.quality]
    return {"c:v": "h264_nvenc", "preset": preset, "rc": "vbr", "cq": crf + 1, "b:v": 0, "profile:v": "high"}


def tags(picture: Picture) -> dict[str, str]:
    """Return ffmpeg's options for the source's colour tags; what is untagged stays untagged."""
    values = {"colorspace": picture.matrix, "color_primaries": picture.primaries, "color_trc": picture.transfer}
    known = {key: value for key, value in values.items() if value}
    return {**known, "color_range": "pc" if picture.full_range else "tv"}


def _sound(plan: EncodePlan) -> dict[str, object]:
    """Return ffmpeg's options for the sound: AAC is copied; anything else becomes AAC at its own rate and channels."""
    if plan.copied:
        return {"c:a": "copy"}
    stream = plan.voice.stream
    rate = next((r for r in AAC_RATES_HZ if r >= stream.rate), AAC_RATES_HZ[-1])
    channels = stream.channels if stream.channels in AAC_CHANNELS else 2
    if stream.channels > MAX_DELIVERED_CHANNELS:
        channels = 1
    bits = min(AAC_MAX_BITS, max(AAC_MIN_BITS, AAC_CHANNEL_BITS * channels))
    return {"c:a": "aac", "b:a": bits, "ar": rate, "ac": channels}


def _clean_files(tracks: Sequence[Track], part: Path) -> Iterator[ffmpeg.Stream]:
    """Write the tracks' clean files beside `part`; yield them as inputs."""
    for track, path in zip(tracks, _clean_paths(tracks, part), strict=True):
        write_srt(track, path)
        yield ffmpeg.srt(path)


def _drawing(part: Path) -> Path:
    return part.with_name(f"{part.name}.ass")


def _clean_paths(tracks: Sequence[Track], part: Path) -> list[Path]:
    return [part.with_name(f"{part.name}-{number}.srt") for number in range(len(tracks))]


def _subtitles(tracks: Sequence[Track]) -> dict[str, object]:
    """Return ffmpeg's options for soft subtitles: each language as MP4 codes it, and its name as players show it."""
    options: dict[str, object] = {"c:s": "mov_text"} if tracks else {}
    for number, track in enumerate(tracks):
        options[f"metadata:s:s:{number}"] = f"language={track.language.code}"
        if track.language.title:
            options[f"metadata:s:{FIRST_SUBTITLES + number}"] = f"handler_name={track.language.title}"
    return options


def wants_nvenc(settings: Render, picture: Picture) -> bool:
    """Return whether this picture is encoded on the GPU."""
    low, high = NVENC_SIDES
    fits = low <= min(picture.width, picture.height) and max(picture.width, picture.height) <= high
    return settings.encoder == "nvenc" or (settings.encoder == "auto" and fits and nvenc_works())


@functools.lru_cache(maxsize=1)
def nvenc_works() -> bool:
    """Return whether a tiny encode on the GPU succeeds here. ffmpeg's list proves nothing: some cards cannot encode."""
    if not NVIDIA.exists():
        return False
    size = 256
    source = ffmpeg.raw_video(size, size, Fraction(25))
    try:
        with Writer(ffmpeg.command(ffmpeg.to_pipe(source, format="null", **{"c:v": "h264_nvenc"}), gpu=True)) as writer:
            writer.write(memoryview(bytes(size * size * 3 // 2)))
            writer.finish()
    except HeygemdError:
        return False
    return True
