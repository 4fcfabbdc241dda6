"""Renders one input of every container and codec, and writes the table in docs/formats.md and docs/zh/formats.md.

python -m tests.formats [PART OF A NAME ...]    all rows, or only those whose names contain one of these
"""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from heygemd.config.schema import Limits, Render
from heygemd.errors import HeygemdError
from heygemd.media import completeness
from heygemd.media.probe import probe
from heygemd.protocol import RenderRequest
from heygemd.render import pipeline
from heygemd.render.engines import registry
from heygemd.render.video.decode import describe_video

from . import media_factory
from .render.anna import film

DOCS = Path(__file__).parents[1] / "docs"
PAGE, CHINESE_PAGE = DOCS / "formats.md", DOCS / "zh" / "formats.md"
WIDTH, HALF, SECONDS, VOICE_S = 320, 240, 1.6, 1.5
LAG_LIMIT_MS, PSNR_LIMIT_DB = 5.0, 30.0
RATE_HZ = 48_000
SEARCH_MS = 300
PSNR_FRAMES = 3
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "12", "-x265-params", "log-level=none")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-crf", "4", "-b:v", "8M")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "12", "-b:v", "0")
AV1 = ("-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-crf", "15")
TEN, FINE = ("-pix_fmt", "yuv420p10le"), ("-q:v", "2")
HLG = ("-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", "arib-std-b67")
PQ = (*HLG[:4], "-color_trc", "smpte2084")
WHITE_BEHIND = "split[a][b];[a]drawbox=t=fill:color=white:replace=1,format=rgb24[w];[w][b]overlay=format=gbrp"


@dataclass(frozen=True)
class Row:
    """One input.

    options   ffmpeg's options to make it of the master
    filters   before encoding
    colour    whether the picture's colours must be the input's: not where HDR becomes SDR
    expect    finding that must be reported
    """

    container: str
    codec: str
    options: Sequence[str] = ()
    filters: str = "null"
    colour: bool = True
    expect: str = ""
    kind: str = "video"
    make: Callable[[Path], object] | None = None

    @property
    def name(self) -> str:
        return f"{self.kind} {self.container} {self.codec}"


@dataclass
class Outcome:
    """What came of a row; None: could not be measured."""

    probed: str = ""
    complete: bool = False
    rendered: bool = False
    lag_ms: float | None = None
    frames: str = ""
    psnr_db: float | None = None
    wrong: list[str] = field(default_factory=list)


