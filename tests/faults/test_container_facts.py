"""Whatever a container says of a valid video and voice: sizes, offsets, gaps, rates, layouts, rotation, trailing bytes.

Four things hold of each pair: it is rendered without a complaint; it is as long as its voice; the delivered sound lies
within 5 ms of the voice's; the lips follow as those of an undisturbed video with the same sound do. What is cut off or
partly overwritten is rendered just so, or explained by a fault of that file. HEYGEMD_DISTURBED: how many pairs of each.
"""

from __future__ import annotations

import dataclasses
import math
import os
import random
import wave
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.config.schema import Render
from heygemd.demo import clips
from heygemd.errors import InputError
from heygemd.media import completeness
from heygemd.protocol import Message, Notice, Result
from heygemd.render import pipeline
from heygemd.render.sync import av_offset
from tests.media_factory import VOICE, ffmpeg, lag_ms, samples
from tests.render.requests import request

PAIRS = int(os.environ.get("HEYGEMD_DISTURBED", "4"))
SEED = int(os.environ.get("HEYGEMD_DISTURBED_SEED", "18"))
SECONDS = 8
TAIL = b"maker's own data" * 400
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M")
UNTRUE = {"video_damaged", "audio_damaged", "video_cut_short", "audio_cut_short", "audio_silent", "no_speech"}
DAMAGE_OF = {"video": {"video_damaged", "video_cut_short"}, "voice": {"audio_damaged", "audio_cut_short"}}
"""What may be said of a damaged file that is rendered."""
EXPLAINED = {"media_unreadable", "no_duration", "format_unsupported", "audio_too_short", "no_audio", "no_video"}
"""Errors that are true of a file of which too little is left."""
PEAK_SHARE, OFFSET_MS = 0.7, 40
"""Of the undisturbed video's peak over its rivals, and how far apart the offsets may be; where lips do not follow, the
peak is no higher than its rivals. The measure's own noise, of one picture encoded twice: 0.9 and 20 ms."""
PADDING_S = 0.05
"""What a codec's last packet holds beyond the sound, at most: decoders give it, the output is without it."""

pytestmark = [pytest.mark.slow, pytest.mark.fault("FUZZ"), pytest.mark.timeout(PAIRS * 60 + 300)]
Disturb = Callable[[Path, Path, random.Random], Path]
"""Makes another form of the first file in a folder."""


def other_rate(source: Path, folder: Path, rng: random.Random) -> Path:
    rate = rng.choice(["24000/1001", "24", "30000/1001", "30", "50"])
    ffmpeg("-i", source, "-vf", f"fps={rate}", *X264, folder / "rate.mp4")
    return folder / "rate.mp4"


def browser_rate(source: Path, folder: Path, rng: random.Random) -> Path:
    jitter = f"settb=1/1000,setpts='PTS+random({rng.randrange(100)})*20'"
    ffmpeg("-i", source, "-vf", jitter, "-vsync", "passthrough", "-enc_time_base", "1/1000", *VP8, "-live", "1",
           folder / "live.webm")  # fmt: skip
    return folder / "live.webm"


def turned(source: Path, folder: Path, rng: random.Random) -> Path:
    ffmpeg("-i", source, "-vf", "transpose=clock", *X264, folder / "side.mp4")
    ffmpeg("-i", folder / "side.mp4", "-c", "copy", "-metadata:s:v", "rotate=90", folder / "turned.mov")
    return folder / "turned.mov"


def other_size(source: Path, folder: Path, rng: random.Random) -> Path:
    cut_s = round(rng.uniform(0.5, 1.5), 2)
    ffmpeg("-t", str(cut_s), "-i", source, "-vf", "scale=128:128", *X264, folder / "small.ts")
    ffmpeg("-ss", str(cut_s), "-i", source, *X264, folder / "large.ts")
    (folder / "list").write_text(f"file {folder / 'small.ts'}\nfile {folder / 'large.ts'}\n")
    path = folder / f"call.{rng.choice(['ts', 'mkv', 'mp4'])}"
    ffmpeg("-f", "concat", "-safe", "0", "-i", folder / "list", "-c", "copy", path)
    return path


def at_one_size(video: Path, folder: Path) -> Path:
    """The same pictures, as those of a smaller size are when they are enlarged: lips are told less well in them."""
    ffmpeg("-i", video, "-vf", "scale=160:160", "-r", "25", *X264, folder / "one-size.mp4")
    return folder / "one-size.mp4"


def long_sound(source: Path, folder: Path, rng: random.Random) -> Path:
    shift = ["-itsoffset", f"{rng.uniform(-1, 1):.2f}"]
    ffmpeg("-i", source, *shift, "-i", VOICE, "-map", "0:v", "-map", "1:a", "-c:v", "copy", folder / "own-sound.mkv")
    return folder / "own-sound.mkv"


