"""The encoder of Whisper (Radford 2022) as a teacher: what it hears in speech of any language, 50 times a second."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np

from ..render.features import VOICE_RATE_HZ
from ..render.geometry import F32

WIDTH = 512
HOP, STEP = 160, 320
WINDOW_S, MARGIN_S = 30, 1
FLOOR, DEPTH = 1e-10, 8.0


class Teacher:
    """Whisper-base's encoder, run by CTranslate2 (`pip install ctranslate2`)."""

    def __init__(self, folder: Path, threads: int = 2) -> None:
        """`folder`: model.bin, config.json and vocabulary of Systran's faster-whisper-base (MIT)."""
        import ctranslate2

        self._storage = ctranslate2.StorageView
        self._whisper = ctranslate2.models.Whisper(str(folder), compute_type="int8_float32", intra_threads=threads)
        self._filters = librosa.filters.mel(sr=VOICE_RATE_HZ, n_fft=400, n_mels=80).astype(np.float32)

    def hear(self, voice: F32) -> F32:
        """Return (T, WIDTH) float32 at 50 Hz for (samples,) at 16 kHz, in windows that overlap."""
        count, margin = len(voice) // STEP, MARGIN_S * VOICE_RATE_HZ // STEP
        inner = WINDOW_S * VOICE_RATE_HZ // STEP - 2 * margin
        parts = [np.zeros((0, WIDTH), np.float32)]
        for start in range(0, count, inner):
            low, high = max(0, start - margin), min(count, start + inner + margin)
            heard = self._encode(voice[low * STEP : high * STEP])
            parts.append(heard[start - low : min(start + inner, count) - low])
        return np.concatenate(parts)

    def _encode(self, voice: F32) -> F32:
        sound = np.pad(voice, (0, WINDOW_S * VOICE_RATE_HZ - len(voice)))
        power = np.abs(librosa.stft(sound, n_fft=400, hop_length=HOP, pad_mode="reflect"))[:, :-1] ** 2
        mel = np.log10(np.maximum(self._filters @ power, FLOOR))
        mel = ((np.maximum(mel, mel.max() - DEPTH) + 4) / 4).astype(np.float32)
        encoded = self._whisper.encode(self._storage.from_array(np.ascontiguousarray(mel[None])), to_cpu=True)
        return np.asarray(np.array(encoded)[0], np.float32)
