"""One step in a process of its own, because a fault in CUDA leaves a process without it.

python -m tests.bench.gpu.step STEP DEVICE SECONDS FOLDER MODELS ROWS     adds to the file ROWS a line for each row
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from . import codecs, jobs, memory, parity, speed
from .report import Plan, Row

STEPS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "wav2lip": parity.wav2lip,
    "trackers": parity.trackers,
    "memory-wav2lip": memory.wav2lip,
    "memory-trackers": memory.trackers,
    "workers": jobs.two_workers,
    "vanishing": jobs.vanishing_card,
    "codecs": codecs.codecs,
    "stages": speed.stages,
    "end-to-end": speed.end_to_end,
}


def main(name: str, device: str, seconds: str, folder: str, models: str, rows: str) -> None:
    """Write each row as soon as it is known."""
    with open(rows, "a") as file:
        for row in STEPS[name](Plan(device, float(seconds), Path(folder), Path(models))):
            file.write(json.dumps(asdict(row)) + "\n")
            file.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
