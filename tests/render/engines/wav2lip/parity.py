"""Wav2Lip's error against the reference program, whose figures lie in data/wav2lip.npz, on any device."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from heygemd.config.schema import Render, Wav2Lip
from heygemd.render.engines.wav2lip import Wav2LipEngine, batching, face_crop, network, reference
from heygemd.render.scene import F32, Crop, Timeline
from heygemd.testing.frame_engine_contract import synthetic_track

from ... import wav2lip_weights

KNOWN = np.load(Path(__file__).parents[2] / "data" / "wav2lip.npz")
FPS = Fraction(25)
BOX = (60, 20, 190, 180)
GENERATOR_LIMITS = {"fp32": (1e-4, 1e-5), "fp16": (4e-3, 5e-4), "bf16": (0.03, 0.004)}
"""Largest and mean absolute error of a sample, 0..1."""
PIPELINE_LIMITS = {"fp32": (1, 0.2), "fp16": (2, 0.3), "bf16": (6, 0.6)}
"""The same of a pasted pixel, 0..255."""


def unpacked(name: str, low: float, high: float) -> F32:
    return np.asarray(KNOWN[name] / 65535.0 * (high - low) + low, np.float32)


def voice() -> F32:
    return np.asarray(KNOWN["voice"] / 32768.0, np.float32)


def generator_input() -> tuple[torch.Tensor, torch.Tensor]:
    """The mel and the face that the reference was given."""
    chance = np.random.default_rng(7)
    face = chance.random((2, 6, 96, 96)).astype("f4")
    return torch.from_numpy(chance.uniform(-4, 4, (2, 1, 80, 16)).astype("f4")), torch.from_numpy(face)


def generator_error(dtype: torch.dtype, device: str) -> tuple[float, float]:
    """Return the largest and the mean error of the generator."""
    generator = network.Generator(wav2lip_weights.state()).to(device, dtype)
    if dtype == torch.float32:
        batching.require_exact_float32()
    with torch.inference_mode():
        made = generator(*(tensor[:1].to(device, dtype) for tensor in generator_input())).float().cpu().numpy()[0]
    error = np.abs(made - unpacked("generator", 0, 1))
    return float(error.max()), float(error.mean())


def pipeline_error(models: Path, folder: Path, device: str, precision: str) -> tuple[float, float]:
    """Return the largest and the mean error of two pasted faces; assert that their boxes are the reference's."""
    track = synthetic_track(folder, 14)
    settings = Render(wav2lip=Wav2Lip.model_validate({"compat": True, "precision": precision}))
    engine = Wav2LipEngine(models, device, settings)
    x0, y0, x1, y1 = BOX
    frame = np.zeros((288, 320, 3), np.uint8)
    frame[y0:y1, x0:x1] = KNOWN["frame_12"]
    given = [Crop(output, 12, (0, 0, 320, 288), frame) for output in (26, 54, 55)]
    line = Timeline(FPS, np.arange(58, dtype=np.int32) % 14)
    bounds = mock.patch.object(face_crop, "face_bounds", lambda track: np.tile(np.float32(BOX), (14, 1)))
    with bounds, mock.patch.object(reference, "PADS", (0, 0, 0, 0)):
        *pasted, beyond = engine.render(iter(given), track, line, voice(), engine.analyse_video(iter(()), track))
    assert not beyond.mask.any()
    errors = []
    for patch, wanted in zip(pasted, KNOWN["pasted"], strict=True):
        assert (patch.mask[y0:y1, x0:x1] == 1).all() and patch.mask.sum() == (y1 - y0) * (x1 - x0)
        errors.append(np.abs(patch.image[y0:y1, x0:x1].astype(int) - wanted))
    return float(np.max(errors)), float(max(error.mean() for error in errors))
