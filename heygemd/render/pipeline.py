"""Renders one video with one voice: decode and analyse, render, encode, measure."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config.schema import GIB, MAX_FACES, Render
from ..errors import EngineError, InfrastructureError, InputError, of_the_voice
from ..fault_points import point
from ..media.photo import is_photo
from ..protocol import Notice, RenderRequest, Result
from . import analysis
from .analysis import TrackedVideo
from .audio import delivery, original_sound
from .audio.load import Voice, decode_track, load_voice, speech_findings
from .audio.mel import VOICE_RATE_HZ
from .audio.mix import PlacedVoice, gains, mix_voices
from .cache import Cache
from .engines import file_engine_adapter
from .engines.base import AnalysisData, Engine, FileEngine, FrameEngine
from .engines.mesh import viseme_net
from .engines.registry import create_engine
from .face.mouth_params import OPEN
from .face.registry import create_tracker
from .face.tracker import Tracker
from .frame_router import FrameRouter
from .progress import Phases, Report
from .scene import F32, Finding, Image, Timeline
from .stages import BackgroundSink, Prefetch
from .subtitles import burn
from .subtitles.track import Track, load_tracks
from .sync import alignment, av_offset
from .sync.judge import Judge
from .video import decode, encode_mux, frame_order, preview, timeline
from .video.decode import Frame, Picture
from .video.live_view import LiveView
from .video.output_check import ExpectedOutput, blame_us, check_output
from .video.photo_motion import PhotoMotion
from .video.preview import MouthPictures

LEFT_TO_RIGHT: dict[str | int, float] = {
    **{n: n for n in range(1, MAX_FACES + 1)},
    "left": 0,
    "middle": 3.5,
    "largest": 3.5,
    "right": 9,
}
"""The order of speakers' faces in stereo."""
MAX_SOUND_LAG_MS = 5.0
"""How far the voice may lie from where its recording has it."""
QUEUE_BYTES = 24 << 20
"""Size of the queue of frames between two stages."""


@dataclass(frozen=True)
class _Prepared:
    """Everything known before the first frame is rendered.

    sounds         of each face that speaks (n,) float32 mono at VOICE_RATE_HZ: the voice that drives its lips, cut or
                   padded to the length of the output
    data           of each of these faces
    voice          (n,) float32 mono at VOICE_RATE_HZ: what is heard of the voices, without the video's own sound
    loudness_lufs  of the delivered sound, where one was asked for
    """

    picture: Picture
    sounds: list[NDArray[np.float32]]
    tracker: Tracker
    engine: Engine
    tracked: TrackedVideo
    data: list[AnalysisData]
    voice: NDArray[np.float32]
    timeline: Timeline
    plan: encode_mux.EncodePlan
    loudness_lufs: float | None


def render(request: RenderRequest, report: Report) -> Result:
    """Make `request.output`. Reports Progress and Notice.

    Raises InputError, EngineError or InfrastructureError; then there is no output.
    """
    phases = Phases(report)
    prepared = _prepare(request, phases, report)
    with ExitStack() as stack:
        judge = _judge(request, prepared)
        if judge:
            stack.enter_context(closing(judge))
        mouths = MouthPictures(prepared.picture, prepared.tracked.tracks, prepared.timeline, prepared.sounds)
        _render(request, prepared, judge, mouths, phases, report)
        return _measure_output(request, prepared, judge, mouths, phases)


