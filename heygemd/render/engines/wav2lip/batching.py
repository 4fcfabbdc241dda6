"""Runs the generator in batches on a device, in a thread of its own, and gives way when memory does not suffice."""

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
from ...oom import exhausted
from ...scene import F32
from .checkpoint import State
from .network import SIDE, Generator

BATCHES = {"cpu": 8, "cuda": 16}
"""Frames at a time. Twice as many wait in memory: with 16, 4K still fits what the weaver lets wait."""
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MEMORY_FILE = "wav2lip-batches.json"
REMEMBER_S = 24 * 3600
"""What did not fit may have been another program's fault: try again after a day."""

Faces = NDArray[np.uint8]


@cache
def bf16_is_fast() -> bool:
    """Whether this processor multiplies bfloat16 itself; where it is emulated it is slower than float32."""
    with suppress(OSError):
        words = Path("/proc/cpuinfo").read_text().split()
        return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(words)
    return False


def precision(wanted: str, device: str) -> torch.dtype:
    """Return the type to calculate in: "auto" is fp16 on CUDA, bf16 on processors that have it, else fp32."""
    if wanted == "auto":
        wanted = "fp16" if device.startswith("cuda") else "bf16" if bf16_is_fast() else "fp32"
    return PRECISIONS[wanted]


class Runner:
    """The generator on a device; one batch is calculated while the caller prepares the next and uses up the last.

    batch  frames to `submit` at a time; falls when memory does not suffice, remembered in `keep` for a day
    """

    def __init__(self, state: State, device: str, wanted: str, keep: Path | None) -> None:
        self._generator = Generator(state)
        self._wanted, self._keep = wanted, keep
        self._thread = ThreadPoolExecutor(1, "wav2lip")
        self._settle(device)

    def _settle(self, device: str) -> None:
        self.device, self.dtype = device, precision(self._wanted, device)
        kind = torch.device(device).type
        name = torch.cuda.get_device_name(device) if kind == "cuda" else "cpu"
        self._key = f"{name} {self.dtype}"
        self.batch = min(BATCHES[kind], self._remembered().get(self._key, BATCHES[kind]))
        if not self.batch:
            self._settle("cpu")
            return
        if kind == "cpu":
            torch.set_num_threads(len(os.sched_getaffinity(0)))  # ffmpeg runs nicer and takes what is left
        try:
            self._generator.to(device, self.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        except RuntimeError as error:
            if kind == "cpu" or not exhausted(error):
                raise
            logger.warning("{} has no room for the network: the processor takes over", self._key)
            self._settle("cpu")
            return
        self._generator.last.float()  # bfloat16's steps near white are a whole level

    def submit(self, faces: Faces, mels: F32, lower: bool) -> Future[F32]:
        """Start on (n, SIDE, SIDE, 3) uint8 BGR faces and (n, bands, frames) mels.

        The result is (n, h, SIDE, 3) float32 0..255; see Generator.forward for `lower`. Raises
        EngineError("engine_memory").
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
                if not exhausted(error):
                    raise
                self._shrink()
        return np.concatenate(parts)

    @torch.inference_mode()
    def _forward(self, faces: Faces, mels: F32, lower: bool) -> F32:
        whole = torch.from_numpy(faces).to(self.device).permute(0, 3, 1, 2).to(self.dtype) / 255
        hidden = whole.clone()
        hidden[:, :, SIDE // 2 :] = 0
        face = torch.cat([hidden, whole], 1).contiguous(memory_format=torch.channels_last)
        mel = torch.from_numpy(mels[:, None]).to(self.device, self.dtype)
        out: Tensor = self._generator(mel, face, lower).float() * 255
        result: F32 = out.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return result

    def _shrink(self) -> None:
        """Halve the batch; from one frame on a GPU go to the processor."""
        self.batch //= 2
        self._remember()
        logger.warning("memory does not suffice on {}: batch {}", self._key, self.batch)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        if self.batch:
            return
        if self.device == "cpu":
            raise EngineError("engine_memory")
        self._settle("cpu")

    def _remembered(self) -> dict[str, int]:
        with suppress(OSError, ValueError, AttributeError):
            if self._keep and time.time() - (self._keep / MEMORY_FILE).stat().st_mtime < REMEMBER_S:
                known = json.loads((self._keep / MEMORY_FILE).read_text())
                return {str(key): int(batch) for key, batch in known.items()}
        return {}

    def _remember(self) -> None:
        """Best effort: without it the next video finds out again."""
        if self._keep is None or self._key.startswith("cpu"):
            return
        with suppress(OSError):
            self._keep.mkdir(parents=True, exist_ok=True)
            with AtomicFile(self._keep / MEMORY_FILE, durable=False, unique=True) as file:
                file.write(json.dumps({**self._remembered(), self._key: self.batch}).encode())
