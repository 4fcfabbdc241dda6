"""Measures whether the lips of any talking video move with its sound, without rendering."""

from __future__ import annotations

from functools import partial

from ..protocol import SyncMeasurement, SyncRequest
from .audio.load import load_voice
from .audio.mel import VOICE_RATE_HZ
from .cache import Cache
from .engines.mesh import viseme_net
from .face.registry import create_tracker
from .pipeline import choose_device
from .progress import Phases, Report
from .sync import av_offset
from .video import decode

CACHE_BYTES = 1 << 30


def check_sync(request: SyncRequest, report: Report) -> SyncMeasurement:
    """Measure the start of a video (see av_offset.measure_video) against its own or another sound. Reports Progress.

    Raise what `load_voice` and `decode.describe_video` raise.
    """
    phases = Phases(report)
    settings, limits = request.settings, request.limits
    cache = Cache(request.scratch / "cache", CACHE_BYTES)
    voice = load_voice(request.voice, "", limits, cache, request.scratch)
    picture = decode.describe_video(request.video, limits)
    device = choose_device(settings.device)
    tracker = create_tracker(settings.tracker, request.models, device, settings.detector)
    tracker.check()
    phases.begin("measure", round(min(av_offset.SAMPLE_S, float(voice.duration_s)) * picture.fps))
    # Frames are counted from the first one on; a file's own sound may start before it.
    ahead_s = picture.stream.start_s if request.voice == request.video else 0.0
    samples = voice.samples[round(ahead_s * VOICE_RATE_HZ) :]
    expect = partial(viseme_net.predict_visemes, net=viseme_net.load())
    return av_offset.measure_video(picture, lambda: samples, tracker, request.scratch, phases.done, expect=expect)[1]
