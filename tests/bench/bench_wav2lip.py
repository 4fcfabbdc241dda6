"""Wav2Lip: the generator's speed, whole renders against the reference program's figures, and memory against length.

python -m tests.bench.bench_wav2lip [generator | reference | length [SHORT_S LONG_S]]     defaults: all; 10 and 40 s

The weights are made here (speed does not depend on them). The reference's figures are another machine's (two cores),
its detector switched off, so compare the line "ready" (face track in the cache), and the generators' fp32 rates first.
Exit status 1 if the renderer's peak memory at LONG_S exceeds that at SHORT_S by more than 15 %.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from heygemd.config import Render
from heygemd.render.engines.wav2lip import network
from heygemd.render.engines.wav2lip.runner import bf16_is_fast

from .. import making
from ..render import wav2lip_weights
from .bench_memory import MOST_APART, measure, presenter

BATCH, ROUNDS = 8, 4
VOICE = "SadTalker__driven_audio_chinese_news_168e9.opus"
REFERENCE = {
    "Kedreamix_Linly-Talker__data_video_sun_musev_30221a.mp4": (26.2, 2440),
    "bytedance_LatentSync__assets_demo2_video_b50419.mp4": (35.2, 3920),
}
"""Clip: seconds and peak MB of Rudrabha/Wav2Lip at 5c90fa9 with the voice above; its generator made 17 fps in fp32."""


def generator() -> None:
    """Frames a second of the network alone, whole face and lower face."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    made = network.Generator(wav2lip_weights.state())
    for dtype in (torch.float32, torch.bfloat16) if bf16_is_fast() else (torch.float32,):
        made.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mel = torch.rand(BATCH, 1, network.MEL_BANDS, network.MEL_FRAMES, dtype=dtype)
        face = torch.rand(BATCH, 6, network.SIDE, network.SIDE, dtype=dtype)
        face = face.contiguous(memory_format=torch.channels_last)
        rates = {lower: _rate(made, mel, face, lower) for lower in (False, True)}
        whole, lower = (f"{rates[k][0]:.1f} fps, {rates[k][1]:.1f} frames a core second" for k in (False, True))
        print(f"generator, {cores} cores, {dtype}: {whole}; lower face {lower}", flush=True)


@torch.inference_mode()
def _rate(made: network.Generator, mel: torch.Tensor, face: torch.Tensor, lower: bool) -> tuple[float, float]:
    made(mel, face, lower)
    wall, cpu = time.monotonic(), time.process_time()
    for _ in range(ROUNDS):
        made(mel, face, lower)
    done = BATCH * ROUNDS
    return done / (time.monotonic() - wall), done / (time.process_time() - cpu)


@contextmanager
def _weights() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as folder:
        wav2lip_weights.write(Path(folder) / "wav2lip.pth")
        yield Path(folder)


def reference() -> None:
    """Real clips and a real voice, cold and with the track in the cache."""
    if not making.CLIPS.is_dir():
        print("reference: the recordings of real people are not here (HEYGEMD_CLIPS)")
        return
    with _weights() as models:
        for name, (seconds, peak) in REFERENCE.items():
            with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as folder:
                for state in ("cold", "ready"):
                    files = making.CLIPS / "audio" / VOICE, making.CLIPS / "silent" / name
                    got = measure(Path(folder), *files, Render(engine="wav2lip"), models)
                    ratio = f"reference {seconds} s {peak} MB: {seconds / got['seconds']:.1f} times as fast, "
                    memory = got["peak_mib"]["renderer"] * 1.048576
                    print(
                        f"{name} {state} {json.dumps(got)}\n    {ratio}memory {peak / memory:.1f} times less",
                        flush=True,
                    )


def length(short_s: float = 10, long_s: float = 40) -> bool:
    """Peak memory of a 1080p render against its length."""
    peaks = {}
    with _weights() as models:
        for seconds in (short_s, long_s):
            with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as temp:
                folder = Path(temp)
                files = making.audio(folder / "voice.wav", seconds), presenter(folder / "video.mp4", seconds)
                got = measure(folder, *files, Render(engine="wav2lip", quality="draft"), models)
            print(f"{seconds:g} s of 1080p {json.dumps(got)}", flush=True)
            peaks[seconds] = got["peak_mib"]["renderer"]
    return peaks[long_s] <= peaks[short_s] * (1 + MOST_APART)


def main(what: str = "", *seconds: str) -> int:
    """Run one or all of the measurements."""
    if what in ("", "generator"):
        generator()
    if what in ("", "reference"):
        reference()
    return 0 if what not in ("", "length") or length(*map(float, seconds)) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