VIDEOS = [
    Row("mp4", "H.264", X264),
    Row("mp4", "H.264, 4:2:2", (*X264, "-pix_fmt", "yuv422p")),
    Row("mp4", "H.264, 4:4:4", (*X264, "-pix_fmt", "yuv444p")),
    Row("mp4", "H.264, 10 bit", (*X264, *TEN)),
    Row("mp4", "H.264, full range", (*X264, "-pix_fmt", "yuvj420p")),
    Row("mp4", "H.264, 29.97 fps", (*X264, "-r", "30000/1001")),
    Row("mp4", "H.264, 50 fps", (*X264, "-r", "50")),
    Row("mp4", "H.264, interlaced", (*X264, "-flags", "+ilme+ildct"), "setfield=tff"),
    Row("mp4", "H.264, anamorphic", X264, "scale=240:480,setsar=4/3"),
    Row("mp4", "H.264, odd size", (*X264, "-pix_fmt", "yuv444p"), "crop=319:479:0:0"),
    Row("mp4", "H.264, fragmented", (*X264, "-movflags", "+frag_keyframe+empty_moov")),
    Row("mp4", "H.265", (*X265, "-tag:v", "hvc1")),
    Row("mp4", "H.265, 10 bit", (*X265, *TEN)),
    Row("mp4", "H.265, HLG", (*X265, *TEN, *HLG), colour=False, expect="hdr_tone_mapped"),
    Row("mp4", "H.265, PQ", (*X265, *TEN, *PQ), colour=False, expect="hdr_tone_mapped"),
    Row("mp4", "AV1", AV1),
    Row("mp4", "MPEG-4", ("-c:v", "mpeg4", *FINE)),
    Row("3gp", "H.263", ("-c:v", "h263", *FINE), "scale=352:288"),
    Row("mov", "ProRes 422", ("-c:v", "prores_ks")),
    Row("mov", "ProRes 4444, transparent", ("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le"),
        "format=yuva444p10le,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,60),0,1023)'",
        expect="transparent_on_white"),
    Row("mov", "QuickTime animation", ("-c:v", "qtrle")),
    Row("mov", "PNG", ("-c:v", "png")),
    Row("mov", "CineForm", ("-c:v", "cfhd", "-pix_fmt", "yuv422p10le")),
    Row("mov", "DNxHR", ("-c:v", "dnxhd", "-profile:v", "dnxhr_sq", "-pix_fmt", "yuv422p")),
    Row("mov", "uncompressed", ("-c:v", "rawvideo", "-pix_fmt", "uyvy422")),
    Row("mkv", "H.264", X264),
    Row("mkv", "FFV1", ("-c:v", "ffv1")),
    Row("webm", "VP8", VP8),
    Row("webm", "VP9", VP9),
    Row("webm", "VP9, transparent", (*VP9, "-pix_fmt", "yuva420p"),
        "format=yuva420p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='if(lt(X,60),0,255)'",
        colour=False, expect="transparent_on_white"),
    Row("avi", "MPEG-4", ("-c:v", "mpeg4", *FINE)),
    Row("avi", "Motion JPEG", ("-c:v", "mjpeg", *FINE)),
    Row("avi", "DV", ("-c:v", "dvvideo", "-pix_fmt", "yuv420p"), "scale=720:576,setsar=16/15"),
    Row("flv", "Sorenson", ("-c:v", "flv", *FINE)),
    Row("wmv", "WMV 8", ("-c:v", "wmv2", *FINE)),
    Row("asf", "MS MPEG-4", ("-c:v", "msmpeg4", *FINE)),
    Row("ts", "H.264", X264),
    Row("ts", "MPEG-2", ("-c:v", "mpeg2video", *FINE)),
    Row("mts", "H.264", (*X264, "-f", "mpegts")),
    Row("m2ts", "H.264", (*X264, "-f", "mpegts", "-mpegts_m2ts_mode", "1")),
    Row("mpg", "MPEG-2", ("-c:v", "mpeg2video", *FINE)),
    Row("vob", "MPEG-2", ("-c:v", "mpeg2video", *FINE)),
    Row("mxf", "MPEG-2", ("-c:v", "mpeg2video", *FINE)),
    Row("mxf", "DNxHR", ("-c:v", "dnxhd", "-profile:v", "dnxhr_sq", "-pix_fmt", "yuv422p")),
    Row("ogv", "Theora", ("-c:v", "libtheora", "-q:v", "9")),
    Row("gif", "GIF", (), "split[a][b];[a]palettegen[p];[b][p]paletteuse"),
]  # fmt: skip


def _speech(*channels: tuple[float, float]) -> Callable[[Path], object]:
    return lambda path: media_factory.speech(path, channels, seconds=VOICE_S)


def _voice(container: str, codec: str, *options: str, make: Callable[[Path], object] | None = None) -> Row:
    return Row(container, codec, options, kind="voice", make=make)


VOICES = [
    _voice("wav", "16 bit"),
    _voice("wav", "24 bit", "-c:a", "pcm_s24le"),
    _voice("wav", "32 bit float, 96 kHz", "-c:a", "pcm_f32le", "-ar", "96000"),
    _voice("wav", "A-law, 8 kHz", "-c:a", "pcm_alaw", "-ar", "8000"),
    _voice("wav", "RF64", "-rf64", "always"),
    _voice("wav", "stereo, one cable reversed", make=_speech((1, 0), (-1, 0))),
    _voice("wav", "10 channels, voice on one", make=_speech(*[(0, 0)] * 4, (1, 0), *[(0, 0)] * 5)),
    _voice("wav", "5.1", "-ac", "6"),
    _voice("w64", "16 bit"),
    _voice("mp3", "MP3"),
    _voice("m4a", "AAC"),
    _voice("m4a", "ALAC", "-c:a", "alac"),
    _voice("m4b", "AAC", "-f", "ipod"),
    _voice("aac", "AAC"),
    _voice("flac", "FLAC"),
    _voice("ogg", "Vorbis", "-c:a", "libvorbis"),
    _voice("ogg", "Speex", "-c:a", "libspeex", "-ar", "16000"),
    _voice("opus", "Opus"),
    _voice("wma", "WMA 2", "-c:a", "wmav2"),
    _voice("mka", "FLAC", "-c:a", "flac"),
    _voice("weba", "Opus", "-f", "webm"),
    _voice("caf", "16 bit"),
    _voice("caf", "ALAC", "-c:a", "alac"),
    _voice("aiff", "16 bit"),
    _voice("ac3", "AC-3"),
    _voice("eac3", "E-AC-3"),
    _voice("amr", "AMR, 12.2 kbit/s", make=lambda path: media_factory.amr(path, VOICE_S)),
]
ROWS = VIDEOS + VOICES


