"""Rows of the report, and the report as JSON and as a Markdown table."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch

import heygemd

RESULTS = {None: "", True: "ok", False: "**FAILED**"}


@dataclass(frozen=True)
class Plan:
    """What a step needs to know.

    device   "cuda" or "cpu"
    seconds  length of the rendered videos
    folder   its own, empty
    models   made weights of Wav2Lip and face-alignment
    """

    device: str
    seconds: float
    folder: Path
    models: Path

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


@dataclass(frozen=True)
class Row:
    """A figure (`ok` is None) or a check."""

    what: str
    value: str | float
    unit: str = ""
    limit: str = ""
    ok: bool | None = None

    @classmethod
    def at_most(cls, what: str, value: float, limit: float, unit: str = "") -> Row:
        return cls(what, value, unit, f"≤ {limit:g}", value <= limit)

    @classmethod
    def check(cls, what: str, seen: object, wanted: object) -> Row:
        return cls(what, str(seen), "", str(wanted), seen == wanted)


def machine(device: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    facts: dict[str, Any] = {
        "device": device,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "ffmpeg": version.split()[2],
        "heygemd": heygemd.__version__,
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        facts |= {"card": card.name, "card_memory_gib": round(card.total_memory / 2**30), "cuda": torch.version.cuda}
        facts["driver"] = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    return facts


def write(folder: Path, facts: dict[str, Any], rows: dict[str, list[Row]]) -> str:
    """Write gpu.json and gpu.md; return the latter."""
    named = {step: [asdict(row) for row in each] for step, each in rows.items()}
    (folder / "gpu.json").write_text(json.dumps({"machine": facts, "steps": named}, indent=1, ensure_ascii=False))
    lines = ["# make gpu", "", ", ".join(f"{name} {value}" for name, value in facts.items()), ""]
    if facts["device"] != "cuda":
        lines += ["**Every step ran on the CPU: there is no NVIDIA GPU here. CUDA is still to be run.**", ""]
    lines += ["| step | what | value | limit | result |", "| --- | --- | --- | --- | --- |"]
    for step, each in rows.items():
        lines += [f"| {step} | {r.what} | {_shown(r)} | {r.limit} | {RESULTS[r.ok]} |" for r in each]
    text = "\n".join(lines) + "\n"
    (folder / "gpu.md").write_text(text)
    return text


def _shown(row: Row) -> str:
    value = f"{row.value:.4g}" if isinstance(row.value, float) else str(row.value)
    return f"{value} {row.unit}".strip().replace("|", "\\|").replace("\n", " ")
