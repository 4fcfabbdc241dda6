"""The mouth's shape for each class of sounds, and coarticulation.

The table gives, for each viseme, how the five mouth parameters depart from rest (in eye distances) and how dominant it
is in opening and width. Neighbouring sounds are blended by dominance functions (Cohen and Massaro 1993, Modeling
coarticulation in synthetic visual speech).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..render.scene import F32


class Viseme(NamedTuple):
    """Departures from rest in eye distances, and dominance in the vertical parameters and in the width."""

    open: float
    width: float
    jaw: float
    upper: float
    lower: float
    dominance: float = 1.0
    width_dominance: float = 1.0


SILENCE = Viseme(0.0, 0.0, 0.0, 0.0, 0.0, 1.2, 0.8)
VISEMES = {
    "press": Viseme(-0.004, -0.004, 0.006, 0.007, -0.008, 9.0, 0.3),
    "tuck": Viseme(0.018, 0.006, 0.010, -0.006, -0.014, 3.5, 0.6),
    "ah": Viseme(0.165, -0.006, 0.120, -0.006, 0.150, 1.3, 0.8),
    "ae": Viseme(0.145, 0.028, 0.090, -0.010, 0.130, 1.2, 1.0),
    "eh": Viseme(0.105, 0.022, 0.065, -0.008, 0.092, 1.0, 0.9),
    "ih": Viseme(0.072, 0.028, 0.042, -0.006, 0.062, 0.8, 0.9),
    "ee": Viseme(0.055, 0.052, 0.028, -0.008, 0.042, 1.0, 1.6),
    "uh": Viseme(0.082, 0.000, 0.058, -0.003, 0.076, 0.7, 0.5),
    "aw": Viseme(0.125, -0.052, 0.096, -0.002, 0.122, 1.2, 1.4),
    "oh": Viseme(0.085, -0.078, 0.066, -0.004, 0.088, 1.1, 1.7),
    "oo": Viseme(0.040, -0.095, 0.036, -0.006, 0.050, 1.2, 2.0),
    "w": Viseme(0.024, -0.100, 0.028, -0.004, 0.034, 1.6, 1.8),
    "r": Viseme(0.048, -0.042, 0.034, -0.004, 0.044, 0.7, 0.9),
    "tongue": Viseme(0.058, 0.008, 0.032, -0.004, 0.048, 0.55, 0.3),
    "back": Viseme(0.062, 0.000, 0.042, -0.002, 0.056, 0.45, 0.3),
    "hiss": Viseme(0.036, 0.034, 0.012, -0.008, 0.026, 1.1, 0.8),
    "hush": Viseme(0.056, -0.048, 0.018, -0.018, 0.044, 1.1, 1.2),
    "breath": Viseme(0.070, 0.000, 0.045, -0.003, 0.060, 0.25, 0.15),
    "y": Viseme(0.045, 0.036, 0.024, -0.005, 0.034, 0.7, 0.9),
}
IPA = {
    "press": "m b p ɓ ɱ",
    "tuck": "f v ʋ",
    "ah": "a ɑ aː ɒ ä",
    "ae": "æ",
    "eh": "ɛ œ e",
    "ih": "ɪ ɨ ᵻ",
    "ee": "i iː",
    "uh": "ə ʌ ɐ ɜ ɘ ɚ ɝ ɤ",
    "aw": "ɔ",
    "oh": "o ɵ ø",
    "oo": "u ʊ y ʏ ʉ ɯ",
    "w": "w ɥ ʍ",
    "r": "ɹ ɻ",
    "tongue": "t d n l θ ð ɾ r ɫ ʈ ɖ ɳ ɭ ɲ ʎ",
    "back": "k ɡ g ŋ x ɣ q ʁ ʀ χ c ɟ",
    "hiss": "s z",
    "hush": "ʃ ʒ ʂ ʐ ɕ ʑ",
    "breath": "h ɦ ʔ ħ ʕ",
    "y": "j ç ʝ",
}
ARPABET = {
    "press": "m b p em",
    "tuck": "f v",
    "ah": "aa ay aw",
    "ae": "ae",
    "eh": "eh ey",
    "ih": "ih ix",
    "ee": "iy",
    "uh": "ah ax er axr",
    "aw": "ao oy",
    "oh": "ow",
    "oo": "uh uw",
    "w": "w",
    "r": "r",
    "tongue": "t d n l th dh dx en el nx",
    "back": "k g ng",
    "hiss": "s z",
    "hush": "sh zh ch jh",
    "breath": "hh hv",
    "y": "y",
}
TIP_IPA = frozenset(["t", "d", "n", "l", "θ", "ð", "ɾ", "ɫ", "ʈ", "ɖ", "ɳ", "ɭ"])
TIP_ARPABET = frozenset(["t", "d", "n", "l", "th", "dh", "dx", "en", "el", "nx"])
"""Sounds for which the tip of the tongue rises to the upper teeth or the ridge behind them. A trilled r does, too, but
espeak-ng writes the German one so, which is made in the throat."""
TIP_MOVES_S = 0.02
"""How long the tip moves before and after such a sound. Longer, as lips take, the vowels beside it cannot be told from
it by their sound."""
_BY_IPA = {symbol: name for name, symbols in IPA.items() for symbol in symbols.split()}
_BY_ARPABET = {symbol: name for name, symbols in ARPABET.items() for symbol in symbols.split()}
GLIDES = {"ay": ("ah", "ih"), "aw": ("ah", "oo"), "ey": ("eh", "ee"), "oy": ("aw", "ih"), "ow": ("oh", "oo")}
AFFRICATES = {"tʃ": "hush", "dʒ": "hush", "tɕ": "hush", "dʑ": "hush", "tʂ": "hush", "ts": "hiss", "dz": "hiss"}
BEFORE_S, AFTER_S = 0.060, 0.045
"""How far a sound reaches into its neighbours: lips move earlier before a sound than they linger after it."""
SILENCE_REACH_S = 0.08


def viseme_classes(phone: str, ipa: bool) -> list[str]:
    """Return the names of the visemes that a phone passes through; none for silence and marks.

    ipa  whether the phone is IPA, otherwise ARPAbet
    """
    if not ipa:
        name = phone.lower().rstrip("012")
        return list(GLIDES.get(name, [_BY_ARPABET[name]] if name in _BY_ARPABET else []))
    if phone.startswith("("):
        return []
    for affricate, name in AFFRICATES.items():
        if phone.startswith(affricate):
            return [name]
    found = [_BY_IPA[symbol] for symbol in phone if symbol in _BY_IPA]
    return found[:2]


def mouth_targets(phones: list[tuple[float, float, str]], seconds: float, rate_hz: int, ipa: bool) -> F32:
    """Return (T, 5) float32 departures from rest at `rate_hz` while the phones (start_s, end_s, name) are spoken."""
    times = (np.arange(int(seconds * rate_hz)) + 0.5) / rate_hz
    value = np.zeros((len(times), 5))
    weight = np.full((len(times), 5), 1e-3)
    for start, end, phone in phones:
        names = viseme_classes(phone, ipa)
        parts: list[Viseme] = [VISEMES[name] for name in names] or [SILENCE]
        edges = np.linspace(start, end, len(parts) + 1)
        for viseme, a, b in zip(parts, edges[:-1], edges[1:], strict=True):
            dominance = _dominance(times, float(a), float(b), bool(names))
            each = np.array([viseme.dominance] * 5) * dominance[:, None]
            each[:, 1] = viseme.width_dominance * dominance
            value += each * np.array(viseme[:5])
            weight += each
    return np.asarray(value / weight, np.float32)


def raises_tip(phone: str, ipa: bool) -> bool:
    """Return whether a phone raises the tip of the tongue; `ipa` as for `viseme_classes`."""
    if not ipa:
        return phone.lower() in TIP_ARPABET
    # An affricate such as tʃ is made behind the tip, and n is written in Mandarin's ŋ, too.
    consonants = [symbol for symbol in phone.replace("nɡ", "ŋ") if symbol in _BY_IPA]
    return not phone.startswith(("(", *AFFRICATES)) and any(symbol in TIP_IPA for symbol in consonants)


def tongue_targets(phones: list[tuple[float, float, str]], seconds: float, rate_hz: int, ipa: bool) -> F32:
    """Return (T,) float32 0..1 at `rate_hz`, how far the tip of the tongue is raised; arguments as `mouth_targets`."""
    times = (np.arange(int(seconds * rate_hz)) + 0.5) / rate_hz
    raised = np.zeros(len(times))
    for start, end, phone in phones:
        if raises_tip(phone, ipa):
            away = np.maximum(start - times, times - end)
            raised = np.maximum(raised, 1 - np.clip(away / TIP_MOVES_S, 0, 1))
    return np.asarray(raised, np.float32)


def _dominance(times: np.ndarray[tuple[int], np.dtype[np.float64]], start: float, end: float, sound: bool) -> F32:
    if not sound and end - start < 0.03:
        return np.zeros(len(times), np.float32)
    before, after = (BEFORE_S, AFTER_S) if sound else (SILENCE_REACH_S, SILENCE_REACH_S)
    # A sound is fully formed in its middle: shrink it by a quarter on both sides.
    inner = 0.25 * (end - start)
    early = np.maximum(start + inner - times, 0) / before
    late = np.maximum(times - (end - inner), 0) / after
    return np.asarray(np.exp(-((early + late) ** 1.5)), np.float32)