class Studio:
    """A folder with the master picture and voice, and everything that is made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.voice = media_factory.speech(folder / "voice.wav", seconds=VOICE_S)
        face = film(folder / "face.mkv", SECONDS, WIDTH, codec=("-c:v", "ffv1"))
        self.master = folder / "master.mkv"
        pattern = f"testsrc2=s={WIDTH}x{HALF}:r=25:d={SECONDS}"
        stacked = f"[1]crop={WIDTH}:{HALF}:0:0[face];[0][face]vstack,format=yuv420p"
        media_factory.ffmpeg(
            *("-f", "lavfi", "-i", pattern, "-i", face, "-filter_complex", stacked, "-c:v", "ffv1", self.master)
        )

    def run(self, row: Row) -> Outcome:
        """Make the row's input, render it and measure the result."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        made = place / f"input.{row.container}"
        source = self.master if row.kind == "video" else self.voice
        chain = ("-vf", row.filters) if row.kind == "video" else ()
        if row.make:
            row.make(made)
        else:
            media_factory.ffmpeg("-i", source, *chain, *row.options, made)
        outcome = Outcome()
        try:
            outcome.probed = probe(made, Limits()).kind or "nothing"
            outcome.complete = completeness.examine(made).end != "cut"
            codes = self._render(row, made, place, outcome)
        except HeygemdError as error:
            outcome.wrong.append(str(error))
            return outcome
        outcome.wrong += _wrong(row, outcome, codes)
        return outcome

    def _render(self, row: Row, made: Path, place: Path, outcome: Outcome) -> set[str]:
        video, voice = (made, self.voice) if row.kind == "video" else (self.master, made)
        codes: set[str] = set()
        scratch, output = place / "scratch", place / "out.mp4"
        scratch.mkdir()
        digests = (hashlib.blake2b(path.read_bytes()).hexdigest() for path in (voice, video))
        request = RenderRequest(
            voice=voice,
            video=video,
            voice_digest=next(digests),
            video_digest=next(digests),
            output=output,
            scratch=scratch,
            cache=self.folder / "cache",
            models=self.folder,
            settings=Render(crf=10, preset="ultrafast"),
            limits=Limits(probe_timeout_s=120),
        )
        with mock.patch.dict(registry.ENGINES, {"mesh": "tests.render.tint:Tint"}):
            result = pipeline.render(request, lambda event: codes.add(getattr(event, "code", "")))
        outcome.rendered = True
        fps = Fraction(result.fps)
        outcome.frames = f"{result.frames} of {math.ceil(Fraction(VOICE_S) * fps)}"
        outcome.lag_ms = _lag_ms(_sound(output), _sound(voice))
        if row.kind == "video" and row.colour:
            background = row.expect == "transparent_on_white"
            outcome.psnr_db = _psnr_db(made, output, describe_video(output, Limits()).small_size, background)
        return codes


def _wrong(row: Row, outcome: Outcome, codes: set[str]) -> list[str]:
    count, expected = outcome.frames.split(" of ")
    checks = {
        f"a {row.kind} is taken for {outcome.probed}": outcome.probed != ("audio" if row.kind == "voice" else "video"),
        f"sound {outcome.lag_ms} ms late": outcome.lag_ms is None or abs(outcome.lag_ms) > LAG_LIMIT_MS,
        f"{outcome.frames} frames": abs(int(count) - int(expected)) > 1,
        f"colours differ: {outcome.psnr_db} dB": outcome.psnr_db is not None and outcome.psnr_db < PSNR_LIMIT_DB,
        f"{row.expect} is not reported": bool(row.expect) and row.expect not in codes,
    }
    return [words for words, wrong in checks.items() if wrong]