def _prepare(request: RenderRequest, phases: Phases, report: Report) -> _Prepared:
    settings, limits, scratch = request.settings, request.limits, request.scratch
    cache = Cache(request.cache, int(settings.cache_gib * GIB))
    device = choose_device(settings.device)
    tracker = create_tracker(settings.tracker, request.models, device, settings.detector)
    engine = create_engine(settings, request.models, device, request.cache / "engines")
    tracker.check()
    engine.check()
    if request.speakers and isinstance(engine, FileEngine):
        raise InputError("engine_one_voice", engine=engine.name)
    with ThreadPoolExecutor(1) as pool:
        if is_photo(request.video):
            described = pool.submit(decode.describe_photo, request.video, limits, scratch)
        else:
            described = pool.submit(
                analysis.describe_video, request.video, request.video_digest, limits, cache, scratch / "picture"
            )
        voices = _load_voices(request, cache)
        if request.speakers:
            voice = _mixed(request, voices, cache)
        else:
            voice = load_voice(request.voice, request.voice_digest, limits, cache, scratch)
            voices = voices or [PlacedVoice(voice, Fraction(0))]
        picture = described.result()
    _report_findings(report, [found for each in voices for found in each.voice.findings])
    if request.lips is not None:
        _report_findings(report, _differing_times(voice, voices[0].voice, picture))
    _report_findings(report, decode.findings(picture))
    limit = analysis.frames_to_track(picture, float(voice.duration_s), all_frames=settings.audio_shorter == "keep")
    length_known = settings.audio_longer != "trim" and settings.audio_shorter != "keep"
    with ThreadPoolExecutor(1) as pool:  # tracking leaves cores idle that the voice can use
        speech = pool.submit(_speech_findings, request, voices, cache)
        ahead = pool.submit(_analyse_voices, request, voices, voice.duration_s, engine, cache) if length_known else None
        folder, faces = scratch / "track", [speaker.face for speaker in request.speakers] or [settings.face]
        tracked = analysis.track_video(
            picture, request.video_digest, limit, tracker, settings, faces, cache, folder, phases, report
        )
    _report_findings(report, speech.result())
    if isinstance(engine, FileEngine) and settings.face != "largest":
        _report_findings(report, [Finding("face_left_to_engine", {"engine": engine.name})])
    shown, length_findings = _timeline(picture, len(tracked.tracks[0]), voice, settings)
    _report_findings(report, [*timeline.clip_findings(tracked.findings, shown), *length_findings])
    frames = len(shown.source)
    as_long = frames == timeline.frame_count(voice.duration_s, picture.fps)
    sound_s = voice.duration_s if as_long else frames / picture.fps
    subtitles, burnt, subtitle_findings = _subtitles(request, sound_s)
    _report_findings(report, subtitle_findings)
    delivered, loudness_lufs = _delivered(request, voice, picture, shown, sound_s, report)
    plan = encode_mux.EncodePlan(picture, delivered, settings, frames, sound_s, subtitles, burnt)
    sounds, of_voices = ahead.result() if ahead else _analyse_voices(request, voices, sound_s, engine, cache)
    data: list[AnalysisData] = []
    if isinstance(engine, FrameEngine):
        for face, of_voice in enumerate(of_voices):
            folder = scratch / f"video_data-{face}"
            data.append(analysis.video_data(picture, tracked, face, engine, cache, folder, phases) | of_voice)
    return _Prepared(picture, sounds, tracker, engine, tracked, data, voice.samples, shown, plan, loudness_lufs)


def _load_voices(request: RenderRequest, cache: Cache) -> list[PlacedVoice]:
    """Load what drives the lips: the voice for them, or those of all speakers; none if it is the voice itself."""
    if request.lips is not None:
        lips = load_voice(request.lips, request.lips_digest, request.limits, cache, request.scratch, "lips")
        return [PlacedVoice(lips, Fraction(0))]
    placed = []
    for number, speaker in enumerate(request.speakers):
        with of_the_voice(number):
            folder = request.scratch / f"speaker-{number}"
            voice = load_voice(speaker.voice, speaker.digest, request.limits, cache, folder)
            placed.append(PlacedVoice(voice, Fraction(speaker.at_s).limit_denominator(1000)))
    return placed


def _mixed(request: RenderRequest, voices: list[PlacedVoice], cache: Cache) -> Voice:
    """Mix the speakers' voices; the result is delivered as if it were one recording."""
    path, channels = request.scratch / "mixed.wav", request.settings.channels
    order = sorted(range(len(voices)), key=lambda n: LEFT_TO_RIGHT.get(request.speakers[n].face, n))
    shares = gains(len(voices), channels)
    mix_voices([voices[n] for n in order], shares, path)
    key = " ".join([*(f"{speaker.digest} {speaker.at_s}" for speaker in request.speakers), channels, str(order)])
    return load_voice(path, key, request.limits, cache, request.scratch / "mixed")


