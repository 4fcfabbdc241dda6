"""Renders one video with one voice: decode and analyse, render, encode, measure."""

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

from ..config.schema import GIB, Render
from ..errors import EngineError, InfrastructureError
from ..fault_points import point
from ..media.photo import is_photo
from ..media.probe import probe
from ..protocol import Notice, RenderRequest, Result
from . import analysis
from .analysis import TrackedVideo
from .audio import delivery, original_sound
from .audio.load import Voice, decode_track, load_voice, speech_findings
from .audio.mel import VOICE_RATE_HZ
from .cache import Cache
from .engines import file_engine_adapter
from .engines.base import AnalysisData, Engine, FileEngine, FrameEngine
from .engines.registry import create_engine
from .face.mouth_params import OPEN
from .face.registry import create_tracker
from .face.tracker import Tracker
from .frame_router import FrameRouter
from .progress import Phases, Report
from .scene import Finding, Timeline
from .stages import BackgroundSink, Prefetch
from .subtitles import burn
from .subtitles.track import Track, load_tracks
from .sync import av_offset
from .video import decode, encode_mux, frame_order, preview, timeline
from .video.decode import Frame, Picture
from .video.live_view import LiveView
from .video.output_check import ExpectedOutput, blame_us, check_output
from .video.photo_motion import PhotoMotion

QUEUE_BYTES = 24 << 20
"""Size of the queue of frames between two stages."""


@dataclass(frozen=True)
class _Prepared:
    """Everything known before the first frame is rendered.

    sound  (n,) float32 mono at VOICE_RATE_HZ: the voice that drives the lips, cut or padded to the length of the output
    loudness_lufs  of the delivered sound, where one was asked for
    """

    picture: Picture
    sound: NDArray[np.float32]
    tracker: Tracker
    engine: Engine
    tracked: TrackedVideo
    data: AnalysisData
    timeline: Timeline
    plan: encode_mux.EncodePlan
    loudness_lufs: float | None


def render(request: RenderRequest, report: Report) -> Result:
    """Make `request.output`. Reports Progress and Notice.

    Raises InputError, EngineError or InfrastructureError; then there is no output.
    """
    phases = Phases(report)
    prepared = _prepare(request, phases, report)
    _render(request, prepared, phases, report)
    return _measure_output(request, prepared, phases)


def _prepare(request: RenderRequest, phases: Phases, report: Report) -> _Prepared:
    settings, limits, scratch = request.settings, request.limits, request.scratch
    cache = Cache(request.cache, int(settings.cache_gib * GIB))
    device = choose_device(settings.device)
    tracker = create_tracker(settings.tracker, request.models, device, settings.detector)
    engine = create_engine(settings, request.models, device, request.cache / "engines")
    tracker.check()
    engine.check()
    with ThreadPoolExecutor(1) as pool:
        describe = decode.describe_photo if is_photo(request.video) else decode.describe_video
        described = pool.submit(describe, request.video, limits)
        voice = load_voice(request.voice, request.voice_digest, limits, cache, scratch)
        lips, lips_digest = voice, request.voice_digest
        if request.lips is not None:
            lips_digest = request.lips_digest
            lips = load_voice(request.lips, lips_digest, limits, cache, scratch, "lips")
        picture = described.result()
    _report_findings(report, [*lips.findings, *_differing_lengths(voice, lips, picture), *decode.findings(picture)])
    limit = analysis.frames_to_track(picture, float(voice.duration_s), all_frames=settings.audio_shorter == "keep")
    with ThreadPoolExecutor(1) as pool:  # speech is detected while tracking waits for frames
        speech = pool.submit(speech_findings, lips, lips_digest, cache, scratch)
        min_fraction, folder = settings.min_face_fraction, scratch / "track"
        tracked = analysis.track_video(
            picture, request.video_digest, limit, tracker, min_fraction, cache, folder, phases
        )
    _report_findings(report, speech.result())
    shown, length_findings = _timeline(picture, len(tracked.track), voice, settings)
    _report_findings(report, [*timeline.clip_findings(tracked.findings, shown), *length_findings])
    frames = len(shown.source)
    as_long = frames == timeline.frame_count(voice.duration_s, picture.fps)
    sound_s = voice.duration_s if as_long else frames / picture.fps
    subtitles, burnt, subtitle_findings = _subtitles(request, sound_s)
    _report_findings(report, subtitle_findings)
    delivered, loudness_lufs = _delivered(request, voice, picture, shown, sound_s, report)
    plan = encode_mux.EncodePlan(picture, delivered, settings, frames, sound_s, subtitles, burnt)
    sound = _cut_or_padded(lips, sound_s, scratch)
    data: AnalysisData = {}
    if isinstance(engine, FrameEngine):
        data = analysis.video_data(picture, tracked, engine, cache, scratch / "video_data", phases)
        data |= analysis.voice_data(sound, lips_digest, engine, cache, scratch / "voice_data")
    return _Prepared(picture, sound, tracker, engine, tracked, data, shown, plan, loudness_lufs)


