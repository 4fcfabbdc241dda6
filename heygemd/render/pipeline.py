"""One video under one voice, from two files to a finished one: analyse, study, render, measure."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config.schema import GIB
from ..errors import EngineError, InfrastructureError
from ..fault_points import point
from ..protocol import Notice, RenderRequest, Result
from . import analysis, engines
from .analysis import Analysis
from .audio.load import Voice, load_voice, speech_findings
from .audio.mel import VOICE_RATE_HZ
from .cache import Cache
from .engines import file_engine_adapter
from .engines.base import Engine, FileEngine, FrameEngine, Memo
from .face.mouth_params import OPEN
from .face.registry import create_tracker
from .face.tracker import Tracker
from .frame_router import Weaver
from .progress import Phases, Report
from .scene import Finding, Timeline
from .stages import Ahead, Behind
from .sync import av_offset
from .sync.output_check import ExpectedOutput, check_output
from .video import decode, encode_mux, frame_order, preview, timeline
from .video.decode import Frame, Picture

QUEUE_BYTES = 24 << 20
NVIDIA = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class _Scene:
    """Everything known before the first frame is made."""

    picture: Picture
    voice: Voice
    heard: NDArray[np.float32]
    tracker: Tracker
    engine: Engine
    found: Analysis
    memo: Memo
    line: Timeline
    plan: encode_mux.Plan


def render(request: RenderRequest, report: Report) -> Result:
    """Make `request.output`. Reports Progress and Notice.

    Raises InputError, EngineError or InfrastructureError; then there is no output.
    """
    phases = Phases(report)
    scene = _prepare(request, phases, report)
    _produce(request, scene, phases)
    return _measure(request, scene, phases)


def _prepare(request: RenderRequest, phases: Phases, report: Report) -> _Scene:
    settings, limits, scratch = request.settings, request.limits, request.scratch
    cache = Cache(request.cache, int(settings.cache_gib * GIB))
    device = choose_device(settings.device)
    tracker = create_tracker(settings.tracker, request.models, device, settings.detector)
    engine = engines.engine(settings, request.models, device, request.cache / "engines")
    tracker.check()
    engine.check()
    with ThreadPoolExecutor(1) as beside:
        described = beside.submit(decode.describe, request.video, limits)
        voice = load_voice(request.voice, request.voice_digest, limits, cache, scratch)
        picture = described.result()
    _tell(report, [*voice.findings, *decode.findings(picture)])
    limit = analysis.window(picture, float(voice.duration_s), whole=settings.audio_shorter == "keep")
    with ThreadPoolExecutor(1) as beside:  # it computes on its own while frames are waited for
        heard = beside.submit(speech_findings, voice, request.voice_digest, cache, scratch)
        found = analysis.analyse(
            picture, request.video_digest, limit, tracker, settings.min_face_fraction, cache, scratch / "track", phases
        )
    _tell(report, heard.result())
    line, differs = timeline.build(
        len(found.track), picture.fps, voice.duration_s, settings.audio_longer, settings.audio_shorter
    )
    _tell(report, [*timeline.shown(found.findings, line), *differs])
    frames = len(line.source)
    covered = frames == timeline.frame_count(voice.duration_s, picture.fps)
    plan = encode_mux.Plan(picture, voice, settings, frames, voice.duration_s if covered else frames / picture.fps)
    sound = _heard(voice, plan.sound_s, scratch)
    memo: Memo = {}
    if isinstance(engine, FrameEngine):
        memo = analysis.study(picture, found, engine, cache, scratch / "memo", phases)
        memo |= analysis.hear(sound, request.voice_digest, engine, cache, scratch / "heard")
    return _Scene(picture, voice, sound, tracker, engine, found, memo, line, plan)


def _tell(report: Report, findings: list[Finding]) -> None:
    for finding in findings:
        report(Notice(code=finding.code, fields=dict(finding.fields)))


def choose_device(wanted: str) -> str:
    """Return the torch device for "auto", "cpu" or "cuda[:N]". Raises InfrastructureError("gpu_unavailable")."""
    if wanted == "cpu" or (wanted == "auto" and not NVIDIA.exists()):  # torch takes a second to import
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda" if wanted == "auto" else wanted
    if wanted == "auto":
        return "cpu"
    raise InfrastructureError("gpu_unavailable", device=wanted)


def _produce(request: RenderRequest, scene: _Scene, phases: Phases) -> None:
    """Decode, engine and encode, each in its own thread, joined by short queues."""
    total = scene.plan.frames
    size = max(2, min(8, QUEUE_BYTES // scene.picture.frame_bytes))
    spare = int(request.limits.free_scratch_gib * GIB)
    before = total if isinstance(scene.engine, FileEngine) else 0

    def encode_all(frames: Iterator[Frame]) -> None:
        with closing(encode_mux.Encoder(scene.plan, request.output)) as encoder:
            for frame in frames:
                encoder.write(frame)
                phases.done(before + encoder.written)
                if encoder.written == (total + 1) // 2:
                    point("render")
            if encoder.written != total:
                raise EngineError("frames_missing", frames=encoder.written, expected=total)
            point("encode")
            encoder.finish()

    source = frame_order.play(scene.picture, scene.line, request.scratch, spare)
    with closing(Behind(encode_all, size)) as behind, closing(Ahead(source, size)) as ahead:
        if isinstance(scene.engine, FileEngine):
            made = file_engine_adapter.run(
                scene.engine, scene.picture, iter(ahead), total, scene.heard, request.scratch, request.limits, phases
            )
            for frame in made:
                behind.put(frame)
        elif isinstance(scene.engine, FrameEngine):
            phases.begin("render", total)
            weaver = Weaver(scene.picture, scene.found.track, scene.line, behind.put)
            weaver.run(iter(ahead), scene.engine, scene.heard, scene.memo)
        behind.finish()


def _heard(voice: Voice, seconds: Fraction, scratch: Path) -> NDArray[np.float32]:
    """Return the voice as long as the output: cut, or with silence after it."""
    samples = voice.samples
    wanted = math.ceil(seconds * VOICE_RATE_HZ)
    if wanted <= len(samples):
        return samples[:wanted]
    padded = np.memmap(scratch / "padded.f32", "<f4", "w+", shape=(wanted,))
    padded[: len(samples)] = samples
    return padded


def _measure(request: RenderRequest, scene: _Scene, phases: Phases) -> Result:
    picture, plan, settings = scene.picture, scene.plan, request.settings
    phases.begin("measure", min(plan.frames, round(av_offset.SAMPLE_S * picture.fps)))
    point("measure")
    expected = ExpectedOutput(plan.frames, picture.fps, picture.width, picture.height, plan.sound_s)
    voice = scene.voice.samples
    with ThreadPoolExecutor(1) as beside:
        described = beside.submit(decode.describe, request.output, request.limits)
        seen = check_output(request.output, expected, request.limits)
        made = described.result()
    lips, verdict = av_offset.measure_video(made, voice, scene.tracker, request.scratch, phases.done)
    if av_offset.is_out_of_sync(verdict, picture.fps, settings.max_offset_frames):
        request.output.unlink()
        raise EngineError("out_of_sync", offset_ms=verdict.offset_ms, confidence=verdict.offset_confidence)
    found = scene.found.track, scene.line
    proof = preview.gather(picture, *found, made, lips[:, OPEN], voice)
    request.output.with_suffix(".json").write_text(proof.model_dump_json())
    phases.end()
    return Result(
        frames=seen.frames,
        duration_s=round(max(seen.video_s, seen.audio_s), 3),
        width=seen.width,
        height=seen.height,
        **verdict.model_dump(),
        engine=scene.engine.name,
        tracker=scene.tracker.name,
        seconds=phases.seconds,
        peak_memory_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )
