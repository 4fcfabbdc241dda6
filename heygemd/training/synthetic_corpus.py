"""Synthesised speech with known lips, augmented to sound like rooms and microphones."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
from scipy.signal import fftconvolve

from ..render.audio import mel
from ..render.engines.mesh import viseme_net
from ..render.scene import F32
from .sentences import SENTENCES, sentence
from .synthetic_speech import FESTIVAL_VOICES, FLITE_VOICES, Utterance, espeak, festival, flite
from .visemes import mouth_targets, tongue_targets

VARIANTS = ["", "+f1", "+f2", "+f3", "+f4", "+f5", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8", "+klatt2"]
VARIANTS += ["+Annie", "+Andy", "+linda", "+adam", "+steph", "+grandpa", "+klatt4", "+belinda", "+paul"]
SYNTHESISERS = ["espeak"] * 5 + ["flite"] * 4 + ["festival"] * 2
SPEEDS = (0.84, 1.2)
"""Playing faster or slower changes the pitch and the size of the vocal tract together."""


class Example(NamedTuple):
    """An excerpt of speech.

    sound   (samples,) float32 at 16 kHz
    lips    (T, 5) float32 mouth parameters at 50 Hz, as departures from the closed mouth
    tongue  (T,) float32 0..1, how far its tip is raised; None of filmed people, whose tongues nobody sees
    """

    sound: F32
    lips: F32
    tongue: F32 | None = None


def random_utterance(chooser: random.Random, language: str = "") -> tuple[Utterance, bool]:
    """Return a random utterance in a language of SENTENCES, "" for any, and whether its phones are IPA."""
    by = "espeak" if language else chooser.choice(SYNTHESISERS)
    if by == "espeak":
        language = language or chooser.choice(list(SENTENCES))
        voice = language + chooser.choice(VARIANTS)
        speed, pitch, spread = chooser.randint(120, 230), chooser.randint(25, 75), chooser.randint(20, 80)
        return espeak(sentence(language, chooser), voice, speed, pitch, spread), True
    text = sentence("en-us", chooser)
    stretch = chooser.uniform(0.8, 1.3)
    if by == "flite":
        return flite(text, chooser.choice(FLITE_VOICES), stretch, chooser.choice([0, 0, 90, 120, 160, 200, 240])), False
    return festival(text, chooser.choice(FESTIVAL_VOICES), stretch), False


def random_speech(chooser: random.Random, language: str = "") -> tuple[F32, list[tuple[float, float, str]], bool]:
    """Return a `random_utterance` at 16 kHz with silence around it, its phones, and whether these are IPA."""
    spoken, ipa = random_utterance(chooser, language)
    speed, pad = chooser.uniform(*SPEEDS), chooser.uniform(0.1, 0.6)
    sound = librosa.resample(spoken.sound, orig_sr=spoken.rate_hz * speed, target_sr=mel.VOICE_RATE_HZ)
    silence = np.zeros(int(pad * mel.VOICE_RATE_HZ), np.float32)
    phones = [(a / speed + pad, b / speed + pad, name) for a, b, name in spoken.phones]
    return np.concatenate([silence, sound, silence]).astype(np.float32), phones, ipa


def examples(count: int, seed: int, variants: int = 2) -> list[Example]:
    """Return `count` synthesised utterances, each with `variants` augmentations."""
    chooser, rng = random.Random(seed), np.random.default_rng(seed)
    made: list[Example] = []
    last = np.zeros(1, np.float32)
    for _ in range(count):
        sound, phones, ipa = random_speech(chooser)
        spoken = phones, len(sound) / mel.VOICE_RATE_HZ, viseme_net.RATE_HZ, ipa
        moved, raised = mouth_targets(*spoken), tongue_targets(*spoken)
        made += (Example(augment(sound, rng, last), moved, raised) for _ in range(variants))
        last = sound
    return made


def augment(sound: F32, rng: np.random.Generator, other: F32) -> F32:
    """Return (samples,) float32 sound with random reverberation, microphone, noise (or `other` speech) and gain."""
    out = sound.astype(np.float64)
    if rng.random() < 0.5:
        tail = rng.uniform(0.1, 0.5)
        length = int(tail * mel.VOICE_RATE_HZ)
        echo = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        echo = echo / np.linalg.norm(echo) * rng.uniform(0.1, 0.6)
        echo[0] = 1.0
        out = fftconvolve(out, echo)[: len(out)]
    out = _coloured(out, rng)
    level = np.sqrt(np.mean(out**2)) + 1e-9
    hiss = rng.standard_normal(len(out))
    if rng.random() < 0.5:
        hiss = np.cumsum(hiss) - np.convolve(np.cumsum(hiss), np.ones(400) / 400, "same")
    if rng.random() < 0.2 and len(other) > 1:
        hiss = np.resize(other, len(out)).astype(np.float64)
    hiss *= level / (np.sqrt(np.mean(hiss**2)) + 1e-9) * 10 ** (-rng.uniform(8, 50) / 20)
    return np.asarray((out + hiss) * 10 ** (rng.uniform(-25, 0) / 20), np.float32)


def _coloured(
    sound: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Filter the spectrum smoothly by up to some 10 dB, sometimes cut it like a telephone or a low-rate codec."""
    spectrum = np.fft.rfft(sound)
    hertz = np.linspace(0, 8_000, len(spectrum))
    knots = rng.normal(0, 4, 8) + rng.normal(0, 6) * np.linspace(-1, 1, 8)
    gain = np.interp(np.log2(hertz + 60), np.linspace(np.log2(60), np.log2(8060), 8), knots)
    if rng.random() < 0.25:
        gain -= 60 * np.clip((hertz - rng.uniform(3_300, 7_000)) / 500, 0, 1)
    return np.asarray(np.fft.irfft(spectrum * 10 ** (gain / 20), len(sound)), np.float64)


def save(made: list[Example], path: Path) -> None:
    """Write examples to one compressed file, the sound in 16 bits."""
    ends = np.cumsum([[len(example.sound), len(example.lips)] for example in made], 0)
    sound, lips = (np.concatenate([example[k] for example in made]) for k in range(2))
    tongue = np.concatenate([example.tongue for example in made if example.tongue is not None])
    pcm = np.round(sound.clip(-1, 1) * 32_767).astype(np.int16)
    np.savez_compressed(path, sound=pcm, lips=lips, tongue=tongue, ends=ends)


def read(path: Path) -> list[Example]:
    """Read what `save` wrote."""
    with np.load(path) as data:
        sound, lips, tongue, ends = data["sound"], data["lips"], data["tongue"], data["ends"]
    sound = sound.astype(np.float32) / 32_767
    starts = np.concatenate([[[0, 0]], ends[:-1]])
    return [Example(sound[a:b], lips[c:d], tongue[c:d]) for (a, c), (b, d) in zip(starts, ends, strict=True)]
