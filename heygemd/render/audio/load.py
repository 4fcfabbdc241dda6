"""Loads the voice: decoded once to 16 kHz mono on disk, with its exact length and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from ...config.schema import Limits
from ...errors import InputError, of_the_voice
from ...media import completeness, ffmpeg, packets
from ...media.ffmpeg import MAX_DELIVERED_CHANNELS
from ...media.probe import AudioStream, MediaInfo, probe
from ...media.process import ProcessEnd, Reader, error_from
from ..cache import Cache, fetch_or_make
from ..scene import Finding
from . import vad
from .downmix import choose_mix, choose_track
from .mel import VOICE_RATE_HZ
from .quality import QualityMeter, Samples

VERSION = "9"
BLOCK_S, CONTEXT_S = 20, 1
MIN_VOICE_S = 0.2
COPY_TOLERANCE_S, LOST_S = 0.1, 0.1
PADDING_SAMPLES = 2048
"""AAC fills its last frame of 1024 samples (2048 with SBR)."""


@dataclass(frozen=True)
class Voice:
    """A voice recording.

    path        the file as it was dropped, for the output's sound track
    container   its format, as ffprobe names it
    stream      the audio stream in it, see `downmix.choose_track`
    samples     (n,) float32 mono at VOICE_RATE_HZ, memory-mapped; n = round(duration_s * VOICE_RATE_HZ)
    mix         (channels,) float32, the share of each channel in `samples`
    duration_s  exact: samples from the file's start on over the recording's own rate, without a codec's padding
    copyable    AAC that starts with the file and has no gaps: its packets can be copied
    findings    what people should know about its quality
    filters     what it goes through before it is delivered
    """

    path: Path
    container: str
    stream: AudioStream
    samples: Samples
    mix: Samples
    duration_s: Fraction
    copyable: bool
    findings: list[Finding]
    filters: ffmpeg.Filters = ()


def load_voice(path: Path, digest: str, limits: Limits, cache: Cache, scratch: Path, which: str = "voice") -> Voice:
    """Decode and measure a voice on its own timeline (see `ffmpeg.sound`), or take it from the cache.

    Raise InputError("no_audio" | "audio_too_short" | "audio_too_long" | "media_unreadable") and the errors of `probe`,
    all `of_the_voice`.
    """
    with of_the_voice(which):
        return _load(path, digest, limits, cache, scratch / which)


def _load(path: Path, digest: str, limits: Limits, cache: Cache, folder: Path) -> Voice:
    def make() -> list[Path]:
        info = probe(path, limits)
        if info.audio is None:
            raise InputError("no_audio")
        stream = choose_track(path, info.audio, info.tracks)
        facts = _decode(path, info, stream, limits, folder / "voice.f32")
        facts |= {"container": info.container, "stream": asdict(stream)}
        facts["copyable"] = _is_copyable(path, info, stream, Fraction(*facts["duration_s"]), limits)
        if stream != info.audio:
            number, count = info.tracks.index(stream) + 1, len(info.tracks)
            facts["findings"].append(Finding("voice_track", {"number": number, "count": count}))
        (folder / "voice.json").write_text(json.dumps(facts))
        return [folder / "voice.f32", folder / "voice.json"]

    fetch_or_make(cache, "voice", f"{digest} {VERSION} {limits.model_dump_json()}", folder, make)
    facts: dict[str, Any] = json.loads((folder / "voice.json").read_text())
    samples: Samples = np.memmap(folder / "voice.f32", "<f4", "r")
    stream = AudioStream(**facts["stream"])
    findings = [Finding(code, fields) for code, fields in facts["findings"]]
    mix, duration_s = np.array(facts["mix"], np.float32), Fraction(*facts["duration_s"])
    if duration_s > limits.max_audio_s:  # it was decoded no further
        longest_s = max(float(duration_s), stream.duration_s)
        raise InputError("audio_too_long", duration_s=round(longest_s, 1), limit_s=limits.max_audio_s)
    return Voice(path, facts["container"], stream, samples, mix, duration_s, facts["copyable"], findings)


def speech_findings(voice: Voice, digest: str, cache: Cache, scratch: Path) -> list[Finding]:
    """Return `vad.findings` of a voice, computed or taken from the cache."""
    file = scratch / "speech" / "speech.json"

    def make() -> list[Path]:
        file.write_text(json.dumps(vad.findings(voice.samples)))
        return [file]

    fetch_or_make(cache, "speech", f"{digest} {VERSION}", file.parent, make)
    return [Finding(code, fields) for code, fields in json.loads(file.read_text())]


def decode_track(path: Path, info: MediaInfo, limits: Limits, target: Path) -> Samples:
    """Return the sound of a probed file, (n,) float32 at VOICE_RATE_HZ, mapped from `target`. Raise as `load_voice`."""
    if info.audio is None:
        raise InputError("no_audio")
    _decode(path, info, info.audio, limits, target)
    return np.memmap(target, "<f4", "r")


def _decode(path: Path, info: MediaInfo, stream: AudioStream, limits: Limits, target: Path) -> dict[str, Any]:
    """Write the samples at VOICE_RATE_HZ to `target`; return the exact duration and the findings."""
    source = ffmpeg.sound(path, stream.index, t=limits.max_audio_s + 1)
    output = ffmpeg.to_pipe(source, format="f32le", acodec="pcm_f32le", ac=max(1, stream.channels), ar=stream.rate)
    mix = choose_mix(path, stream)
    meter = QualityMeter()
    with Reader(ffmpeg.command(output, media_s=limits.max_audio_s)) as reader, open(target, "wb") as file:
        for block in _resampled(meter.count_clipped(mono_blocks(reader, stream.rate, mix)), stream.rate):
            file.write(block.astype("<f4").tobytes())
            meter.add_levels(block)
        ended = reader.wait()
    duration_s = _without_padding(Fraction(meter.count, stream.rate), stream)
    if not meter.count:
        raise error_from(ended, reading=True) if ended.status else InputError("media_unreadable", detail=ended.tail)
    if duration_s < Fraction(MIN_VOICE_S):
        raise InputError("audio_too_short", seconds=round(float(duration_s), 3))
    _fit(target, round(duration_s * VOICE_RATE_HZ))
    promised_s = stream.start_s + (stream.duration_s or (0.0 if info.video else info.duration_s))
    lost_s = _lost_s(path, stream, limits, Fraction(meter.count, stream.rate), ended)
    findings = [*meter.findings(), *_damage_findings(path, float(duration_s), promised_s, lost_s, ended)]
    if stream.channels > MAX_DELIVERED_CHANNELS:
        findings.append(Finding("audio_mixed_down", {"count": stream.channels}))
    return {"duration_s": duration_s.as_integer_ratio(), "mix": mix.tolist(), "findings": findings}


def _is_copyable(path: Path, info: MediaInfo, stream: AudioStream, duration_s: Fraction, limits: Limits) -> bool:
    if stream.codec != "aac" or info.container == "aac":
        return info.container == "aac"  # bare ADTS has no times that could be wrong
    if stream.channels > MAX_DELIVERED_CHANNELS:
        return False
    timed = not stream.start_s and abs(stream.duration_s - float(duration_s)) < COPY_TOLERANCE_S
    return timed and packets.is_gapless(packets.read(path, limits, stream.index))


def _without_padding(decoded_s: Fraction, stream: AudioStream) -> Fraction:
    """Return the duration that players show: ffmpeg also decodes the padding of the last frame."""
    stated_s = Fraction(round((stream.start_s + stream.duration_s) * stream.rate), stream.rate)
    return stated_s if 0 < decoded_s - stated_s <= Fraction(PADDING_SAMPLES, stream.rate) else decoded_s


def mono_blocks(reader: Reader, rate: int, mix: Samples) -> Iterator[Samples]:
    """Yield the channels' mix in blocks of BLOCK_S seconds, the last one shorter."""
    size = 4 * len(mix)
    buffer = bytearray(BLOCK_S * rate * size)
    while (got := reader.read_into(memoryview(buffer))) >= size:
        channels = np.frombuffer(buffer[: got // size * size], "<f4").reshape(-1, len(mix))
        yield np.nan_to_num(channels, posinf=1.0, neginf=-1.0) @ mix


def _resampled(blocks: Iterator[Samples], rate: int) -> Iterator[Samples]:
    """Resample block by block, each with CONTEXT_S of its neighbours, so that blocks join without a seam."""
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


def _lost_s(path: Path, stream: AudioStream, limits: Limits, filled_s: Fraction, ended: ProcessEnd) -> float:
    """Return how much of `filled_s` is silence in place of what the decoder could not read.

    Without a word from the decoder all was read; but FLAC's skips what is no frame and says nothing.
    """
    if ended.status == 0 and not ended.lines and stream.codec != "flac":
        return 0.0
    source, channels = ffmpeg.media(path, t=limits.max_audio_s + 1)[str(stream.index)], max(1, stream.channels)
    output = ffmpeg.to_pipe(source, format="u8", acodec="pcm_u8", ac=channels, ar=stream.rate)
    buffer, decoded = memoryview(bytearray(stream.rate * channels)), 0
    with Reader(ffmpeg.command(output, media_s=limits.max_audio_s)) as reader:
        while got := reader.read_into(buffer):
            decoded += got
    return float(filled_s - Fraction(decoded, stream.rate * channels)) - stream.start_s


def _damage_findings(path: Path, got_s: float, promised_s: float, lost_s: float, ended: ProcessEnd) -> list[Finding]:
    if completeness.is_cut_short(path):
        return [Finding("audio_cut_short", {"duration_s": round(got_s, 2)})]
    if lost_s < LOST_S and ended.status == 0 and (not ended.lines or got_s > 0.98 * promised_s):
        return []
    return [Finding("audio_damaged", {"duration_s": round(got_s, 2), "promised_s": round(promised_s, 2)})]
