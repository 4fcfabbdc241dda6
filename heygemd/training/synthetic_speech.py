"""Synthesised speech with known phones and their times: espeak-ng (many languages), flite and festival (English)."""

from __future__ import annotations

import ctypes
import ctypes.util
import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..render.scene import F32

FESTIVAL_VOICES = ("cmu_us_slt_arctic_hts", "kal_diphone")
FLITE_VOICES = ("slt", "rms", "awb", "kal16")
PHONEME_EVENTS_IPA = 0x0001 | 0x0002
RETRIEVAL = 1
PHONEME, END = 7, 0
RATE, PITCH, RANGE = 1, 3, 4


class Utterance(NamedTuple):
    """An utterance.

    sound   (samples,) float32 at `rate_hz`
    phones  (start_s, end_s, name); IPA from espeak-ng, ARPAbet otherwise
    """

    sound: F32
    rate_hz: int
    phones: list[tuple[float, float, str]]


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@cache
def _espeak() -> tuple[Any, int, list[Any]]:
    """Return the library, its sample rate and the list that its callback fills."""
    library = ctypes.CDLL(ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1")
    rate = library.espeak_Initialize(RETRIEVAL, 200, None, PHONEME_EVENTS_IPA)
    received: list[Any] = []

    def collect(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            received.append(np.ctypeslib.as_array(samples, (count,)).copy())
        k = 0
        while events and events[k].type != END:
            if events[k].type == PHONEME:
                # A name of eight bytes has no terminating zero.
                name = bytes(events[k].id.string)[:8].split(b"\0")[0].decode("utf-8", "ignore")
                received.append((events[k].audio_position / 1000, name))
            k += 1
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    received.append(callback)
    return library, rate, received


def espeak(text: str, voice: str, words_a_minute: int = 170, pitch: int = 50, spread: int = 50) -> Utterance:
    """Return `text` spoken by espeak-ng's `voice`, such as "cmn" or "en-us+f3"; ValueError if it has no such voice."""
    library, rate, received = _espeak()
    del received[1:]
    if library.espeak_SetVoiceByName(voice.encode()):
        raise ValueError(f"espeak-ng has no voice {voice}")
    for parameter, value in ((RATE, words_a_minute), (PITCH, pitch), (RANGE, spread)):
        library.espeak_SetParameter(parameter, value, 0)
    raw = text.encode() + b"\0"
    library.espeak_Synth(raw, len(raw), 0, 1, 0, 1, None, None)
    library.espeak_Synchronize()
    samples = np.concatenate([part for part in received[1:] if isinstance(part, np.ndarray)])
    sound = np.asarray(samples / 32768, np.float32)
    marks = [part for part in received[1:] if isinstance(part, tuple)]
    ends = [start for start, _ in marks[1:]] + [len(sound) / rate]
    phones = [(a, b, name) for (a, name), b in zip(marks, ends, strict=True)]
    return Utterance(sound, rate, phones)


def _read(path: Path) -> tuple[F32, int]:
    """Return the samples and the rate of a mono 16-bit WAV file that a synthesiser wrote."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return np.asarray(samples / 32768, np.float32), file.getframerate()


def flite(text: str, voice: str, stretch: float = 1.0, pitch_hz: int = 0) -> Utterance:
    """Return English `text` spoken by flite."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said.wav"
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-psdur", "-t", text, str(said)]
        if pitch_hz:
            command[3:3] = ["--seti", f"int_f0_target_mean={pitch_hz}"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        sound, rate = _read(said)
    phones, start = [], 0.0
    for word in printed.split():
        name, end = word.rsplit(":", 1)
        phones.append((start, float(end), name))
        start = float(end)
    return Utterance(sound, rate, phones)


def festival(text: str, voice: str, stretch: float = 1.0) -> Utterance:
    """Return English `text` spoken by festival."""
    with tempfile.TemporaryDirectory() as folder:
        said, segments, script = (Path(folder) / name for name in ("said.wav", "said.seg", "say.scm"))
        quoted = text.replace('"', "")
        script.write_text(
            f"(voice_{voice})(Parameter.set 'Duration_Stretch {stretch})"
            f'(set! said (utt.synth (Utterance Text "{quoted}")))'
            f'(utt.save.segs said "{segments}")(utt.save.wave said "{said}" (quote riff))'
        )
        subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
        sound, rate = _read(said)
        lines = [line.split() for line in segments.read_text().splitlines() if line.count(" ") >= 2]
    phones, start = [], 0.0
    for end, _, name in (line[:3] for line in lines):
        phones.append((start, float(end), name))
        start = float(end)
    return Utterance(sound, rate, phones)