def _sound(path: Path) -> NDArray[np.float32]:
    """Return the loudest channel at RATE_HZ on the file's own timeline, gaps filled."""
    shown = probe(path, Limits()).audio
    assert shown is not None
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-map", f"0:{shown.index}"]
    timed = ["-af", "aresample=async=1:first_pts=0", "-ar", str(RATE_HZ), "-f", "f32le", "-"]
    data = subprocess.run([*argv, *timed], check=True, capture_output=True).stdout
    channels = np.frombuffer(data, "<f4").reshape(-1, shown.channels)
    return channels[:, int(np.square(channels).sum(0).argmax())]


def _lag_ms(late: NDArray[np.float32], early: NDArray[np.float32]) -> float:
    """Return by how much the first is behind the second, by cross-correlation (either polarity)."""
    size = 2 ** math.ceil(math.log2(len(late) + len(early)))
    product = np.abs(np.fft.irfft(np.fft.rfft(late, size) * np.conj(np.fft.rfft(early, size)), size))
    reach = SEARCH_MS * RATE_HZ // 1000
    lags = np.arange(-reach, reach + 1)
    return round(1000 * float(lags[product[lags].argmax()]) / RATE_HZ, 2)


def _psnr_db(given: Path, made: Path, size: tuple[int, int], white: bool) -> float:
    """Return the colour PSNR (RGB) of the upper halves of the first frames."""
    images = [_rgb(given, size, white), _rgb(made, size, False)]
    count = min(len(image) for image in images)
    first, second = (image[:count, : size[1] // 2 - 8].astype(float) for image in images)
    return round(float(10 * np.log10(255**2 / max(1e-3, np.square(first - second).mean()))), 1)


def _rgb(path: Path, size: tuple[int, int], white: bool) -> NDArray[np.uint8]:
    behind = f"{WHITE_BEHIND}," if white else ""
    chain = f"{behind}bwdif=mode=send_frame:deint=interlaced,scale={size[0]}:{size[1]}:flags=bicubic+accurate_rnd"
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vf", chain]
    raw = ["-frames:v", str(PSNR_FRAMES), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run([*argv, *raw], check=True, capture_output=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3)


HEAD = f"""# Formats

[中文](zh/formats.md)

Every container and codec below was made with ffmpeg, rendered, and measured. `make formats` does it again and rewrites
this page. What is not in the list is reported as a format that cannot be used, with what to export instead.

A part of a file in TS, MPG (VOB), AMR, AC-3 (E-AC-3) or AAC looks like a whole file: these formats have neither an
index nor an end. While such a copy grows it is waited for, but one that stands still for longer than the settling time
is taken for complete. If it goes on growing while its video is made, that is noticed before anything is published, and
the folder starts anew. One that never goes on is rendered as far as it goes, without a remark.

- **probe**: what the file is taken for, by its content; **complete**: it counts as fully copied.
- **sound**: how far the result's sound lies behind the voice file's, by cross-correlation; at most {LAG_LIMIT_MS:g} ms.
- **frames**: rendered, of those that cover the voice; one more or less may come of a codec's padding.
- **colour**: PSNR of the picture's upper half against the input, in RGB; at least {PSNR_LIMIT_DB:g} dB. HDR
  is converted and so has none, and ffmpeg cannot show WebM's transparency for comparison. The result is 4:2:0: of 4:4:4
  and RGB about 32 dB remain, as the pattern has colour edges of one pixel.

An engine for tests takes the place of the real one: it paints over the lower half of the face only.

| for | container | codec | probe | complete | render | sound | frames | colour |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


CHINESE_HEAD = f"""# 格式

[English](../formats.md)

下列容器和编码都由 ffmpeg 生成样本，经过渲染和测量。`make formats` 会重做一遍并改写本页。
不在表中的格式会报告为无法使用，并说明应导出成什么格式。

TS、MPG（VOB）、AMR、AC-3（E-AC-3）和 AAC 文件的一部分看上去就像完整的文件：这些格式既没有索引，也没有结尾标记。
文件还在增大时，会一直等待；如果停止增大的时间超过静置时间，就会视为复制完成。如果制作期间又继续增大，发布之前会发现，
该任务会重新开始。如果再也没有增大，就按现有部分渲染，不会另行提示。

- **识别**：按内容识别出的类型；**完整**：视为已复制完毕。
- **声音**：成品的声音比录音文件晚多少，由互相关测得；最多 {LAG_LIMIT_MS:g} ms。
- **帧数**：渲染的帧数，以及覆盖录音所需的帧数；编码的填充可能造成一帧之差。
- **颜色**：画面上半部分与原视频在 RGB 中的 PSNR，至少 {PSNR_LIMIT_DB:g} dB。HDR 会被转换，因此没有数值；
  ffmpeg 无法给出 WebM 的透明画面用于比较。成品为 4:2:0：测试图案的色彩边缘只有一个像素宽，4:4:4 和 RGB 约剩 32 dB。

测试用的引擎代替真正的引擎，只在人脸下半部分涂色。

| 用途 | 容器 | 编码 | 识别 | 完整 | 渲染 | 声音 | 帧数 | 颜色 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
CHINESE = {
    "video": "视频", "voice": "录音", "audio": "音频", "yes": "是", "no": "否", "nothing": "无", "transparent": "透明",
    "10 bit": "10 位", "16 bit": "16 位", "24 bit": "24 位", "32 bit float": "32 位浮点", "full range": "全范围",
    "interlaced": "隔行", "anamorphic": "非方形像素", "odd size": "奇数尺寸", "fragmented": "分段",
    "uncompressed": "未压缩", "QuickTime animation": "QuickTime 动画", "stereo": "立体声",
    "one cable reversed": "一路反相", "10 channels": "10 声道", "voice on one": "语音只在其中一路",
}  # fmt: skip


def in_chinese(text: str) -> str:
    """Return a line of the page's table for the Chinese page."""
    cells = [", ".join(CHINESE.get(part, part) for part in cell.strip().split(", ")) for cell in text.split("|")[1:-1]]
    return f"| {' | '.join(cell.replace(' of ', ' / ').replace(', ', '，') for cell in cells)} |"


def pages(lines: list[str]) -> dict[Path, str]:
    """Return the pages' texts, in English and Chinese, with the table of these lines."""
    return {
        PAGE: HEAD + "".join(f"{text}\n" for text in lines),
        CHINESE_PAGE: CHINESE_HEAD + "".join(f"{in_chinese(text)}\n" for text in lines),
    }


def line(row: Row, outcome: Outcome) -> str:
    """Return the row of the page's table."""
    lag = "" if outcome.lag_ms is None else f"{outcome.lag_ms:g} ms"
    psnr = "" if outcome.psnr_db is None else f"{outcome.psnr_db:g} dB"
    done = "yes" if not outcome.wrong else "; ".join(outcome.wrong)
    complete = "yes" if outcome.complete else "no"
    cells = (row.kind, row.container, row.codec, outcome.probed, complete, done, lag, outcome.frames, psnr)
    return f"| {' | '.join(cells)} |"


def _name(text: str) -> str:
    """Return the name of the row that a line of the page shows."""
    return " ".join(cell.strip() for cell in text.split("|")[1:4])


def main(words: list[str]) -> int:
    """Run the rows; return 1 if one of them is wrong."""
    rows = [row for row in ROWS if not words or any(word in row.name for word in words)]
    known = {_name(text): text for text in PAGE.read_text("utf-8").splitlines()} if PAGE.exists() else {}
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="heygemd-formats-") as folder:
        studio = Studio(Path(folder))
        for row in rows:
            start = time.monotonic()
            outcome = studio.run(row)
            wrong += bool(outcome.wrong)
            known[row.name] = line(row, outcome)
            print(known[row.name], f"{time.monotonic() - start:.1f} s", flush=True)
    for page, text in pages([known[row.name] for row in ROWS if row.name in known]).items():
        page.write_text(text, "utf-8")
    print(f"{len(rows)} rows, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
