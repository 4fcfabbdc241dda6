"""Runs the generator in batches in its own thread; on out-of-memory in smaller batches, then on the CPU."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from loguru import logger
from numpy.typing import NDArray
from torch import Tensor

from ....errors import EngineError
from ....storage.atomic import AtomicFile
from ...oom import is_out_of_memory
from ...scene import F32
from .checkpoint import State
from .network import SIDE, Generator

BATCHES = {"cpu": 8, "cuda": 16}
"""Frames in a batch. Twice as many wait in memory; with 16, 4K stays within the frame router's limit."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BATCHES_FILE = "wav2lip-batches.json"
REMEMBERED_S = 24 * 3600
"""Another program may have taken the memory, so the full batch is tried again after a day."""

Faces = NDArray[np.uint8]


@cache
def has_native_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 in hardware; emulated it is slower than float32."""
    with suppress(OSError):
        words = Path("/proc/cpuinfo").read_text().split()
        return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(words)
    return False


def precision(wanted: str, device: str) -> torch.dtype:
    """Return the type to compute in: "auto" is fp16 on CUDA, bf16 on CPUs that have it, else fp32."""
    if wanted == "auto":
        wanted = "fp16" if device.startswith("cuda") else "bf16" if has_native_bf16() else "fp32"
    return PRECISIONS[wanted]


def require_exact_float32() -> None:
    """Make cuDNN compute float32 as such. By default it rounds the factors to TF32's ten bits."""
    torch.backends.cudnn.allow_tf32 = False


class BatchRunner:
    """The generator on a device; one batch is computed while the caller prepares the next and pastes the last.

    batch  frames to `submit` at a time; halved on out-of-memory and remembered in `machine_cache` for a day
    """

    def __init__(self, state: State, device: str, wanted: str, machine_cache: Path | None) -> None:
        self._generator = Generator(state)
        self._wanted, self._machine_cache = wanted, machine_cache
        self._thread = ThreadPoolExecutor(1, "wav2lip")
        self._use_device(device)

    def _use_device(self, device: str) -> None:
        self.device, self.dtype = device, precision(self._wanted, device)
        kind = torch.device(device).type
        name = torch.cuda.get_device_name(device) if kind == "cuda" else "cpu"
        self._key = f"{name} {self.dtype}"
        self.batch = min(BATCHES[kind], self._load_batches().get(self._key, BATCHES[kind]))
        if not self.batch:
            self._use_device("cpu")
            return
        if kind == "cuda" and self.dtype == torch.float32:
            require_exact_float32()
        if kind == "cpu":
            torch.set_num_threads(len(os.sched_getaffinity(0)))  # ffmpeg has a lower priority and takes what is left
        try:
            self._generator.to(device, self.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        except RuntimeError as error:
            if kind == "cpu" or not is_out_of_memory(error):
                raise
            logger.warning("out of memory on {} while loading the network: using the CPU", self._key)
            self._use_device("cpu")
            return
        self._generator.last.float()  # near white, bfloat16 steps by a whole level

    def submit(self, faces: Faces, mels: F32, lower: bool) -> Future[F32]:
        """Start computing one batch.

        faces  (n, SIDE, SIDE, 3) uint8 BGR · mels  (n, MEL_BANDS, MEL_FRAMES) float32
        lower  return the rows from LOWER_TOP on only (see Generator.forward)

        The result is (n, h, SIDE, 3) float32 0..255. It raises EngineError("engine_memory") if not even one frame fits.
        """
        return self._thread.submit(self._run, faces, mels, lower)

    def _run(self, faces: Faces, mels: F32, lower: bool) -> F32:
        parts: list[F32] = []
        done = 0
        while done < len(faces):
            stop = done + self.batch
            try:
                parts.append(self._forward(faces[done:stop], mels[done:stop], lower))
                done = stop
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_batch()
        return np.concatenate(parts)

    @torch.inference_mode()
    def _forward(self, faces: Faces, mels: F32, lower: bool) -> F32:
        visible = torch.from_numpy(faces).to(self.device).permute(0, 3, 1, 2).to(self.dtype) / 255
        hidden = visible.clone()
        hidden[:, :, SIDE // 2 :] = 0
        face = torch.cat([hidden, visible], 1).contiguous(memory_format=torch.channels_last)
        mel = torch.from_numpy(mels[:, None]).to(self.device, self.dtype)
        out: Tensor = self._generator(mel, face, lower).float() * 255
        result: F32 = out.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return result

    def _halve_batch(self) -> None:
        """Halve the batch; if not even one frame fits on a GPU, use the CPU. Raises EngineError("engine_memory")."""
        self.batch //= 2
        self._save_batch()
        logger.warning("out of memory on {}: batch size now {}", self._key, self.batch)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        if self.batch:
            return
        if self.device == "cpu":
            raise EngineError("engine_memory")
        self._use_device("cpu")

    def _load_batches(self) -> dict[str, int]:
        with suppress(OSError, ValueError, AttributeError):
            if (
                self._machine_cache
                and time.time() - (self._machine_cache / BATCHES_FILE).stat().st_mtime < REMEMBERED_S
            ):
                known = json.loads((self._machine_cache / BATCHES_FILE).read_text())
                return {str(key): int(batch) for key, batch in known.items()}
        return {}

    def _save_batch(self) -> None:
        """Best effort: without the file the next video finds the size again."""
        if self._machine_cache is None or self._key.startswith("cpu"):
            return
        with suppress(OSError):
            self._machine_cache.mkdir(parents=True, exist_ok=True)
            with AtomicFile(self._machine_cache / BATCHES_FILE, durable=False, unique=True) as file:
                file.write(json.dumps({**self._load_batches(), self._key: self.batch}).encode())
