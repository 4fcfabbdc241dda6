"""Out-of-memory errors of every kind: a smaller batch may fit."""

from __future__ import annotations

import torch

SAID = ("can't allocate memory", "std::bad_alloc", "CUDA error: out of memory")
"""What other errors say: PyTorch's CPU allocator, oneDNN, and CUDA outside PyTorch's allocator, as when another program
has filled the card and not even a context fits."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that a device, or the machine, has no memory left."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in str(error) for words in SAID)
