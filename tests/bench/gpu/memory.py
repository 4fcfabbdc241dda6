"""Out of memory: the batch is halved, then the CPU is used; and how much memory of the card is needed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from heygemd.errors import EngineError
from heygemd.render.engines.wav2lip import network
from heygemd.render.engines.wav2lip.batching import BATCHES, BATCHES_FILE, BatchRunner
from heygemd.render.face import face_alignment_tracker
from heygemd.render.face.face_alignment_tracker import FanDetector
from heygemd.render.scene import F32

from ...render import presenter, wav2lip_weights
from .report import Plan, Row

MIB = 1 << 20
LEFT_FREE_MIB = (2048, 900, 700, 550, 300, 50)
"""Memory that another program leaves free: enough; less and less than CUDA's context and the network need."""
TOLERANCE = 6.0
"""Levels (of 255) by which results of another precision and batch may differ."""


class Run(NamedTuple):
    """Where and in what batches it ended, what was made, and the peak of the card's memory in MiB."""

    device: str
    batch: int
    made: Any
    peak_mib: float


def wav2lip(plan: Plan) -> Iterator[Row]:
    """Cap the allocator for the generator, then fill the card from another process."""
    full = BATCHES[plan.device]
    usual = _apart(_generate, plan.device, full, None, None)
    if not plan.on_gpu:
        yield from _halved("wav2lip", plan, usual, _apart(_generate, plan.device, full, full // 2, plan.folder))
        return
    single = _apart(_generate, plan.device, 1, None, None)
    yield Row("wav2lip, allocator's peak, one frame at a time", single.peak_mib, "MiB")
    yield Row(f"wav2lip, allocator's peak, {full} frames at a time", usual.peak_mib, "MiB")
    between = int((single.peak_mib + usual.peak_mib) / 2 * MIB)
    yield from _halved("wav2lip", plan, usual, _apart(_generate, plan.device, full, between, plan.folder))
    yield Row.check("wav2lip, the smaller batch is remembered", (plan.folder / BATCHES_FILE).exists(), True)
    yield from _given_way("wav2lip, no room for the network", usual, _apart(_generate, plan.device, full, MIB, None))
    for left in LEFT_FREE_MIB:
        taken = torch.empty(torch.cuda.mem_get_info()[0] - left * MIB, dtype=torch.uint8, device=plan.device)
        yield from _finished(
            f"wav2lip, {left} MiB of the card free", usual, _apart(_generate, plan.device, full, None, None)
        )
        del taken
        torch.cuda.empty_cache()


def trackers(plan: Plan) -> Iterator[Row]:
    """The same for S3FD and FAN."""
    full = face_alignment_tracker.BATCHES[plan.device]
    usual = _apart(_detect, plan.device, plan.models, full, None)
    if not plan.on_gpu:
        yield Row.check(
            "S3FD, no room for a frame", _apart(_detect, plan.device, plan.models, 1, 0).made, "engine_memory"
        )
        return
    single = _apart(_detect, plan.device, plan.models, 1, None)
    yield Row("S3FD and FAN, allocator's peak, one frame at a time", single.peak_mib, "MiB")
    yield Row(f"S3FD and FAN, allocator's peak, {full} frames at a time", usual.peak_mib, "MiB")
    between = int((single.peak_mib + usual.peak_mib) / 2 * MIB)
    for what, cap in (("room for half a batch", between), ("no room for a frame", int(single.peak_mib * MIB / 2))):
        run = _apart(_detect, plan.device, plan.models, full, cap)
        yield Row(f"S3FD and FAN, {what}", f"batches of {run.batch} on {run.device}")
        yield Row.check(f"S3FD and FAN, {what}: faces in each frame", run.made, usual.made)


def _halved(name: str, plan: Plan, usual: Run, run: Run) -> Iterator[Row]:
    yield Row(f"{name}, room for half a batch", f"batches of {run.batch} on {run.device}")
    yield Row.check(
        f"{name}, room for half a batch: a smaller one on the device",
        (0 < run.batch < usual.batch, run.device),
        (True, plan.device),
    )
    yield from _finished(f"{name}, room for half a batch", usual, run)


def _given_way(what: str, usual: Run, run: Run) -> Iterator[Row]:
    yield Row.check(what, run.device, "cpu")
    yield from _finished(what, usual, run)


def _finished(what: str, usual: Run, run: Run) -> Iterator[Row]:
    if isinstance(run.made, str):
        yield Row(what, run.made, ok=False)
        return
    name = f"{what}: pixels against those with enough room (batches of {run.batch} on {run.device})"
    yield Row.at_most(name, float(np.abs(run.made - usual.made).max()), TOLERANCE)


def _apart(work: Callable[..., Run], *arguments: object) -> Run:
    """Call `work` in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _generate(device: str, frames: int, cap: int | None, machine_cache: Path | None) -> Run:
    _cap(device, cap)
    try:
        runner = BatchRunner(wav2lip_weights.state(), device, "auto", machine_cache)
        chance = np.random.default_rng(1)
        faces = chance.integers(0, 255, (frames, network.SIDE, network.SIDE, 3), np.uint8)
        mels = chance.uniform(-4, 4, (frames, network.MEL_BANDS, network.MEL_FRAMES)).astype(np.float32)
        made: F32 | str | None = runner.submit(faces, mels, True).result() if frames else None
    except Exception as error:
        return Run(device, 0, f"{type(error).__name__}: {error}"[:300], 0)
    return Run(runner.device, runner.batch, made, _peak_mib(device))


def _detect(device: str, models: Path, frames: int, cap: int | None) -> Run:
    _cap(device, cap)
    detector = FanDetector("s3fd", models, device)
    images = [np.ascontiguousarray(image[:360]) for image in presenter.swaying(frames, 640)]
    try:
        found = detector._detect_batch(images)
    except EngineError as error:
        return Run(device, 0, error.code, 0)
    except Exception as error:
        return Run(device, 0, f"{type(error).__name__}: {error}"[:300], 0)
    return Run(str(detector._net.device), detector.batch, [len(squares) for squares in found], _peak_mib(device))


def _cap(device: str, cap: int | None) -> None:
    """Allow PyTorch `cap` bytes of the card. The CPU only plays it: `cap` frames at a time."""
    if cap is None:
        return
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(cap / torch.cuda.get_device_properties(0).total_memory)
        return
    for owner, name in ((BatchRunner, "_forward"), (FanDetector, "_boxes")):
        setattr(owner, name, _refusing(getattr(owner, name), cap))


def _refusing(real: Callable[..., Any], most: int) -> Callable[..., Any]:
    def call(self: object, frames: Any, *rest: object) -> Any:
        if len(frames) > most:
            raise MemoryError
        return real(self, frames, *rest)

    return call


def _peak_mib(device: str) -> float:
    return torch.cuda.max_memory_reserved() / MIB if device == "cuda" else 0.0
