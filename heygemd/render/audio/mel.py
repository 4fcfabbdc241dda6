"""Log-mel spectrograms for the voice activity and sync networks, and speech detection by level alone."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...weights.bundled import tensors
from ..scene import F32, spans, spans_with

VOICE_RATE_HZ = 16_000
"""Samples per second of the voice, wherever it is an array."""
RATE_HZ = 100
HOP = VOICE_RATE_HZ // RATE_HZ
FFT = 512
WINDOW = 400
BANDS = 40
LOW_HZ, HIGH_HZ = 60, 7_600
FILTER_BANKS = ((FFT, BANDS, LOW_HZ, HIGH_HZ), (400, 80, 0, 8_000), (800, 80, 55, 7_600))
"""FFT size, bands, lowest and highest frequency: of this module, of the speech encoder, of Wav2Lip. After a change:
`python -m heygemd.training mel-filters`."""
CHUNK_S = 20
FLOOR = 1e-8
SPEECH_OPEN_DB, SPEECH_CLOSE_DB = -30.0, -36.0
"""Speech begins and ends here, relative to the loud parts of the recording (95th percentile of frame level)."""
NOISE_MARGIN_DB = 6.0
MAX_PAUSE_S = 0.12
"""Pauses up to this long (the closure of a plosive, say) are part of speech."""
SPEECH_BANDS = slice(4, 34)
SPREAD, LIMIT = 2.0, 3.0
"""Normalised features are departures from the mean over the first, limited to the second."""


@cache
def mel_filters(fft: int, bands: int, low_hz: float, high_hz: float) -> F32:
    """Return (bands, fft // 2 + 1) float32 of librosa.filters.mel at 16 kHz, one of FILTER_BANKS.

    From a bundled file, because importing librosa would cost each render a second of CPU.
    """
    return np.asarray(tensors("mel_filters.safetensors")[filter_bank_name(fft, bands, low_hz, high_hz)])


def filter_bank_name(fft: int, bands: int, low_hz: float, high_hz: float) -> str:
    """Return the name of a filter bank in mel_filters.safetensors."""
    return f"fft {fft}, {bands} bands, {low_hz:g} to {high_hz:g} Hz"


def hann(length: int) -> F32:
    """Return (length,) float32, a periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


@cache
def _window() -> F32:
    """Return (FFT,) float32: a periodic Hann window of WINDOW samples in the middle of zeros."""
    return np.pad(hann(WINDOW), (FFT - WINDOW) // 2)


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
        frames = np.lib.stride_tricks.sliding_window_view(part, FFT)[::HOP]
        power = np.abs(np.fft.rfft(frames * _window())).astype(np.float32) ** 2
        rows[start:stop] = np.log(power @ mel_filters(FFT, BANDS, LOW_HZ, HIGH_HZ).T + FLOOR)
    return rows


def energy_vad(mel: F32) -> NDArray[np.bool_]:
    """Return (T,) bool, true where it is loud enough for speech.

    The level has hysteresis and must lie above the recording's own noise.

    mel  (T, BANDS) from `log_mel`
    """
    if not len(mel):
        return np.zeros(0, bool)
    power = np.pad(np.exp(mel[:, SPEECH_BANDS]).mean(1), 2, "edge")
    level = 10 * np.log10(np.convolve(power, np.hanning(7)[1:-1] / np.hanning(7)[1:-1].sum(), "valid"))
    loud, noise = float(np.percentile(level, 95)), float(np.percentile(level, 5))
    enter = max(loud + SPEECH_OPEN_DB, min(noise + NOISE_MARGIN_DB, loud - 12), -75.0)
    leave = max(loud + SPEECH_CLOSE_DB, min(noise + NOISE_MARGIN_DB / 2, loud - 16), -78.0)
    return hysteresis(level, enter, leave)


def hysteresis(level: NDArray[np.floating], enter: float, leave: float) -> NDArray[np.bool_]:
    """Return (T,) bool, where values are above `leave` in a stretch that exceeds `enter`; short pauses are bridged."""
    flags = spans_with(level > enter, level > leave)
    for start, stop in spans(~flags):
        if stop - start <= round(MAX_PAUSE_S * RATE_HZ) and start > 0 and stop < len(flags):
            flags[start:stop] = True
    return flags


def normalise(mel: F32, speech: NDArray[np.bool_]) -> F32:
    """Return (T, BANDS) mel without gain, microphone and room: each band's mean over the speech becomes 0."""
    spoken = mel[speech] if speech.any() else mel
    centre = spoken.mean(0) if len(spoken) else np.zeros(BANDS, np.float32)
    return np.clip((mel - centre) / SPREAD, -LIMIT, LIMIT).astype(np.float32)


def normalised_mel(voice: NDArray[np.float32]) -> F32:
    """Return (T, BANDS) float32 log-mel at RATE_HZ, normalised over the speech that `energy_vad` detects.

    voice  (samples,) float32 at 16 kHz
    """
    mel = log_mel(voice)
    return normalise(mel, energy_vad(mel))
