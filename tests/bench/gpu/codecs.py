"""NVENC and NVDEC, where this ffmpeg and this card have them. heygemd encodes with NVENC and decodes on the CPU."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from heygemd.config.schema import Limits, Render
from heygemd.render.video import decode, encode_mux

from ..bench_speed import presenter_and_voice
from .report import Plan, Row


def codecs(plan: Plan) -> Iterator[Row]:
    """Try both; rates of the encoder are in the step "stages"."""
    video, _ = presenter_and_voice(plan.folder, plan.seconds, (1920, 1080))
    picture = decode.describe_video(video, Limits())
    began = time.monotonic()
    works = encode_mux.nvenc_works()
    yield Row("NVENC, the trial before each render", time.monotonic() - began, "s")
    yield Row("NVENC in ffmpeg", "listed" if " h264_nvenc " in _listed("-encoders") else "not listed")
    yield Row("NVENC on this machine", "works" if works else "does not work: x264 is used")
    yield Row.check('encoder "auto" takes NVENC', encode_mux.wants_nvenc(Render(), picture), works)
    yield from _decoders(video, plan.on_gpu)


def _decoders(video: Path, on_gpu: bool) -> Iterator[Row]:
    rates = {"the CPU": _decode(video)}
    if " h264_cuvid " in _listed("-decoders"):
        rates["NVDEC, frames in main memory"] = _decode(video, "-c:v", "h264_cuvid")
    for name, (frames, seconds, error) in rates.items():
        known = rates["the CPU"][0]
        if frames:
            yield Row(f"1080p, decode, {name}", frames / seconds, "fps")
            yield Row.check(f"1080p, decode, {name}: frames", frames, known)
        else:
            yield Row(f"1080p, decode, {name}", error, ok=None if not on_gpu else False)


def _decode(video: Path, *options: str) -> tuple[int, float, str]:
    """Return the number of frames (0: it failed), the seconds, and what ffmpeg said."""
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-progress", "pipe:1", *options, "-i", str(video), "-f", "null", "-"]
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True)
    counts = [int(line[6:]) for line in done.stdout.splitlines() if line.startswith("frame=")]
    return counts[-1] if counts and done.returncode == 0 else 0, time.monotonic() - began, done.stderr[-200:]


def _listed(what: str) -> str:
    return subprocess.run(["ffmpeg", "-hide_banner", what], capture_output=True, text=True, check=True).stdout