def _speech_findings(request: RenderRequest, voices: list[PlacedVoice], cache: Cache) -> list[Finding]:
    """Return what people should know of the speech; that one of several speakers pauses is no news."""
    if not request.speakers:
        digest = request.lips_digest if request.lips else request.voice_digest
        return speech_findings(voices[0].voice, digest, cache, request.scratch)
    found = []
    for number, (speaker, each) in enumerate(zip(request.speakers, voices, strict=True)):
        folder = request.scratch / f"speaker-{number}"
        found += speech_findings(each.voice, speaker.digest, cache, folder)
    return [finding for finding in found if finding.code != "no_speech_ranges"]


def _analyse_voices(
    request: RenderRequest, voices: list[PlacedVoice], sound_s: Fraction, engine: Engine, cache: Cache
) -> tuple[list[NDArray[np.float32]], list[AnalysisData]]:
    """Return the sound that drives each face's lips, `sound_s` long, and what a FrameEngine must know of it."""
    scratch = request.scratch
    sounds = [_cut_or_padded(each, sound_s, scratch / f"padded-{n}.f32") for n, each in enumerate(voices)]
    if not isinstance(engine, FrameEngine):
        return sounds, []
    digests = [f"{speaker.digest} {speaker.at_s}" for speaker in request.speakers] or [
        request.lips_digest if request.lips else request.voice_digest
    ]
    return sounds, [
        analysis.voice_data(sound, digest, engine, cache, scratch / f"voice_data-{face}")
        for face, (sound, digest) in enumerate(zip(sounds, digests, strict=True))
    ]


def _subtitles(request: RenderRequest, sound_s: Fraction) -> tuple[list[Track], Track | None, list[Finding]]:
    """Return the soft tracks, the one to draw onto the picture (the first, if any is), and what people should know."""
    tracks, findings = load_tracks(request.subtitles, sound_s)
    if request.settings.subtitles != "burn" or not tracks:
        return tracks, None, findings
    font = burn.font_for(tracks[0], request.settings.subtitle_font)
    burnt, more = burn.drawable(tracks[0], font, request.scratch)
    return tracks if burnt is None else tracks[1:], burnt, [*findings, *more]


def _differing_times(voice: Voice, lips: Voice, picture: Picture) -> list[Finding]:
    """Return the remarks that the voice and the one for the lips differ by more than a frame: in length, in time."""
    frame_s, found = 1 / picture.fps, []
    if abs(voice.duration_s - lips.duration_s) > frame_s:
        voice_s, lips_s = (round(float(each.duration_s), 2) for each in (voice, lips))
        found.append(Finding("lips_voice_length", {"voice_s": voice_s, "lips_s": lips_s}))
    late_ms = alignment.lag_ms(lips.samples, voice.samples) or 0.0
    if abs(late_ms) > 1000 * frame_s:
        milliseconds = round(abs(late_ms))
        found.append(Finding("lips_voice_late" if late_ms > 0 else "lips_voice_early", {"milliseconds": milliseconds}))
    return found


def _delivered(
    request: RenderRequest, voice: Voice, picture: Picture, shown: Timeline, sound_s: Fraction, report: Report
) -> tuple[Voice, float | None]:
    """Return what is heard, the voice as it came unless the settings ask for more, and its loudness if that was set."""
    settings, scratch = request.settings, request.scratch
    loudness_lufs = None
    if settings.original_sound == "keep":
        info = picture.info
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


def _judge(request: RenderRequest, prepared: _Prepared) -> Judge | None:
    """Return who tracks the lips while they are encoded; None: it must wait, for the other faces or for the engine."""
    if len(prepared.tracked.tracks) > 1 or not prepared.tracker.light or isinstance(prepared.engine, FileEngine):
        return None

    def track(images: Iterator[Image]) -> F32:
        return av_offset.track_lips(
            images, prepared.picture, lambda: prepared.sounds[0], prepared.tracker, request.scratch, lambda _: None,
            _boxes(request, prepared, 0),
        )  # fmt: skip

    return Judge(prepared.picture, track, _queue_size(prepared.picture))


