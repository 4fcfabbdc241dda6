"""Videos and voices one second long: bundled ones, and recordings of real people where available."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

from heygemd.demo import clips
from tests.media_factory import CLIPS, ffmpeg

WIDTH = 160
SECONDS = 1.0
FACES = (
    "av/*_lip2speech__fs2_av_check_*",
    "av/*_lip-read__data_s1_brbg3s*",
    "silent/FuxiVirtualH_styletalk__style_clips_video_*talk1_clip1*",
)
"""Patterns of recordings that show a face in their first second."""
ENDINGS = (".mp4", ".mov", ".mkv")


def videos(folder: Path) -> list[Path]:
    """Make videos of faces in several containers, each 160 pixels wide and one second long."""
    made = []
    portrait = clips.portrait()
    for number, clip in enumerate(clips.CLIPS):
        height = round(clip.height * WIDTH / clip.width / 2) * 2
        name = f"bundled-{number}{Path(clip.name).suffix}"
        small = dataclasses.replace(clip, name=name, width=WIDTH, height=height, seconds=SECONDS, fps=Fraction(25))
        clips.write(small, clips.frames(small, portrait), folder)
        made.append(folder / name)
    found = sorted(path for pattern in FACES for path in CLIPS.glob(pattern))[:6]
    for number, source in enumerate(found):
        target = folder / f"real-{number}{ENDINGS[number % len(ENDINGS)]}"
        codec = ["-vf", f"scale={WIDTH}:-2", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18"]
        ffmpeg("-i", source, "-t", str(SECONDS), "-an", *codec, target)
        made.append(target)
    return made


def voices(folder: Path) -> list[Path]:
    """Make one second of speech in several codecs."""
    source, made = Path(clips.__file__).with_name("voice.m4a"), []
    for number, name in enumerate(("v.m4a", "v.wav", "v.mp3", "v.flac", "v.ogg")):
        ffmpeg("-ss", str(0.4 + 0.3 * number), "-t", str(SECONDS), "-i", source, folder / name)
        made.append(folder / name)
    return made
