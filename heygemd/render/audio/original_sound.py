"""The video's own sound for the whole output: it always plays forwards, from its start whenever the picture turns.

At a turn it is crossfaded with the next pass. What is heard of the old pass after the turn is its own end, moved back
by the length of the fade and crossfaded with itself before: each pass begins exactly with the picture, however many.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...media import ffmpeg, process
from ...media.probe import MediaInfo
from ..scene import Finding
from . import mel, vad

RATE_HZ, CHANNELS = 48_000, 2
FADE_S, FADE_SHARE = 0.1, 0.2
"""Length of a crossfade, at most this share of a pass."""
BLOCK = 20 * RATE_HZ
HEARD_S, SPEECH_S = 60.0, 1.0
"""How much of the sound is searched for speech, and how much speech is worth a remark."""
STALL_S = 600.0


def speech_findings(video: Path, info: MediaInfo) -> list[Finding]:
    """Return the remark that people speak in the video's own sound, if they do."""
    assert info.audio is not None
    source = ffmpeg.sound(video, info.audio.index, t=HEARD_S)
    output = ffmpeg.to_pipe(source, format="f32le", acodec="pcm_f32le", ac=1, ar=mel.VOICE_RATE_HZ)
    sound = np.frombuffer(process.run(ffmpeg.command(output, media_s=HEARD_S), STALL_S), "<f4")
    if len(sound) < mel.VOICE_RATE_HZ // 2:
        return []
    speech = vad.detect_speech(sound, vad.load())
    return [Finding("original_sound_speech", {})] if speech.sum() >= SPEECH_S * mel.RATE_HZ else []


def write_whole(
    video: Path, info: MediaInfo, starts_s: Sequence[Fraction], pass_s: Fraction, total_s: Fraction, scratch: Path
) -> Path:
    """Write the sound for `total_s` of output as raw float32 at RATE_HZ with CHANNELS; return its path.

    starts_s  when each pass of the picture begins, ascending from 0
    pass_s    length of the longest pass
    """
    length, total = (round(seconds * RATE_HZ) for seconds in (min(pass_s, total_s), total_s))
    fade = int(min(FADE_S * RATE_HZ, FADE_SHARE * length))
    one, whole = scratch / "original-pass.f32", scratch / "original.f32"
    _decode(video, info, length, one)
    source = np.memmap(one, "<f4", "r+", shape=(length + fade, CHANNELS))
    _prolong(source, fade)
    target: NDArray[np.float32] = np.memmap(whole, "<f4", "w+", shape=(total, CHANNELS))
    starts = [start for start in (round(seconds * RATE_HZ) for seconds in starts_s) if start < total]
    for start, stop in zip(starts, [*starts[1:], total], strict=True):
        _add(target, source, start, stop, fade)
    one.unlink()
    return whole


def _decode(video: Path, info: MediaInfo, length: int, target: Path) -> None:
    """Write what is heard from the first frame on, followed by silence where it ends early."""
    assert info.audio is not None and info.video is not None
    source = ffmpeg.sound(video, info.audio.index).filter("atrim", start=info.video.start_s)
    source = ffmpeg.stereo(source.filter("asetpts", "PTS-STARTPTS"), info.audio.channels, RATE_HZ).filter("apad")
    options = {"format": "f32le", "acodec": "pcm_f32le", "t": length / RATE_HZ}
    output = ffmpeg.to_file(source, path=target, max_bytes=1 << 40, **options)
    process.run(ffmpeg.command(output, media_s=length / RATE_HZ), STALL_S + length / RATE_HZ)


def _prolong(source: NDArray[np.float32], fade: int) -> None:
    """Make the last `fade` samples, which are empty, go on with the sound: its end comes `fade` later."""
    if not fade:
        return
    end = len(source) - fade
    tail = source[end - 2 * fade : end].copy()
    rising, falling = _curves(fade)
    source[end - 2 * fade : end - fade] = tail[:fade] * falling + source[end - 3 * fade : end - 2 * fade] * rising
    source[end - fade :] = tail


def _add(target: NDArray[np.float32], source: NDArray[np.float32], start: int, stop: int, fade: int) -> None:
    """Add a pass from `start` on; it fades in, and out after `stop` or before the end of the output."""
    rising, falling = _curves(fade)
    end = min(stop + fade, len(target), start + len(source))
    for at in range(start, end, BLOCK):
        block = source[at - start : min(at + BLOCK, end) - start].copy()
        _fade(block, at - start, rising)
        _fade(block, at - (end - fade), falling)
        target[at : at + len(block)] += block


def _fade(block: NDArray[np.float32], offset: int, curve: NDArray[np.float32]) -> None:
    """Apply a curve to a block that begins `offset` samples after the curve does."""
    low, high = max(0, -offset), min(len(block), len(curve) - offset)
    if low < high:
        block[low:high] *= curve[low + offset : high + offset]


def _curves(fade: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (fade, 1) float32 gains that rise and fall at constant power."""
    angle = (np.arange(fade, dtype=np.float32)[:, None] + 0.5) / max(1, fade) * (np.pi / 2)
    return np.sin(angle, dtype=np.float32), np.cos(angle, dtype=np.float32)
