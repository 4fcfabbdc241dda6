"""Speech to visemes: how the five mouth parameters depart from the closed mouth while a voice speaks, and its tongue.

A speech encoder that knows any language (speech_encoder.py), then the mean of small dilated convolutional networks
(after WaveNet, van den Oord 2016) and linear maps, which `heygemd.training` trains; see models/lips.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ....weights.bundled import asset, tensors
from ...audio import mel, vad
from ...easing import smoothstep
from ...layers import Network, Weights, conv1d, gelu
from ...scene import F32
from . import speech_encoder

FILE = "lips.safetensors"
FILES = (FILE, speech_encoder.FILE, vad.FILE)
RATE_HZ = speech_encoder.RATE_HZ
DILATIONS = (1, 2, 3)
LINEAR_TAPS, LINEAR_STEP = 13, 2
"""Frames that the linear maps see, and how far apart they are."""
ENTRY = ".enter.weight"
"""The end of the name of one tensor of each network."""
UNIT = 0.03
"""Eye distances in one unit of the network's output."""
HOLD_S = 0.3
"""Pauses longer than this close the mouth and hold it still."""
CLOSE_S, OPEN_S = 0.16, 0.10
"""How long the mouth takes to close after speech, and to open before it."""


class VisemeNet:
    """Maps encoded speech to the mouth: 0.26 s of sound on either side of a frame count.

    The mean of several networks, trained alike from different starts, plus a linear map of the same features: on unseen
    speakers they err differently (an ensemble, Hansen and Salamon 1990).
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._networks = [name.removesuffix(ENTRY) for name in weights if name.endswith(ENTRY)]

    def __call__(self, encoded: F32) -> F32:
        """Return (T, 5) float32 departures from the closed mouth at RATE_HZ, in units of UNIT.

        encoded  (T, speech_encoder.WIDTH) float32 at RATE_HZ
        """
        linear = self._linear("linear", encoded)
        return np.mean([self._network(name, encoded) for name in self._networks], 0, np.float32) + linear

    def tongue(self, encoded: F32) -> F32:
        """Return (T, 1) float32 0..1, how likely the tip of the tongue is raised; `encoded` as for a call."""
        return np.asarray(1 / (1 + np.exp(-self._linear("tongue", encoded))), np.float32)

    def _linear(self, name: str, encoded: F32) -> F32:
        reach = LINEAR_TAPS // 2 * LINEAR_STEP
        longer = np.pad(encoded, ((reach, reach), (0, 0)), "edge")
        return conv1d(longer, self._weights, name, dilation=LINEAR_STEP)[reach:-reach]

    def _network(self, name: str, encoded: F32) -> F32:
        x = conv1d(encoded, self._weights, f"{name}.enter")
        for number, dilation in enumerate(DILATIONS):
            x = x + conv1d(gelu(x), self._weights, f"{name}.blocks.{number}", dilation=dilation)
        return conv1d(gelu(x), self._weights, f"{name}.leave")


def load(weights: Weights | None = None) -> Network:
    """Return the speech encoder followed by the VisemeNet of `weights` (the shipped ones if None)."""
    encoder, net = speech_encoder.load(), VisemeNet(tensors(FILE) if weights is None else weights)
    return lambda mel: net(encoder(mel))


def check() -> None:
    """Raise NotInstalled if a shipped network is missing or damaged."""
    for name in FILES:
        asset(name)


def predict_visemes(voice: NDArray[np.float32], net: Network | None = None) -> F32:
    """Return (T, 5) float32 departures from the closed mouth at RATE_HZ, in eye distances.

    voice  (samples,) float32 at 16 kHz
    """
    return _in_speech(speech_encoder.encode(net or load(), voice) * UNIT, voice)


def predict_mouth(voice: NDArray[np.float32]) -> tuple[F32, F32]:
    """Return what `predict_visemes` does and (T,) float32 0..1, how likely the tip of the tongue is raised.

    voice  (samples,) float32 at 16 kHz
    """
    encoder, net = speech_encoder.load(), VisemeNet(tensors(FILE))

    def lips_and_tongue(mel: F32) -> F32:
        encoded = encoder(mel)
        return np.concatenate([net(encoded) * UNIT, net.tongue(encoded)], 1)

    rows = _in_speech(speech_encoder.encode(lips_and_tongue, voice), voice)
    return rows[:, :-1], rows[:, -1]


def _in_speech(rows: F32, voice: NDArray[np.float32]) -> F32:
    """Return (T, C) float32 `rows` at RATE_HZ, 0 in the pauses of the voice."""
    speaks = vad.detect_speech(voice)[: 2 * len(rows)]
    return np.asarray(rows * speech_weight(speaks)[::2, None], np.float32)


def speech_weight(speaks: NDArray[np.bool_]) -> F32:
    """Return (T,) float32 0..1 at audio.mel.RATE_HZ: 1 in speech, 0 in pauses longer than HOLD_S, eased between."""
    rate = mel.RATE_HZ
    weight = np.ones(len(speaks), np.float32)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], (~speaks).astype(np.int8), [0]))))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b - a < HOLD_S * rate and a > 0 and b < len(speaks):
            continue
        frames = np.arange(a, b)
        after = (frames - a + 1) / (CLOSE_S * rate) if a > 0 else np.ones(b - a)
        before = (b - frames) / (OPEN_S * rate) if b < len(speaks) else np.ones(b - a)
        weight[a:b] = 1 - smoothstep(np.minimum(after, before))
    return weight
