"""NVIDIA's GPUs as the driver's files list them; asking CUDA would take a second and 200 MB."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import printable

DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu_names(root: Path = DRIVER_FOLDER) -> tuple[str, ...]:
    """Return the names of the GPUs, safe to print."""
    found = []
    for path in sorted(root.glob("*/information")):
        model = next((line for line in path.read_text().splitlines() if line.startswith("Model:")), "")
        found.append(printable(model.removeprefix("Model:").strip()))
    return tuple(found)


def gpu_environments(root: Path = DRIVER_FOLDER) -> list[dict[str, str]]:
    """Return for each GPU the environment variables that select it; [{}] without any GPU.

    GPUs that the daemon's own CUDA_VISIBLE_DEVICES hides are not used.
    """
    cards = [name.strip() for name in os.environ[VISIBLE].split(",")] if VISIBLE in os.environ else []
    if VISIBLE not in os.environ:
        cards = [str(number) for number, _ in enumerate(root.glob("*/information"))]
    return [{VISIBLE: card, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} for card in cards if card] or [{}]
