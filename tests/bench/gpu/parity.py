"""Networks on the device against the reference program and against the CPU, and their rates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from heygemd.render.engines.wav2lip import network
from heygemd.render.engines.wav2lip.batching import PRECISIONS, BatchRunner
from heygemd.render.face.face_alignment_tracker import FanDetector

from ...render import presenter, wav2lip_weights
from ...render.engines.wav2lip import parity
from .report import Plan, Row

FRAME = {"cuda": (360, 640), "cpu": (128, 192)}
ROUNDS, ROUNDS_S = 10, 3.0
BOX_PIXELS, HEATMAP_ERROR = 0.5, 0.02
"""Limits of the trackers' networks on a GPU: corners of boxes, and the relative error of FAN's heatmaps."""


def wav2lip(plan: Plan) -> Iterator[Row]:
    """Check fp32, fp16 and bf16 against the reference; time a runner with batches from main memory and back."""
    for name, dtype in PRECISIONS.items():
        errors = parity.generator_error(dtype, plan.device)
        for kind, error, limit in zip(("largest", "mean"), errors, parity.GENERATOR_LIMITS[name], strict=True):
            yield Row.at_most(f"generator, {name}, {kind} error of a sample (0 to 1)", error, limit)
        errors = parity.pipeline_error(plan.models, plan.folder, plan.device, name)
        for kind, error, limit in zip(("largest", "mean"), errors, parity.PIPELINE_LIMITS[name], strict=True):
            yield Row.at_most(f"pasted face, {name}, {kind} error of a pixel (0 to 255)", error, limit)
    for name in PRECISIONS:
        for batch in (8, 16, 32, 64) if plan.on_gpu else (8,):
            rate = runner_rate(plan.device, name, batch, 2048 if plan.on_gpu else 8)
            yield Row(f"generator, {name}, batches of {batch}, with the transfers", rate, "fps")


def runner_rate(device: str, precision: str, batch: int, frames: int) -> float:
    """Return the rate at which a runner computes lower faces, two batches under way as in a render."""
    runner = BatchRunner(wav2lip_weights.state(), device, precision, None)
    runner.batch = batch
    faces = np.random.default_rng(1).integers(0, 255, (batch, network.SIDE, network.SIDE, 3), np.uint8)
    mels = np.zeros((batch, network.MEL_BANDS, network.MEL_FRAMES), np.float32)
    for _ in range(2):
        runner.submit(faces, mels, True).result()
    began = time.monotonic()
    made = [runner.submit(faces, mels, True) for _ in range(frames // batch)]
    for future in made:
        future.result()
    return frames // batch * batch / (time.monotonic() - began)


def trackers(plan: Plan) -> Iterator[Row]:
    """Compare S3FD, BlazeFace and FAN with the CPU, whose weights are made: what they see is no face."""
    size, (height, width) = 16 if plan.on_gpu else 1, FRAME[plan.device]
    images = [np.ascontiguousarray(image[:height, :width]) for image in presenter.swaying(size, 640)]
    for name in ("blazeface", "s3fd"):
        here, there = (FanDetector(name, plan.models, device) for device in (plan.device, "cpu"))
        boxes, known = (list(map(np.array, each)) for each in (here._boxes(images, 0), there._boxes(images[:1], 0)))
        yield Row.at_most(f"{name}, boxes against the CPU", float(np.abs(boxes[0] - known[0]).max()), BOX_PIXELS, "px")
        yield Row.check(f"{name}, faces in each frame of a batch", {len(each) for each in boxes}, {len(known[0])})
        yield Row(f"{name}, {size} frames at a time", _rate(lambda here=here: here._boxes(images, 0), size), "fps")
        yield Row(f"{name}, the CPU", _rate(lambda there=there: there._boxes(images[:1], 0), 1), "fps")
    faces = torch.rand(size, 3, 256, 256)
    maps, known_maps = (_heatmaps(net, faces) for net in (here, there))
    error = float((maps - known_maps).norm() / known_maps.norm())
    yield Row.at_most("FAN, heatmaps against the CPU, relative error", error, HEATMAP_ERROR)
    yield Row("FAN, the device", _rate(lambda: _heatmaps(here, faces), size), "faces/s")
    yield Row("whole detector, one face", _rate(lambda: here.detect(images[0]), 1), "fps")


@torch.inference_mode()
def _heatmaps(detector: FanDetector, faces: torch.Tensor) -> torch.Tensor:
    maps: torch.Tensor = detector._net.face_alignment_net(faces.to(detector._net.device))[-1]
    return maps.cpu()


def _rate(work: Callable[[], object], count: int) -> float:
    """Return how many a second, after a first call that is not timed."""
    work()
    rounds, began = 0, time.monotonic()
    while rounds < ROUNDS and time.monotonic() - began < ROUNDS_S:
        work()
        rounds += 1
    return count * rounds / (time.monotonic() - began)