def trailing_bytes(source: Path, folder: Path, rng: random.Random) -> Path:
    return written(folder / f"tail{source.suffix}", source.read_bytes() + TAIL)


def few_frames(source: Path, folder: Path, rng: random.Random) -> Path:
    ffmpeg("-i", source, "-frames:v", str(rng.choice([1, 2, 8])), *X264, folder / "few.mp4")
    return folder / "few.mp4"


def other_codec(source: Path, folder: Path, rng: random.Random) -> Path:
    path = folder / f"voice.{rng.choice(['m4a', 'mp3', 'flac', 'opus', 'webm', 'mka', 'ts', 'wma'])}"
    ffmpeg("-i", source, path)
    return path


def gap(source: Path, folder: Path, rng: random.Random) -> Path:
    start_s, path = rng.uniform(2, 4), folder / f"gap.{rng.choice(['m4a', 'webm', 'mkv'])}"
    ffmpeg("-i", source, "-bsf:a", f"noise=drop='between(pts*tb,{start_s},{start_s + rng.uniform(0.05, 1)})'", path)
    return path


def late(source: Path, folder: Path, rng: random.Random) -> Path:
    path, shift = folder / f"late.{rng.choice(['mp4', 'mkv', 'ts'])}", ["-itsoffset", f"{rng.uniform(0.1, 1):.3f}"]
    black = ["-f", "lavfi", "-i", f"color=s=64x64:r=25:d={SECONDS}"]
    sound, picture = (shift, []) if rng.randrange(2) else ([], shift)
    ffmpeg(*picture, *black, *sound, "-i", source, "-map", "0:v", "-map", "1:a", "-vsync", "passthrough", *X264, path)
    return path


def cut_by_edit_list(source: Path, folder: Path, rng: random.Random) -> Path:
    ffmpeg("-i", source, folder / "whole.m4a")
    ffmpeg("-ss", f"{rng.uniform(0.1, 1):.2f}", "-i", folder / "whole.m4a", "-c", "copy", folder / "cut.m4a")
    return folder / "cut.m4a"


def layout(source: Path, folder: Path, rng: random.Random) -> Path:
    pan = rng.choice(["stereo|c0=c0|c1=c0", "stereo|c0=c0|c1=0*c0", "5.1|FC=c0", "mono|c0=0.3*c0"])
    ffmpeg("-i", source, "-af", f"pan={pan}", folder / "layout.wav")
    return folder / "layout.wav"


def streamed(source: Path, folder: Path, rng: random.Random) -> Path:
    """A speech service's WAV: the sizes of the file and of its data were not known."""
    data = bytearray(source.read_bytes())
    at = data.index(b"data") + 4
    size = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\xff"])
    data[4:8] = data[at : at + 4] = size
    return written(folder / "streamed.wav", data)


def cut_off(source: Path, folder: Path, rng: random.Random) -> Path:
    """A broken transfer."""
    data = damageable(source, folder, rng)
    return written(
        folder / f"cut-off{data.suffix}", data.read_bytes()[: round(data.stat().st_size * rng.uniform(0, 0.95))]
    )


def overwritten(source: Path, folder: Path, rng: random.Random) -> Path:
    """A broken disk: a piece within the file is zeros."""
    data = damageable(source, folder, rng)
    content = bytearray(data.read_bytes())
    at, size = round(len(content) * rng.uniform(0, 0.8)), round(len(content) * rng.uniform(0.01, 0.1))
    content[at : at + size] = bytes(size)
    return written(folder / f"overwritten{data.suffix}", content)


def damageable(source: Path, folder: Path, rng: random.Random) -> Path:
    """The file in a container of any kind: with the index first or last, or without one."""
    pictures, sounds = ["mp4", "mov", "mkv", "ts", "avi"], ["wav", "m4a", "mp3", "flac", "mka", "ogg"]
    path = folder / f"whole.{rng.choice(pictures if source.suffix == '.mp4' else sounds)}"
    first = ["-movflags", "+faststart"] if path.suffix in (".mp4", ".m4a") else []
    ffmpeg("-i", source, *(X264 if source.suffix == ".mp4" else ()), *first, path)
    return path


def written(path: Path, data: bytes | bytearray) -> Path:
    path.write_bytes(data)
    return path


OF_VIDEO: list[Disturb] = [
    other_rate, browser_rate, turned, other_size, long_sound, trailing_bytes, few_frames,
]  # fmt: skip
OF_VOICE: list[Disturb] = [other_codec, gap, late, cut_by_edit_list, layout, streamed]
DAMAGE: list[Disturb] = [cut_off, overwritten]


