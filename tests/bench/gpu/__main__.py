"""Runs everything that a GPU decides and writes gpu.json and gpu.md; the exit status is 1 if a check failed.

python -m tests.bench.gpu [--device cuda | cpu] [--seconds S] [--output FOLDER] [--steps STEP ...]

Defaults: cuda if PyTorch finds a card, else cpu; 20 seconds of video on a card, 2 on the CPU; ./gpu; all steps. Weights
are made here, because neither speed nor parity depends on them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch

from ...render import face_alignment_weights, wav2lip_weights
from . import report
from .report import Row
from .step import STEPS

SHORT_S = 8.0
"""Videos of the steps on queues and codecs."""
FULL_LENGTH = ("stages", "end-to-end")
SECONDS = {"cuda": 20.0, "cpu": 2.0}
LIMIT_S = {"cuda": 150, "cpu": 600}
"""Of a step. Without a card only this matters: that each comes to its end, on a slow or busy machine, too."""
TAIL_CHARS = 2000


def main(arguments: list[str]) -> int:
    """Run the steps, print the table."""
    parser = argparse.ArgumentParser(prog="tests.bench.gpu")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--output", type=Path, default=Path("gpu"))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    options = parser.parse_args(arguments)
    length = options.seconds or SECONDS[options.device]
    options.output.mkdir(exist_ok=True)
    facts, rows = report.machine(options.device), {}
    with tempfile.TemporaryDirectory(prefix="heygemd-gpu-") as temp:
        models = Path(temp) / "models"
        models.mkdir()
        wav2lip_weights.write(models / "wav2lip.pth")
        face_alignment_weights.write(models)
        for name in options.steps:
            seconds = length if name in FULL_LENGTH else min(SHORT_S, length)
            rows[name] = _step(name, options.device, seconds, Path(temp) / name, models)
            report.write(options.output, facts, rows)
    print(report.write(options.output, facts, rows))
    return 0 if all(row.ok is not False for each in rows.values() for row in each) else 1


def _step(name: str, device: str, seconds: float, folder: Path, models: Path) -> list[Row]:
    folder.mkdir()
    found = folder / "rows.jsonl"
    arguments = (name, device, seconds, folder, models, found)
    argv = [sys.executable, "-m", f"{__package__}.step", *map(str, arguments)]
    began, said = time.monotonic(), folder / "stderr"
    with open(said, "w") as errors, subprocess.Popen(argv, stderr=errors, start_new_session=True) as process:
        try:
            failed = process.wait(LIMIT_S[device]) != 0
        except subprocess.TimeoutExpired:
            failed = True
            errors.write(f"not done within {LIMIT_S[device]} s")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the daemons and renderers that it started
    rows = [Row(**json.loads(line)) for line in found.read_text().splitlines()] if found.exists() else []
    if failed:
        print(said.read_text()[-TAIL_CHARS:], file=sys.stderr)
        rows.append(Row("the step broke off", said.read_text().strip()[-300:], ok=False))
    rows.append(Row("the whole step", time.monotonic() - began, "s"))
    print(f"{name}: {rows[-1].value:.0f} s, {sum(row.ok is False for row in rows)} failed", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
