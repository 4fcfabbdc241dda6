"""The voice: decoded once to 16 kHz mono on disk, its exact length, and what is wrong with the recording."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from ...config.schema import Limits
from ...errors import InputError
from ...media import ffmpeg
from ...media.probe import AudioStream, probe
from ...media.process import ProcessEnd, Reader, error_from
from ..cache import Cache, through
from ..scene import Finding
from . import vad
from .mel import VOICE_RATE_HZ

VERSION = "5"
BLOCK_S, CONTEXT_S = 20, 1
LEVEL_FRAME, LEVEL_HOP = 400, 320  # 25 ms and 20 ms at 16 kHz
MIN_VOICE_S = 0.2
PADDING_SAMPLES = 2048
"""AAC fills its last frame of 1024 samples (2048 with SBR)."""
SILENT_DB, QUIET_DB = -60.0, -38.0
NOISY_SPREAD_DB = 18.0
"""Speech at 0 dB over babble spreads by 11 to 16 dB, at 10 dB by 21, clean recordings by 26 and more."""
FULL_SCALE, CLIP_RUN, CLIPPED_SHARE = 0.99, 3, 5e-4
Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """A voice recording.

    path      the file as staff gave it, for the output's sound track
    samples   (n,) float32 mono at VOICE_RATE_HZ, memory-mapped; n = round(duration_s * VOICE_RATE_HZ)
    duration_s  exact: decoded samples over the recording's own rate, without a codec's padding
    """

    path: Path
    container: str
    stream: AudioStream
    samples: Samples
    duration_s: Fraction
    findings: list[Finding]


def load(path: Path, digest: str, limits: Limits, cache: Cache, scratch: Path) -> Voice:
    """Decode and measure a voice, or take it from the cache.

    Raises InputError("no_audio" | "audio_too_short" | "media_unreadable" ...), as `probe`.
    """
    info = probe(path, limits)
    stream = info.audio
    if stream is None:
        raise InputError("no_audio")
    folder = scratch / "voice"

    def make() -> list[Path]:
        facts = _decode(path, stream, limits, folder / "voice.f32")
        (folder / "voice.json").write_text(json.dumps(facts))
        return [folder / "voice.f32", folder / "voice.json"]

    through(cache, "voice", f"{digest} {VERSION}", folder, make)
    facts: dict[str, Any] = json.loads((folder / "voice.json").read_text())
    samples: Samples = np.memmap(folder / "voice.f32", "<f4", "r")
    findings = [Finding(code, fields) for code, fields in facts["findings"]]
    return Voice(path, info.container, stream, samples, Fraction(*facts["duration_s"]), findings)


def listen(voice: Voice, digest: str, cache: Cache, scratch: Path) -> list[Finding]:
    """Return what speech there is in the voice, see `speech.findings`, or take it from the cache."""
    file = scratch / "speech" / "speech.json"

    def make() -> list[Path]:
        file.write_text(json.dumps(vad.findings(voice.samples)))
        return [file]

    through(cache, "speech", f"{digest} {VERSION}", file.parent, make)
    return [Finding(code, fields) for code, fields in json.loads(file.read_text())]


def _decode(path: Path, stream: AudioStream, limits: Limits, target: Path) -> dict[str, Any]:
    """Write the samples at VOICE_RATE_HZ to `target`; return length and findings."""
    source = ffmpeg.media(path, t=limits.max_audio_s + 1)[str(stream.index)]
    output = ffmpeg.to_pipe(source, format="f32le", acodec="pcm_f32le", ac=1, ar=stream.rate)
    meter = _Meter()
    with Reader(ffmpeg.command(output, media_s=limits.max_audio_s)) as reader, open(target, "wb") as file:
        for block in _resampled(meter.native(_blocks(reader, stream.rate)), stream.rate):
            file.write(block.astype("<f4").tobytes())
            meter.level(block)
        ended = reader.wait()
    duration_s = _without_padding(Fraction(meter.count, stream.rate), stream)
    if not meter.count:
        raise error_from(ended, reading=True) if ended.status else InputError("media_unreadable", detail=ended.tail)
    if duration_s < Fraction(MIN_VOICE_S):
        raise InputError("audio_too_short", seconds=round(float(duration_s), 3))
    _fit(target, round(duration_s * VOICE_RATE_HZ))
    findings = [*meter.findings(), *_damage(ended, float(duration_s), stream.duration_s)]
    return {"duration_s": duration_s.as_integer_ratio(), "findings": findings}


def _without_padding(decoded_s: Fraction, stream: AudioStream) -> Fraction:
    """Return the length that players give: ffmpeg decodes the last frame's padding as well."""
    stated_s = Fraction(round(stream.duration_s * stream.rate), stream.rate)
    return stated_s if 0 < decoded_s - stated_s <= Fraction(PADDING_SAMPLES, stream.rate) else decoded_s


