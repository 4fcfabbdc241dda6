"""When there is too little memory: fewer frames at a time may fit."""

from __future__ import annotations

import torch


def exhausted(error: BaseException) -> bool:
    """Whether an exception says that a device, or the machine, has no memory left."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)
