"""What is heard of the output besides the plain voice: the video's own sound under it, and a loudness as asked for."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ...errors import EngineError
from ...media import ffmpeg
from ...media.process import Reader
from ..scene import Finding
from .load import Voice
from .original_sound import CHANNELS, RATE_HZ

DUCKING = {"threshold": 0.02, "ratio": 6, "attack": 30, "release": 600, "detection": "rms"}
"""While the voice speaks, the video's own sound is lowered further, by about 10 dB for a voice of usual loudness."""
CEILING_DB = -1.5
"""Highest true peak. AAC may exceed it slightly."""
OVERSAMPLED_HZ = 192_000
ATTACK_S = 0.005
TOLERANCE_LU, ROUNDS = 0.1, 4
MAX_GAIN_DB = 24.0
SILENCE_LUFS = -60.0
_INTEGRATED = re.compile(r"Integrated loudness:\s*I:\s*(-?[\d.]+|-?inf|nan) LUFS")
_PEAK = re.compile(r"True peak:\s*Peak:\s*(-?[\d.]+|-?inf|nan) dBFS")


def mixed(voice: Voice, original: Path, level_db: float, sound_s: Fraction, scratch: Path) -> Voice:
    """Return the voice over the video's own sound, `sound_s` long; nothing of it is clipped.

    original  raw float32 at RATE_HZ with CHANNELS, as long as the output
    """
    path = scratch / "mixed.wav"
    channels = voice.stream.channels if voice.stream.channels <= ffmpeg.MAX_DELIVERED_CHANNELS else 1
    both = ffmpeg.stereo(_spoken(voice), channels, RATE_HZ).filter("apad").filter_multi_output("asplit")
    under = ffmpeg.raw_sound(original, RATE_HZ, CHANNELS).filter("volume", f"{level_db}dB")
    under = ffmpeg.joined([under, both[1]], "sidechaincompress", **DUCKING)
    output = ffmpeg.to_file(
        ffmpeg.joined([both[0], under], "amix", inputs=2, duration="shortest", normalize=0),
        path=path,
        max_bytes=1 << 40,
        format="wav",
        acodec="pcm_f32le",
        rf64="auto",
        t=float(sound_s),
    )
    with Reader(ffmpeg.command(output, media_s=float(sound_s))) as running:
        ended = running.wait(3600)
    if ended.status:
        raise EngineError("encode_failed", detail=ended.tail)
    stream = replace(
        voice.stream, index=0, codec="pcm_f32le", rate=RATE_HZ, channels=CHANNELS, layout="stereo", start_s=0.0
    )
    made = replace(voice, path=path, container="wav", stream=stream, duration_s=sound_s, copyable=False)
    _, peak_db = _measured(made, sound_s)
    return replace(made, filters=_gain(CEILING_DB - peak_db)) if peak_db > CEILING_DB else made


def normalised(voice: Voice, target_lufs: float, sound_s: Fraction) -> tuple[Voice, float | None, list[Finding]]:
    """Return the voice with its loudness (EBU R 128) at the target, that loudness, and what people should know.

    The gain is constant; only peaks above the ceiling are limited, and then the gain is measured again.
    """
    plain = replace(voice, filters=())
    measured, peak_db = _measured(plain, sound_s)
    if measured < SILENCE_LUFS:
        return voice, None, [Finding("loudness_silent", {})]
    wanted_db = target_lufs - measured
    gain_db = min(wanted_db, MAX_GAIN_DB)
    made = plain
    for _ in range(ROUNDS):
        limited = peak_db + gain_db > CEILING_DB
        filters = _gain(gain_db) + (_limiter(voice.stream.rate) if limited else ())
        made = replace(plain, filters=filters, copyable=False)
        measured, _ = _measured(made, sound_s)
        if not limited or gain_db >= MAX_GAIN_DB or abs(target_lufs - measured) < TOLERANCE_LU:
            break
        gain_db = min(gain_db + target_lufs - measured, MAX_GAIN_DB)
    off = abs(target_lufs - measured) > 0.5
    missed = Finding("loudness_missed", {"target_lufs": target_lufs, "lufs": round(measured, 1)})
    return made, round(measured, 1), [missed] if off else []


def _spoken(voice: Voice) -> ffmpeg.Stream:
    """Return the voice as it is delivered."""
    return ffmpeg.delivered(voice.path, voice.stream.index, voice.stream.channels, voice.mix.tolist())


def _gain(gain_db: float) -> ffmpeg.Filters:
    return (("volume", (f"{gain_db:.3f}dB",), {}),)


def _limiter(rate: int) -> ffmpeg.Filters:
    """Return filters that keep true peaks below the ceiling; the limiter's look-ahead, by which it is late, is cut."""
    ceiling = 10 ** (CEILING_DB / 20)
    return (
        ("aresample", (OVERSAMPLED_HZ,), {}),
        ("alimiter", (), {"limit": ceiling, "level": 0, "attack": ATTACK_S * 1000, "release": 50}),
        ("apad", (), {"pad_dur": ATTACK_S}),
        ("atrim", (), {"start": ATTACK_S}),
        ("asetpts", ("PTS-STARTPTS",), {}),
        ("aresample", (rate,), {}),
    )


def _measured(voice: Voice, sound_s: Fraction) -> tuple[float, float]:
    """Return the integrated loudness (LUFS) and the true peak (dBTP) of a voice as it is delivered."""
    sound = ffmpeg.filtered(_spoken(voice), voice.filters).filter("ebur128", peak="true", framelog="verbose")
    output = ffmpeg.to_pipe(sound, format="null", t=float(sound_s))
    with Reader(ffmpeg.command(output, media_s=float(sound_s), log="info")) as running:
        ended = running.wait(3600)
    loudness, peak = _INTEGRATED.search(ended.tail), _PEAK.search(ended.tail)
    if ended.status or loudness is None or peak is None:
        raise EngineError("engine_error", detail=ended.tail)
    values = (float(found[1]) for found in (loudness, peak))
    integrated, peak_db = (-math.inf if math.isnan(value) else value for value in values)
    return integrated, peak_db
