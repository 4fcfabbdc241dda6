"""Wav2Lip: the generator's speed, full renders against the reference program's figures, memory against length.

python -m tests.bench.bench_wav2lip [generator | reference [NUMBER] | length [SHORT_S LONG_S [RATE]]]
                                                            defaults: all; both clips; 10 and 40 s at 25 fps

The weights are made here, because speed does not depend on them. The reference's figures come from another machine (two
cores) with its detector switched off, so compare them with the line "ready" (face track in the cache); the ratio of the
generators' fp32 rates scales them. Its users meet the reference with its detector, S3FD on every whole frame: that is
timed here, with made weights, and added. The exit status is 1 if the renderer's peak memory at LONG_S exceeds that at
SHORT_S by more than 15 %.
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
from typing import Any

import torch
from face_alignment.detection.sfd.net_s3fd import s3fd

from heygemd.config.schema import Limits, Render
from heygemd.render.engines.wav2lip import network
from heygemd.render.engines.wav2lip.batching import has_native_bf16
from heygemd.render.video import decode

from .. import media_factory
from ..render import wav2lip_weights
from .bench_memory import MAX_DIFFERENCE, measure, presenter

BATCH, ROUNDS, DETECTED = 8, 6, 3
CORES, REFERENCE_FPS = 2, 21.0
"""Cores of the machine of the reference's figures, and its generator's rate there in fp32, channels_last."""
VOICE = "SadTalker__driven_audio_chinese_news_168e9.opus"
REFERENCE = {
    "Kedreamix_Linly-Talker__data_video_sun_musev_30221a.mp4": (26.2, 2440),
    "bytedance_LatentSync__assets_demo2_video_b50419.mp4": (35.2, 3920),
}
"""Clip: seconds and peak MB of Rudrabha/Wav2Lip at 5c90fa9 with the voice above."""


def generator() -> float:
    """Print the network's rate for the full and the lower face; return the frames per core second in fp32."""
    plain, cores = 0.0, len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    made = network.Generator(wav2lip_weights.state())
    for dtype in (torch.float32, torch.bfloat16) if has_native_bf16() else (torch.float32,):
        made.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mel = torch.rand(BATCH, 1, network.MEL_BANDS, network.MEL_FRAMES, dtype=dtype)
        face = torch.rand(BATCH, 6, network.SIDE, network.SIDE, dtype=dtype)
        face = face.contiguous(memory_format=torch.channels_last)
        rates = {lower: _rate(made, mel, face, lower) for lower in (False, True)}
        plain = plain or rates[False][1]
        full, lower = (f"{rates[k][0]:.1f} fps, {rates[k][1]:.1f} frames per core second" for k in (False, True))
        print(f"generator, {cores} cores, {dtype}: full face {full}; lower face {lower}", flush=True)
    return plain


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


def reference(number: str = "") -> None:
    """Render real clips with a real voice, cold and with the track in the cache: all clips or one of them."""
    if not media_factory.CLIPS.is_dir():
        print("reference: the recordings of real people are not here (HEYGEMD_CLIPS)")
        return
    clips = list(REFERENCE.items())
    slower = REFERENCE_FPS / CORES / generator()
    with _weights() as models:
        for name, (seconds, peak) in clips[int(number) - 1 : int(number)] if number else clips:
            with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as folder:
                files = media_factory.CLIPS / "audio" / VOICE, media_factory.CLIPS / "silent" / name
                frame_s = _detector_s(decode.describe_video(files[1], Limits()))
                for state in ("cold", "ready"):
                    got = measure(Path(folder), *files, Render(engine="wav2lip"), models)
                    print(f"{name} {state} {json.dumps(got)}\n    {_compared(got, seconds, peak, slower)}", flush=True)
                    detected_s = slower * seconds + got["frames"] * frame_s
                    times = detected_s / got["seconds"]
                    print(
                        f"    with S3FD, {frame_s:.2f} s a frame: {detected_s:.0f} s, {times:.0f} times as fast",
                        flush=True,
                    )


def _compared(got: dict[str, Any], seconds: float, peak: float, slower: float) -> str:
    """`slower`: the generator's time per frame and core here, relative to the reference machine."""
    wall, cpu = (slower * there / here for there, here in ((seconds, got["seconds"]), (CORES * seconds, got["cpu_s"])))
    memory = peak / (got["peak_mib"]["renderer"] * 1.048576)
    return (
        f"reference {seconds} s (at most {CORES * seconds:.0f} core seconds), {peak} MB; scaled by {slower:.2f}: "
        f"{wall:.1f} times as fast, {cpu:.1f} times less CPU time, {memory:.1f} times less memory"
    )


@torch.inference_mode()
def _detector_s(picture: decode.Picture) -> float:
    """Return the seconds that S3FD takes for a frame: the network alone, on whole frames as the reference runs it."""
    detector, frame = s3fd().eval(), torch.rand(1, 3, picture.height, picture.width)
    began = time.monotonic()
    for _ in range(DETECTED):
        detector(frame)
    return (time.monotonic() - began) / DETECTED


def length(short_s: str = "10", long_s: str = "40", rate: str = "25") -> bool:
    """Compare the peak memory of 1080p renders of two lengths. A lower rate takes less time."""
    peaks = {}
    with _weights() as models:
        for seconds in map(float, (short_s, long_s)):
            with tempfile.TemporaryDirectory(prefix="heygemd-bench-") as temp:
                folder = Path(temp)
                files = (
                    media_factory.audio(folder / "voice.wav", seconds),
                    presenter(folder / "video.mp4", seconds, rate),
                )
                got = measure(folder, *files, Render(engine="wav2lip", quality="draft"), models)
            print(f"{seconds:g} s of 1080p at {rate} fps {json.dumps(got)}", flush=True)
            peaks[seconds] = got["peak_mib"]["renderer"]
    return peaks[float(long_s)] <= peaks[float(short_s)] * (1 + MAX_DIFFERENCE)


def main(what: str = "", *options: str) -> int:
    """Run one or all of the measurements."""
    if what == "generator":
        generator()
    if what in ("", "reference"):
        reference(*options)
    return 0 if what not in ("", "length") or length(*options) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