def _blocks(reader: Reader, rate: int) -> Iterator[Samples]:
    """Yield mono samples in blocks of BLOCK_S seconds, the last one shorter."""
    buffer = bytearray(BLOCK_S * rate * 4)
    while (got := reader.read_into(memoryview(buffer))) >= 4:
        yield np.nan_to_num(np.frombuffer(buffer[: got // 4 * 4], "<f4"), posinf=1.0, neginf=-1.0)


def _resampled(blocks: Iterator[Samples], rate: int) -> Iterator[Samples]:
    """Resample block by block, each with CONTEXT_S of its neighbours: no seam is heard, memory is bounded."""
    context, cut = CONTEXT_S * rate, CONTEXT_S * VOICE_RATE_HZ
    before = np.zeros(0, np.float32)
    current = next(blocks, None)
    while current is not None:
        after = next(blocks, None)
        parts = [before, current, after[:context] if after is not None else np.zeros(0, np.float32)]
        joined = soxr.resample(np.concatenate(parts), rate, VOICE_RATE_HZ, "HQ")
        start = cut if len(before) else 0
        length = int(np.ceil(len(current) * VOICE_RATE_HZ / rate))
        yield joined[start : start + length]
        before, current = current[-context:], after


def _fit(path: Path, samples: int) -> None:
    """Make the file exactly `samples` long (rounding differs by one at most); new samples are zero."""
    with open(path, "r+b") as file:
        file.truncate(samples * 4)


class _Meter:
    """Levels and clipping of a recording, block by block."""

    def __init__(self) -> None:
        self.count = self.clipped = 0
        self._levels: list[Samples] = []

    def native(self, blocks: Iterator[Samples]) -> Iterator[Samples]:
        """Pass the blocks through, counting samples and those in runs at full scale."""
        for block in blocks:
            self.count += len(block)
            loud = np.abs(block) >= FULL_SCALE
            run = np.convolve(loud, np.ones(CLIP_RUN), "same") >= CLIP_RUN
            self.clipped += int(run.sum())
            yield block

    def level(self, block: Samples) -> None:
        """Take the loudness of a block at VOICE_RATE_HZ."""
        if len(block) >= LEVEL_FRAME:
            frames = np.lib.stride_tricks.sliding_window_view(np.square(block), LEVEL_FRAME)[::LEVEL_HOP]
            self._levels.append(np.sqrt(frames.mean(1)))
        elif len(block):
            self._levels.append(np.sqrt(np.mean(np.square(block), keepdims=True)))

    def findings(self) -> list[Finding]:
        """Return what people should know about the recording."""
        levels = 20 * np.log10(np.maximum(np.concatenate(self._levels), 1e-9))
        loud = float(np.percentile(levels, 95))
        if float(levels.max()) < SILENT_DB:
            return [Finding("audio_silent", {"level_db": round(float(levels.max()), 1)})]
        found = []
        if loud < QUIET_DB:
            found.append(Finding("audio_quiet", {"level_db": round(loud, 1)}))
        share = self.clipped / self.count
        if share > CLIPPED_SHARE:
            found.append(Finding("audio_clipped", {"share": round(share, 5)}))
        spread = loud - float(np.percentile(levels, 10))
        if spread < NOISY_SPREAD_DB and len(levels) > 100:  # speech pauses; what never falls is noise or music
            found.append(Finding("audio_noisy", {"spread_db": round(spread, 1)}))
        return found


def _damage(ended: ProcessEnd, got_s: float, promised_s: float) -> list[Finding]:
    if ended.status == 0 and (not ended.lines or got_s > 0.98 * promised_s):
        return []
    return [Finding("audio_damaged", {"duration_s": round(got_s, 2), "promised_s": round(promised_s, 2)})]