class Studio:
    """Renders pairs in a folder, with what people would be told of each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.portrait = folder, clips.portrait()
        self.video, self.voice = self.drawn(Fraction(25)), folder / "voice.wav"
        ffmpeg("-t", str(SECONDS), "-i", VOICE, "-ac", "1", "-ar", "48000", self.voice)

    def drawn(self, fps: Fraction) -> Path:
        """The presenter, drawn at a rate."""
        name = f"anna-{fps.numerator}-{fps.denominator}.mp4"
        if not (self.folder / name).exists():
            clip = dataclasses.replace(clips.CLIPS[0], name=name, width=160, height=160, seconds=3.0, fps=fps)
            clips.write(clip, clips.frames(clip, self.portrait), self.folder)
        return self.folder / name

    def plain(self, of_video: Disturb, video: Path, result: Result) -> Path:
        """What to compare with: lips are measured less well in enlarged pictures, and at other rates differently."""
        if of_video is other_size:
            return at_one_size(video, video.parent)
        return self.drawn(Fraction(result.fps)) if of_video is other_rate else self.video

    def inside(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def render(self, voice: Path, video: Path, name: str) -> tuple[Result, set[str], Path]:
        told: list[Message] = []
        asked = request(self.inside(name), voice, video, Render(quality="draft"))
        result = pipeline.render(asked, told.append)
        return result, {message.code for message in told if isinstance(message, Notice)}, asked.output

    def undisturbed(self, voice: Path, video: Path, name: str) -> Result:
        """A plain video with the sound that a voice has, as plain samples."""
        plain = self.folder / f"{name}.wav"
        with wave.open(str(plain), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes((samples(voice).clip(-1, 1) * 32767).astype("<i2").tobytes())
        return self.render(plain, video, name)[0]


def peak(result: Result) -> float:
    """How many times as high as its best rival the peak is that the confidence is made of."""
    return 1 + result.offset_confidence / 2


def check_sound(result: Result, output: Path, voice: Path, which: str) -> None:
    """It is as long as the voice that can be decoded, and lies where it lies there."""
    heard, said, fps = samples(output), samples(voice), Fraction(result.fps)
    longest = math.ceil(Fraction(len(said), 16000) * fps)
    assert longest - math.ceil(PADDING_S * fps) <= result.frames <= longest, which
    assert abs(lag_ms(heard, said)) <= 5, which


def test_what_a_container_says_changes_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av_offset, "STEP_S", SECONDS)  # else it is measured only until it is certain, which is by luck
    studio, rng = Studio(tmp_path), random.Random(SEED)
    for number in range(PAIRS):
        folder = studio.inside(f"pair-{number}")
        of_video, of_voice = rng.choice(OF_VIDEO), rng.choice(OF_VOICE)
        video, voice = of_video(studio.video, folder, rng), of_voice(studio.voice, folder, rng)
        which = f"seed {SEED}, pair {number}: {of_video.__name__} ({video.name}) and {of_voice.__name__} ({voice.name})"
        for path in (video, voice):
            assert completeness.examine(path).end != "cut", which
        result, told, output = studio.render(voice, video, f"made-{number}")
        assert not told & UNTRUE, which
        check_sound(result, output, voice, which)
        usual = studio.undisturbed(voice, studio.plain(of_video, video, result), f"usual-{number}")
        seen, expected = ((r.offset_ms, r.offset_confidence) for r in (result, usual))
        lips = f"{which}: {seen}, without the disturbance {expected}"
        assert min(usual.offset_confidence, result.offset_confidence) > av_offset.MIN_CONFIDENCE, lips
        assert peak(result) >= PEAK_SHARE * peak(usual), lips
        assert abs((result.offset_ms or 0) - (usual.offset_ms or 0)) <= OFFSET_MS, lips
    record_property("summary", f"containers: seed {SEED}, {PAIRS} pairs rendered, sound within 5 ms, lips follow")
    record_property("times", PAIRS)


def test_what_is_damaged_is_rendered_or_explained(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    studio, rng = Studio(tmp_path), random.Random(SEED)
    explained: Counter[str] = Counter()
    for number in range(PAIRS):
        folder, blamed = studio.inside(f"pair-{number}"), rng.choice(["video", "voice"])
        damage = rng.choice(DAMAGE)
        broken = damage(studio.video if blamed == "video" else studio.voice, folder, rng)
        pair = (studio.voice, broken) if blamed == "video" else (broken, studio.video)
        which = f"seed {SEED}, pair {number}: {broken.name}"
        try:
            result, told, output = studio.render(*pair, f"made-{number}")
        except InputError as error:
            assert error.code in EXPLAINED, which
            assert ("voice" if "of" in error.fields else "video") == blamed, which
            explained[error.code] += 1
        else:
            assert not told & (UNTRUE - DAMAGE_OF[blamed]), which
            assert damage is cut_off or not {code for code in told if code.endswith("cut_short")}, which
            check_sound(result, output, pair[0], which)
            explained["rendered"] += 1
    counts = ", ".join(f"{count} {code}" for code, count in explained.most_common())
    record_property("summary", f"damaged files: seed {SEED}, {counts}")
    record_property("times", PAIRS)
