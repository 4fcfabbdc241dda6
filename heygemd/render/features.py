"""What the lips network hears: log-mel frames, levelled for the recording, and where there is speech at all."""

from __future__ import annotations

from functools import cache

import librosa
import numpy as np
from numpy.typing import NDArray

from .geometry import F32

VOICE_RATE_HZ = 16_000
RATE_HZ = 100
HOP = VOICE_RATE_HZ // RATE_HZ
FFT = 512
WINDOW = 400
BANDS = 40
LOW_HZ, HIGH_HZ = 60, 7_600
CHUNK_S = 30
FLOOR = 1e-8
SPEECH_OPEN_DB, SPEECH_CLOSE_DB = -30.0, -36.0
"""Under the loud parts of the recording (95th percentile of frame level): speech begins and ends here."""
NOISE_MARGIN_DB = 6.0
QUIET_S = 0.12
"""Shorter pauses (the closure of a stop, say) are part of speech."""
SPEECH_BANDS = slice(4, 34)
SPREAD = 2.0
LIMIT = 3.0


@cache
def _filters() -> F32:
    bank = librosa.filters.mel(sr=VOICE_RATE_HZ, n_fft=FFT, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ)
    return np.asarray(bank, np.float32)


def log_mel(voice: NDArray[np.float32]) -> F32:
    """Return (T, BANDS) float32 natural logs of mel power at RATE_HZ; T = samples // HOP.

    voice  (samples,) float32 at 16 kHz, possibly memory-mapped: it is read in chunks of CHUNK_S
    """
    count = len(voice) // HOP
    rows = np.empty((count, BANDS), np.float32)
    step = CHUNK_S * RATE_HZ
    reach = WINDOW
    for start in range(0, count, step):
        stop = min(start + step, count)
        low, high = start * HOP - reach, stop * HOP + reach
        part = np.asarray(voice[max(low, 0) : min(high, len(voice))], np.float32)
        part = np.pad(part, (max(-low, 0), max(high - len(voice), 0)))
        # Frame k is centred on the middle of its hop.
        first = reach + HOP // 2 - FFT // 2
        part = part[first : first + (stop - start - 1) * HOP + FFT]
        power = np.abs(librosa.stft(part, n_fft=FFT, hop_length=HOP, win_length=WINDOW, center=False)) ** 2
        rows[start:stop] = np.log(_filters() @ power + FLOOR).T
    return rows


def speaking(mel: F32) -> NDArray[np.bool_]:
    """Return (T,) bool, true where someone speaks: level with hysteresis, above the recording's own noise.

    mel  (T, BANDS) from `log_mel`
    """
    if not len(mel):
        return np.zeros(0, bool)
    power = np.pad(np.exp(mel[:, SPEECH_BANDS]).mean(1), 2, "edge")
    level = 10 * np.log10(np.convolve(power, np.hanning(7)[1:-1] / np.hanning(7)[1:-1].sum(), "valid"))
    loud, noise = float(np.percentile(level, 95)), float(np.percentile(level, 5))
    enter = max(loud + SPEECH_OPEN_DB, min(noise + NOISE_MARGIN_DB, loud - 12), -75.0)
    leave = max(loud + SPEECH_CLOSE_DB, min(noise + NOISE_MARGIN_DB / 2, loud - 16), -78.0)
    return steady(level, enter, leave)


def steady(level: NDArray[np.floating], enter: float, leave: float) -> NDArray[np.bool_]:
    """Return where (T,) values are above `enter`, or above `leave` beside such a stretch; short pauses are bridged."""
    over = level > leave
    group = np.cumsum(np.diff(over.astype(np.int8), prepend=0) == 1) * over
    keep = np.unique(group[(level > enter) & over])
    return _bridge(over & np.isin(group, keep))


def _bridge(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    limit = round(QUIET_S * RATE_HZ)
    edges = np.flatnonzero(np.diff(np.concatenate(([1], flags.astype(np.int8), [1]))))
    out = flags.copy()
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b - a <= limit and a > 0 and b < len(flags):
            out[a:b] = True
    return np.asarray(out, bool)


def level(mel: F32, speech: NDArray[np.bool_]) -> F32:
    """Return mel levelled for gain and for the microphone's and room's colour: each band's speech mean becomes 0."""
    heard = mel[speech] if speech.any() else mel
    centre = heard.mean(0) if len(heard) else np.zeros(BANDS, np.float32)
    return np.clip((mel - centre) / SPREAD, -LIMIT, LIMIT).astype(np.float32)


def listen(voice: NDArray[np.float32]) -> tuple[F32, NDArray[np.bool_]]:
    """Return ((T, BANDS) float32 levelled features, (T,) bool speech) at RATE_HZ."""
    mel = log_mel(voice)
    speech = speaking(mel)
    return level(mel, speech), speech
