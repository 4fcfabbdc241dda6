"""Mixes the voices of several speakers into the sound of the result: in the middle, or each from its speaker's side."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from ...media import ffmpeg
from ...media.process import Reader
from ..scene import F32
from .load import Voice, mono_blocks

MAX_RATE_HZ = 48_000
PEAK = 0.97
"""Louder peaks would clip, also after AAC: the whole mix is then turned down."""
HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
FLOAT_FORMAT, SAMPLE_BYTES = 3, 4


@dataclass(frozen=True)
class PlacedVoice:
    """A speaker's voice and where it begins in the result, seconds."""

    voice: Voice
    at_s: Fraction

    @property
    def end_s(self) -> Fraction:
        """When it ends."""
        return self.at_s + self.voice.duration_s


def gains(speakers: int, channels: Literal["middle", "own"]) -> F32:
    """Return (speakers, channels) float32, how much of each voice is in each channel.

    "own": the speakers, from left to right, are spread over a stereo picture by constant-power panning: of two each has
    a channel of its own.
    """
    if channels == "middle":
        return np.ones((speakers, 1), np.float32)
    angles = np.linspace(0, np.pi / 2, speakers)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def mix_voices(placed: Sequence[PlacedVoice], shares: F32, target: Path) -> None:
    """Write the mix as WAV, 32-bit float.

    shares  (speakers, channels) of `gains`
    """
    rate = min(MAX_RATE_HZ, max(each.voice.stream.rate for each in placed))
    channels = shares.shape[1]
    count = -(-max(each.end_s for each in placed) * rate // 1)
    _write_header(target, int(count), channels, rate)
    mixed = np.memmap(target, "<f4", "r+", offset=HEADER.size, shape=(int(count), channels))
    for each, share in zip(placed, shares, strict=True):
        voice, done = each.voice, round(each.at_s * rate)
        source = ffmpeg.sound(voice.path, voice.stream.index)
        raw = {"format": "f32le", "acodec": "pcm_f32le", "ac": max(1, voice.stream.channels), "ar": rate}
        argv = ffmpeg.command(ffmpeg.to_pipe(source, **raw), media_s=float(voice.duration_s))
        with Reader(argv) as reader:
            for block in mono_blocks(reader, rate, voice.mix):
                part = mixed[done : done + len(block)]
                part += block[: len(part), None] * share
                done += len(block)
    peak = max(float(mixed.max(initial=0)), -float(mixed.min(initial=0)))
    if peak > PEAK:
        mixed *= np.float32(PEAK / peak)
    mixed.flush()


def _write_header(path: Path, count: int, channels: int, rate: int) -> None:
    """Begin a WAV of `count` times `channels` float32 samples, all zero."""
    size, frame = count * channels * SAMPLE_BYTES, channels * SAMPLE_BYTES
    shape = (16, FLOAT_FORMAT, channels, rate, rate * frame, frame, 8 * SAMPLE_BYTES)
    with open(path, "wb") as file:
        file.write(HEADER.pack(b"RIFF", HEADER.size - 8 + size, b"WAVE", b"fmt ", *shape, b"data", size))
        file.truncate(HEADER.size + size)
