"""Speed end to end, and of each stage alone, which shows what a render waits for."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from heygemd.config.schema import Limits, Render
from heygemd.render import worker
from heygemd.render.audio.load import load_voice
from heygemd.render.cache import Cache
from heygemd.render.engines.base import AnalysisData, FrameEngine
from heygemd.render.engines.registry import create_engine
from heygemd.render.face.tracker import FaceMeshTracker
from heygemd.render.frame_router import FrameRouter
from heygemd.render.scene import Crop, Patch, Timeline, Track
from heygemd.render.video import compositing, decode, encode_mux
from heygemd.render.video.decode import Frame, Picture

from ..bench_memory import measure
from ..bench_speed import presenter_and_voice
from .report import Plan, Row

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
ENGINES = ("mesh", "wav2lip")
STAGE_FRAMES = 250

T = TypeVar("T")


def end_to_end(plan: Plan) -> Iterator[Row]:
    """Render in a renderer process as the daemon does, a video's first time and its second."""
    video, voice = presenter_and_voice(plan.folder, 1, SIZES["720p"])
    facts = measure(plan.folder, voice, video, Render(device=plan.device), plan.models)
    yield Row("the first render of an installation (1 s of video; librosa is compiled)", facts["seconds"], "s")
    for size in SIZES:
        video, voice = presenter_and_voice(plan.folder, plan.seconds, SIZES[size])
        for engine in ENGINES:
            cache = plan.folder / f"{engine}-{size}"
            cache.mkdir()
            for name in ("first", "again"):
                settings = Render(engine=engine, device=plan.device, tracker="facemesh")
                with _card_memory(plan) as peak:
                    facts = measure(cache, voice, video, settings, plan.models, every_s=1.0)
                what, seconds = f"{engine}, {size}, {name}", facts["seconds"]
                yield Row(what, facts["frames"] / seconds, "fps")
                yield Row(f"{what}: {facts['frames']} frames", seconds, "s")
                phases = {"start": facts["start_s"], **facts["phases"]}
                yield Row(f"{what}: where the time goes", ", ".join(f"{k} {v:.1f}" for k, v in phases.items()), "s")
                yield Row(f"{what}: CPU time", facts["cpu_s"], "s")
                if peak:
                    yield Row(f"{what}: peak of the card's memory", max(peak), "MiB")


@contextmanager
def _card_memory(plan: Plan) -> Iterator[list[int]]:
    """Collect how many MiB of the card are in use beyond what was; nothing without a card."""
    used: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
        before = None
        while not ended.wait(0.2):
            now = int(subprocess.run(query, capture_output=True, text=True, check=True).stdout)
            before = now if before is None else before
            used.append(now - before)

    thread = threading.Thread(target=watch)
    if plan.on_gpu:
        thread.start()
    yield used
    ended.set()
    if plan.on_gpu:
        thread.join()


def stages(plan: Plan) -> Iterator[Row]:
    """Run each stage alone, over frames in memory. In a render, tracking comes first and the others run at once."""
    worker._limit_threads()
    for name, size in SIZES.items():
        folder = plan.folder / name
        folder.mkdir()
        for row in _stages(plan, size, folder):
            yield replace(row, what=f"{name}, {row.what}")


def _stages(plan: Plan, size: tuple[int, int], folder: Path) -> Iterator[Row]:
    count = min(STAGE_FRAMES, round(25 * plan.seconds))
    video, voice_file = presenter_and_voice(folder, count / 25, size)
    picture = decode.describe_video(video, Limits())
    frames, seconds = _timed(lambda: list(decode.frames(picture, count)))
    yield Row("decode", count / seconds, "fps")
    small, seconds = _timed(lambda: list(decode.small_frames(picture, count)))
    yield Row("decode small frames for tracking", count / seconds, "fps")
    tracker = FaceMeshTracker(plan.models)
    (track, _), seconds = _timed(lambda: tracker.track(iter(small), size, picture.fps, folder / "points.f32"))
    yield Row("track", count / seconds, "fps")
    voice = load_voice(voice_file, "voice", Limits(), Cache(folder / "cache", 1 << 30), folder)
    for name in ENGINES:
        for row in _engine(plan, name, picture, frames, track, voice.samples):
            yield replace(row, what=f"{name}: {row.what}")
    for encoder in ("x264", "nvenc") if encode_mux.nvenc_works() else ("x264",):
        encode = encode_mux.EncodePlan(picture, voice, Render(encoder=encoder), count, Fraction(count) / picture.fps)
        seconds = _timed(lambda encode=encode: _encode(encode, frames, folder / "out.mp4"))[1]
        yield Row(f"encode, {encoder}", count / seconds, "fps")


def _engine(
    plan: Plan, name: str, picture: Picture, frames: list[Frame], track: Track, voice: NDArray[np.float32]
) -> Iterator[Row]:
    engine = create_engine(Render(engine=name), plan.models, plan.device, plan.folder)
    assert isinstance(engine, FrameEngine)
    _, seconds = _timed(engine.check)
    yield Row("load", seconds, "s")
    crops = [_crop(number, frames[number], picture, track) for number in engine.frames_to_analyse(track)]
    data, seconds = _timed(lambda: engine.analyse_video(iter(crops), track))
    yield Row("study the video", seconds, "s")
    heard, seconds = _timed(lambda: engine.analyse_voice(voice))
    yield Row("study the voice", seconds, "s")
    watched = _Watched(engine)
    line = Timeline(picture.fps, np.arange(len(frames), dtype=np.int32))
    router = FrameRouter(picture, track, line, lambda frame: None)
    _, seconds = _timed(lambda: router.run(iter(frames), watched, voice, {**data, **heard}))
    yield Row("engine with compositing", len(frames) / seconds, "fps")
    yield Row("of that in the engine", 100 * watched.seconds / seconds, "%")


class _Watched(FrameEngine):
    """An engine, with the time spent in it and not in what feeds it or takes its patches."""

    def __init__(self, engine: FrameEngine) -> None:
        self.engine, self.effect_gain, self.seconds = engine, engine.effect_gain, 0.0  # type: ignore[misc]

    def check(self) -> None:
        self.engine.check()

    def frames_to_analyse(self, track: Track) -> list[int]:
        return self.engine.frames_to_analyse(track)

    def analyse_video(self, crops: Iterator[Crop], track: Track) -> AnalysisData:
        return self.engine.analyse_video(crops, track)

    def render(
        self, crops: Iterator[Crop], track: Track, timeline: Timeline, voice: NDArray[np.float32], data: AnalysisData
    ) -> Iterator[Patch]:
        patches = self.engine.render(self._paused(crops), track, timeline, voice, data)
        while True:
            self.seconds -= time.monotonic()
            patch = next(patches, None)
            self.seconds += time.monotonic()
            if patch is None:
                return
            yield patch

    def _paused(self, crops: Iterator[Crop]) -> Iterator[Crop]:
        while True:
            self.seconds += time.monotonic()
            crop = next(crops, None)
            self.seconds -= time.monotonic()
            if crop is None:
                return
            yield crop


def _crop(number: int, frame: Frame, picture: Picture, track: Track) -> Crop:
    x0, y0, x1, y1 = (int(n) for n in track.boxes[number])
    return Crop(number, number, (x0, y0, x1, y1), compositing.crop(frame, picture, (x0, y0, x1, y1)))


def _encode(plan: encode_mux.EncodePlan, frames: list[Frame], output: Path) -> None:
    with closing(encode_mux.Encoder(plan, output)) as encoder:
        for frame in frames:
            encoder.write(frame)
        encoder.finish()


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.monotonic()
    made = work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return made, time.monotonic() - began