def _queue_size(picture: Picture) -> int:
    """Return how many frames may wait between two stages."""
    return max(2, min(8, QUEUE_BYTES // picture.frame_bytes))


def _boxes(request: RenderRequest, prepared: _Prepared, face: int) -> NDArray[np.int32] | None:
    """Return where a face is in each output frame, (T, 4) as of a Track; None for a video's largest face."""
    if not request.speakers and request.settings.face == "largest":
        return None
    return prepared.tracked.tracks[face].boxes[prepared.timeline.source]


def _render(
    request: RenderRequest, prepared: _Prepared, judge: Judge | None, mouths: MouthPictures, phases: Phases,
    report: Report,
) -> None:  # fmt: skip
    """Decode, render and encode, each in its own thread, joined by short queues."""
    engine, picture, total = prepared.engine, prepared.picture, prepared.plan.frames
    size = _queue_size(picture)
    spare = int(request.limits.free_scratch_gib * GIB)
    done_before = total if isinstance(engine, FileEngine) else 0
    motion = _motion(request, prepared)
    engine_moves = isinstance(engine, FileEngine)  # it may turn the head: its frames are not ours to warp

    def encode_all(frames: Iterator[Frame]) -> None:
        encoder = encode_mux.Encoder(prepared.plan, request.output)
        view = LiveView(prepared.plan, request.scratch, request.picture_every_s, report)
        with closing(encoder), closing(view):
            if isinstance(engine, FrameEngine):  # a FileEngine's first frame comes much later
                encoder.start()
            for frame in motion.apply(frames) if motion and not engine_moves else frames:
                mouths.see_result(encoder.written, frame)
                if judge:
                    judge.see(frame)
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
    source = mouths.see_source(motion.apply(source) if motion and engine_moves else source)
    with closing(BackgroundSink(encode_all, size)) as encoding, closing(Prefetch(source, size)) as decoded:
        if isinstance(engine, FileEngine):
            rendered = file_engine_adapter.run(
                engine, picture, iter(decoded), total, prepared.sounds[0], request.scratch, request.limits, phases
            )
            for frame in rendered:
                encoding.put(frame)
        elif isinstance(engine, FrameEngine):
            phases.begin("render", total)
            _route(prepared, engine, iter(decoded), encoding.put, size)
        encoding.finish()


def _route(
    prepared: _Prepared, engine: FrameEngine, frames: Iterator[Frame], emit: Callable[[Frame], None], size: int
) -> None:
    """Send the frames through the engine once for each face that speaks, each in a thread of its own."""

    def through(face: int, emit: Callable[[Frame], None], frames: Iterator[Frame]) -> None:
        router = FrameRouter(prepared.picture, prepared.tracked.tracks[face], prepared.timeline, emit)
        router.run(frames, engine, prepared.sounds[face], prepared.data[face])

    with ExitStack() as stack:
        sinks: list[BackgroundSink[Frame]] = []
        for face in reversed(range(1, len(prepared.sounds))):
            sink = BackgroundSink(partial(through, face, emit), size)
            sinks.insert(0, stack.enter_context(closing(sink)))
            emit = sink.put
        through(0, emit, frames)
        for sink in sinks:
            sink.finish()


def _motion(request: RenderRequest, prepared: _Prepared) -> PhotoMotion | None:
    picture, track = prepared.picture, prepared.tracked.tracks[0]
    if not picture.photo or request.settings.photo_motion == "still":
        return None
    points = track.points(0, 1)[0]
    return PhotoMotion(picture, points, float(track.yaw_deg[0]), request.video_digest, prepared.plan.frames)


def _cut_or_padded(placed: PlacedVoice, seconds: Fraction, file: Path) -> NDArray[np.float32]:
    """Return a voice's samples with silence around them, cut so that they last `seconds`; `file` may be made."""
    samples = placed.voice.samples
    wanted, start = math.ceil(seconds * VOICE_RATE_HZ), round(placed.at_s * VOICE_RATE_HZ)
    if not start and wanted <= len(samples):
        return samples[:wanted]
    padded = np.memmap(file, "<f4", "w+", shape=(wanted,))
    padded[start : start + len(samples)] = samples[: max(0, wanted - start)]
    return padded


def _check_alignment(delivered: NDArray[np.float32], prepared: _Prepared) -> None:
    """Raise EngineError("output_invalid") if the voice is delivered at another time than it has in its recording.

    Where it was copied, the decoder's own delay is in both.
    """
    late_ms = None if prepared.plan.copied else alignment.lag_ms(delivered, prepared.voice)
    if abs(late_ms or 0.0) > MAX_SOUND_LAG_MS:
        raise EngineError("output_invalid", reason="sound_lag", detail=f"the voice is {late_ms} ms late")


def _measure_output(
    request: RenderRequest, prepared: _Prepared, judge: Judge | None, mouths: MouthPictures, phases: Phases
) -> Result:
    """Check the finished file, measure its lip sync and write its preview beside it.

    Raises EngineError("output_invalid" | "out_of_sync").
    """
    picture, plan, settings = prepared.picture, prepared.plan, request.settings
    tracks = prepared.tracked.tracks
    phases.begin("measure", min(plan.frames, round(av_offset.SAMPLE_S * picture.fps)))
    point("measure")
    expected = ExpectedOutput(
        plan.frames, picture.fps, picture.width, picture.height, plan.sound_s, len(plan.subtitles)
    )
    with blame_us(), ThreadPoolExecutor(1) as pool:
        seen = check_output(request.output, expected, request.limits)
        file = request.scratch / "delivered.f32"
        delivered = pool.submit(decode_track, request.output, seen.info, request.limits, file)
        heard: list[Callable[[], NDArray[np.float32]]] = [delivered.result]
        if request.lips or request.speakers or settings.original_sound == "keep":  # music would hide the voice
            heard = [partial(np.asarray, sound) for sound in prepared.sounds]
            _check_alignment(delivered.result(), prepared)
        made = decode.describe_encoded(picture, plan.frames, request.output)
        judged = judge.result() if judge else None
        lips, each = [], []
        for face, (_, hear) in enumerate(zip(tracks, heard, strict=True)):
            found, one = av_offset.measure_video(
                made, hear, prepared.tracker, request.scratch, phases.done, _boxes(request, prepared, face),
                seen=judged,
            )  # fmt: skip
            if av_offset.is_out_of_sync(one, picture.fps, settings.max_offset_frames):  # it may be wrong: ask the lips
                one = av_offset.measure(found, picture.fps, hear(), viseme_net.predict_visemes)
            lips.append(found)
            each.append(one)
    for measured in each:
        if av_offset.is_out_of_sync(measured, picture.fps, settings.max_offset_frames):
            request.output.unlink()
            raise EngineError("out_of_sync", offset_ms=measured.offset_ms, confidence=measured.offset_confidence)
    measured = max(each, key=lambda one: one.offset_confidence)
    openings = [found[:, OPEN] for found in lips]
    shown = preview.make_preview(mouths.chosen(openings), prepared.timeline.fps, openings[0], heard[0]())
    request.output.with_suffix(".json").write_text(shown.model_dump_json())
    phases.end()
    return Result(
        frames=seen.frames,
        duration_s=round(max(seen.video_s, seen.audio_s), 3),
        width=seen.width,
        height=seen.height,
        **measured.model_dump(),
        speakers=[one.offset_ms for one in each] if request.speakers else [],
        engine=prepared.engine.name,
        tracker=prepared.tracker.name,
        burnt=str(plan.burnt or ""),
        loudness_lufs=prepared.loudness_lufs,
        subtitles=[str(track) for track in plan.subtitles],
        seconds=phases.seconds,
        peak_memory_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )
