"""Which track and which channels of a recording carry the speech: their mix is the mono that drives the lips.

The mean of all channels is silent for antiphase stereo (one cable reversed), faint for a voice on one of ten channels,
and drowned beside a loud channel without speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...media import ffmpeg
from ...media.probe import AudioStream
from ...media.process import Reader
from . import mel, vad
from .mel import VOICE_RATE_HZ

Samples = NDArray[np.float32]

WINDOW_S, WINDOWS = 20.0, 6
"""A recording is judged by this many windows of this length, spread evenly over it."""
SILENT_DB = -80.0
SAME_CORRELATION, SAME_DB = 0.999, 1.0
"""Channels that correlate by more than the first and differ in level by less than the second are alike."""
HEARD_SHARE = 0.9
"""Mixes with at least this share of the most speech are compared by how far the speech rises above the rest."""
MEAN_BONUS_DB, MEAN_LOSS_DB = 3.0, 9.0
"""The mean of the channels wins against one of them that is clearer by less than the first, unless the speech in it is
fainter than in one of them by more than the second."""
SPEECHLESS_SHARE = 0.1
"""A track with a smaller share of another's speech has none to speak of."""


class Heard(NamedTuple):
    """Speech in a mix: its length, its level (of everything if there is none) and how far it rises above the rest."""

    seconds: float
    level_db: float
    clarity_db: float


def choose_track(path: Path, usual: AudioStream, tracks: Sequence[AudioStream]) -> AudioStream:
    """Return the track that players choose, unless it is silent or without speech and another one is not.

    Screen recorders and cameras write one track for each source, and nothing into that of a source that is off.
    """
    if len(tracks) < 2:
        return usual
    net = vad.load()
    heard = {}
    for track in tracks:
        sound = choose_mix(path, track) @ _windows(path, track)
        heard[track] = _heard(sound, vad.detect_speech(sound, net)) if sound.size else Heard(0.0, SILENT_DB, 0.0)
    best = max(tracks, key=lambda track: heard[track][:2])
    silent = heard[usual].level_db <= SILENT_DB < heard[best].level_db
    return best if silent or heard[usual].seconds < SPEECHLESS_SHARE * heard[best].seconds else usual


def choose_mix(path: Path, stream: AudioStream) -> Samples:
    """Return (channels,) float32, the share of each channel in the mono; they add up to 1."""
    if stream.channels < 2:
        return np.ones(1, np.float32)
    channels = _windows(path, stream)
    audible = np.array([_level_db(channel) > SILENT_DB for channel in channels])
    mean = np.asarray((audible if audible.any() else ~audible) / max(1, audible.sum() or len(audible)), np.float32)
    if audible.sum() < 2 or _alike(channels[audible]):
        return mean
    mixes = [mean, *np.eye(len(channels), dtype=np.float32)[audible]]
    net = vad.load()
    sounds = [weights @ channels for weights in mixes]
    speech = [vad.detect_speech(sound, net) for sound in sounds]
    speech[0] &= np.any(speech[1:], 0)  # what is speech in the mean only is none
    heard = [_heard(sound, spoken) for sound, spoken in zip(sounds, speech, strict=True)]
    most = max(h.seconds for h in heard)
    good = [h.seconds >= HEARD_SHARE * most for h in heard]
    loudest = max(h.level_db for h, fits in zip(heard, good, strict=True) if fits)
    good[0] &= heard[0].level_db > loudest - MEAN_LOSS_DB
    scores = [h.clarity_db if fits else -np.inf for h, fits in zip(heard, good, strict=True)]
    scores[0] += MEAN_BONUS_DB
    chosen: Samples = mixes[int(np.argmax(scores))]
    return chosen


def _windows(path: Path, stream: AudioStream) -> Samples:
    """Return (channels, n) float32 at VOICE_RATE_HZ: the recording's windows, one after the other."""
    length_s = WINDOWS * WINDOW_S
    if stream.duration_s <= length_s:
        return _window(path, stream, 0.0, length_s)
    starts = np.linspace(0, stream.duration_s - WINDOW_S, WINDOWS)
    return np.concatenate([_window(path, stream, float(start), WINDOW_S) for start in starts], 1)


def _window(path: Path, stream: AudioStream, start_s: float, length_s: float) -> Samples:
    source = ffmpeg.media(path, ss=round(start_s, 3), t=length_s)[str(stream.index)]
    channels = max(1, stream.channels)
    output = ffmpeg.to_pipe(source, format="f32le", acodec="pcm_f32le", ac=channels, ar=VOICE_RATE_HZ)
    buffer = bytearray(round(length_s + 1) * VOICE_RATE_HZ * channels * 4)
    with Reader(ffmpeg.command(output, media_s=length_s)) as reader:
        count = reader.read_into(memoryview(buffer)) // (4 * channels)
    samples = np.frombuffer(buffer, "<f4", count * channels).reshape(count, channels)
    finite: Samples = np.nan_to_num(np.ascontiguousarray(samples.T), posinf=1.0, neginf=-1.0)
    return finite


def _level_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12)) if len(samples) else SILENT_DB


def _alike(channels: Samples) -> bool:
    """Return whether all channels are the first one."""
    levels = [_level_db(channel) for channel in channels]
    return max(levels) - min(levels) < SAME_DB and bool(
        (np.atleast_2d(np.corrcoef(channels))[0] > SAME_CORRELATION).all()
    )


def _heard(samples: Samples, speech: NDArray[np.bool_]) -> Heard:
    if not speech.any():
        return Heard(0.0, _level_db(samples), 0.0)
    frames = samples[: len(speech) * mel.HOP].reshape(len(speech), mel.HOP)
    spoken, rest = _level_db(frames[speech].ravel()), _level_db(frames[~speech].ravel())
    return Heard(float(speech.sum()) / mel.RATE_HZ, spoken, spoken - max(rest, SILENT_DB))