def _subtitles(request: RenderRequest, sound_s: Fraction) -> tuple[list[Track], Track | None, list[Finding]]:
    """Return the soft tracks, the one to draw onto the picture (the first, if any is), and what people should know."""
    tracks, findings = load_tracks(request.subtitles, sound_s)
    if request.settings.subtitles != "burn" or not tracks:
        return tracks, None, findings
    font = burn.font_for(tracks[0], request.settings.subtitle_font)
    burnt, more = burn.drawable(tracks[0], font, request.scratch)
    return tracks if burnt is None else tracks[1:], burnt, [*findings, *more]


def _differing_lengths(voice: Voice, lips: Voice, picture: Picture) -> list[Finding]:
    """Return the remark that the voice and the one for the lips differ by more than a frame."""
    if abs(voice.duration_s - lips.duration_s) * picture.fps <= 1:
        return []
    voice_s, lips_s = (round(float(each.duration_s), 2) for each in (voice, lips))
    return [Finding("lips_voice_length", {"voice_s": voice_s, "lips_s": lips_s})]


def _delivered(
    request: RenderRequest, voice: Voice, picture: Picture, shown: Timeline, sound_s: Fraction, report: Report
) -> tuple[Voice, float | None]:
    """Return what is heard, the voice as it came unless the settings ask for more, and its loudness if that was set."""
    settings, scratch = request.settings, request.scratch
    loudness_lufs = None
    if settings.original_sound == "keep":
        info = None if picture.photo else probe(request.video, request.limits)
        if info is None or info.audio is None:
            _report_findings(report, [Finding("original_sound_none", {})])
        else:
            _report_findings(report, original_sound.speech_findings(request.video, info))
            starts = [Fraction(start) / picture.fps for start in timeline.pass_starts(shown)]
            pass_s = Fraction(int(shown.source.max()) + 1) / picture.fps if len(starts) > 1 else sound_s
            whole = original_sound.write_whole(request.video, info, starts, pass_s, sound_s, scratch)
            voice = delivery.mixed(voice, whole, settings.original_sound_db, sound_s, scratch)
    if settings.loudness_lufs is not None:
        voice, loudness_lufs, findings = delivery.normalised(voice, settings.loudness_lufs, sound_s)
        _report_findings(report, findings)
    return voice, loudness_lufs


def _timeline(picture: Picture, frames: int, voice: Voice, settings: Render) -> tuple[Timeline, list[Finding]]:
    if picture.photo:
        return timeline.photo_timeline(picture.fps, voice.duration_s), []
    return timeline.build_timeline(
        frames, picture.fps, voice.duration_s, settings.audio_longer, settings.audio_shorter
    )  # fmt: skip


def _report_findings(report: Report, findings: list[Finding]) -> None:
    for finding in findings:
        report(Notice(code=finding.code, fields=dict(finding.fields)))


def choose_device(wanted: str) -> str:
    """Return the torch device for "auto", "cpu" or "cuda[:N]". Raises InfrastructureError("gpu_unavailable")."""
    if wanted == "cpu" or (wanted == "auto" and not encode_mux.NVIDIA.exists()):  # torch takes a second to import
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda" if wanted == "auto" else wanted
    if wanted == "auto":
        return "cpu"
    raise InfrastructureError("gpu_unavailable", device=wanted)


