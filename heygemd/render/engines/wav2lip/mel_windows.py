"""Wav2Lip's audio input: log-mel windows of 200 ms, computed when a frame needs them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...audio import vad
from ...audio.mel import RATE_HZ as SPEECH_RATE_HZ
from ...audio.mel import VOICE_RATE_HZ, hann, mel_filters
from ...face.gaussian import gaussian_smooth
from ...scene import F32
from .network import MEL_BANDS, MEL_FRAMES

FFT, HOP = 800, 200
RATE_HZ = VOICE_RATE_HZ // HOP
LOW_HZ, HIGH_HZ = 55, 7_600
EMPHASIS = 0.97
FLOOR = 1e-5
SILENCE = -4.0
SPEECH_FADE_S = 0.03
REFERENCE_MIDDLE_S = 0.02
"""The reference counts from the start of a frame; at the 25 fps of its training, the middle is this much later."""

Starts = NDArray[np.int64]


def log_mel_windows(voice: NDArray[np.float32], starts: Starts) -> F32:
    """Return (n, MEL_BANDS, MEL_FRAMES) float32 in -4..4, windows that begin at the mel frames `starts`.

    Outside the voice there is silence.

    voice  (samples,) float32 at VOICE_RATE_HZ, possibly memory-mapped; mel frame k is centred on sample k * HOP
    """
    span = FFT + (MEL_FRAMES - 1) * HOP
    sounds = np.stack([_emphasised(voice, int(start) * HOP - FFT // 2, span) for start in starts])
    frames = np.lib.stride_tricks.sliding_window_view(sounds, FFT, 1)[:, ::HOP]
    loud = np.abs(np.fft.rfft(frames * hann(FFT))).astype(np.float32) @ mel_filters(FFT, MEL_BANDS, LOW_HZ, HIGH_HZ).T
    # 20 log10 - 20 dB over a range of 100 dB, laid on -4..4
    scaled = 8 * (20 * np.log10(np.maximum(loud, FLOOR)) + 80) / 100 - 4
    return np.asarray(np.clip(scaled, SILENCE, 4).transpose(0, 2, 1), np.float32)


def _emphasised(voice: NDArray[np.float32], start: int, count: int) -> F32:
    """Return `count` samples from `start`, pre-emphasised; zeros outside the voice."""
    low, high = max(start, 0), min(start + count, len(voice))
    out = np.zeros(count, np.float32)
    if high > low:
        part = np.asarray(voice[max(low - 1, 0) : high], np.float32)
        before = part[:-1] if low else np.concatenate([[np.float32(0)], part[:-1]])
        out[low - start : high - start] = part[-(high - low) :] - EMPHASIS * before
    return out


def window_starts(outputs: Starts, fps: Fraction, lead_s: float) -> Starts:
    """Return the mel frame at which each output frame's window begins, `lead_s` before the reference's."""
    middle_s = (outputs + 0.5) / float(fps)
    first: Starts = np.rint(RATE_HZ * (middle_s - REFERENCE_MIDDLE_S - lead_s)).astype(np.int64)
    return first


def speech_weight(voice: NDArray[np.float32]) -> F32:
    """Return (T,) float32 at audio.mel.RATE_HZ: 1 in speech, 0 in pauses, eased between."""
    speaks = vad.detect_speech(voice).astype(np.float32)
    return gaussian_smooth(speaks[:, None], SPEECH_FADE_S * SPEECH_RATE_HZ)[:, 0] if len(speaks) else speaks


def gate_silence(windows: F32, first: Starts, weights: F32) -> F32:
    """Return the windows that begin at mel frames `first`, faded to silence where `weights` says there is no speech."""
    if not len(weights):
        return windows
    frames = first[:, None] + np.arange(MEL_FRAMES)
    at = np.clip(frames * SPEECH_RATE_HZ // RATE_HZ, 0, len(weights) - 1)
    return np.asarray(SILENCE + (windows - SILENCE) * weights[at][:, None], np.float32)