def _render(request: RenderRequest, prepared: _Prepared, phases: Phases, report: Report) -> None:
    """Decode, render and encode, each in its own thread, joined by short queues."""
    engine, picture, total = prepared.engine, prepared.picture, prepared.plan.frames
    size = max(2, min(8, QUEUE_BYTES // picture.frame_bytes))
    spare = int(request.limits.free_scratch_gib * GIB)
    done_before = total if isinstance(engine, FileEngine) else 0
    motion = _motion(request, prepared)
    engine_moves = isinstance(engine, FileEngine)  # it may turn the head: its frames are not ours to warp

    def encode_all(frames: Iterator[Frame]) -> None:
        encoder = encode_mux.Encoder(prepared.plan, request.output)
        view = LiveView(prepared.plan, request.scratch, request.picture_every_s, report)
        with closing(encoder), closing(view):
            for frame in motion.apply(frames) if motion and not engine_moves else frames:
                encoder.write(frame)
                view.see(frame)
                phases.done(done_before + encoder.written)
                if encoder.written == (total + 1) // 2:
                    point("render")
            if encoder.written != total:
                raise EngineError("frames_missing", frames=encoder.written, expected=total)
            point("encode")
            encoder.finish()

    source = frame_order.ordered_frames(picture, prepared.timeline, request.scratch, spare)
    if motion and engine_moves:
        source = motion.apply(source)
    with closing(BackgroundSink(encode_all, size)) as encoding, closing(Prefetch(source, size)) as decoded:
        if isinstance(engine, FileEngine):
            rendered = file_engine_adapter.run(
                engine, picture, iter(decoded), total, prepared.sound, request.scratch, request.limits, phases
            )
            for frame in rendered:
                encoding.put(frame)
        elif isinstance(engine, FrameEngine):
            phases.begin("render", total)
            router = FrameRouter(picture, prepared.tracked.track, prepared.timeline, encoding.put)
            router.run(iter(decoded), engine, prepared.sound, prepared.data)
        encoding.finish()


def _motion(request: RenderRequest, prepared: _Prepared) -> PhotoMotion | None:
    picture, track = prepared.picture, prepared.tracked.track
    if not picture.photo or request.settings.photo_motion == "still":
        return None
    points = track.points(0, 1)[0]
    return PhotoMotion(picture, points, float(track.yaw_deg[0]), request.video_digest, prepared.plan.frames)


def _cut_or_padded(voice: Voice, seconds: Fraction, scratch: Path) -> NDArray[np.float32]:
    """Return the voice's samples, cut or followed by silence so that they last `seconds`."""
    samples = voice.samples
    wanted = math.ceil(seconds * VOICE_RATE_HZ)
    if wanted <= len(samples):
        return samples[:wanted]
    padded = np.memmap(scratch / "padded.f32", "<f4", "w+", shape=(wanted,))
    padded[: len(samples)] = samples
    return padded


def _measure_output(request: RenderRequest, prepared: _Prepared, phases: Phases) -> Result:
    """Check the finished file, measure its lip sync and write its preview beside it.

    Raises EngineError("output_invalid" | "out_of_sync").
    """
    picture, plan, settings = prepared.picture, prepared.plan, request.settings
    phases.begin("measure", min(plan.frames, round(av_offset.SAMPLE_S * picture.fps)))
    point("measure")
    expected = ExpectedOutput(
        plan.frames, picture.fps, picture.width, picture.height, plan.sound_s, len(plan.subtitles)
    )
    unlimited = request.limits.model_copy(update={"max_video_s": math.inf})  # the voice decides its length
    with blame_us():
        with ThreadPoolExecutor(1) as pool:
            probed = pool.submit(probe, request.output, unlimited)
            seen = check_output(request.output, expected, request.limits)
            info = probed.result()
        made = decode.describe_own(request.output, info, picture.fps)
        sound = prepared.sound
        if not (request.lips or settings.original_sound == "keep"):  # else music would hide the voice
            sound = decode_track(request.output, info, request.limits, request.scratch / "delivered.f32")
        lips, measured = av_offset.measure_video(made, sound, prepared.tracker, request.scratch, phases.done)
    if av_offset.is_out_of_sync(measured, picture.fps, settings.max_offset_frames):
        request.output.unlink()
        raise EngineError("out_of_sync", offset_ms=measured.offset_ms, confidence=measured.offset_confidence)
    track = prepared.tracked.track
    shown = preview.make_preview(picture, track, prepared.timeline, made, lips[:, OPEN], sound)
    request.output.with_suffix(".json").write_text(shown.model_dump_json())
    phases.end()
    return Result(
        frames=seen.frames,
        duration_s=round(max(seen.video_s, seen.audio_s), 3),
        width=seen.width,
        height=seen.height,
        **measured.model_dump(),
        engine=prepared.engine.name,
        tracker=prepared.tracker.name,
        burnt=str(plan.burnt or ""),
        loudness_lufs=prepared.loudness_lufs,
        subtitles=[str(track) for track in plan.subtitles],
        seconds=phases.seconds,
        peak_memory_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )
