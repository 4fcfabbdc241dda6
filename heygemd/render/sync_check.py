"""Any talking video judged as it is: whether its lips move with its sound."""

from __future__ import annotations

from ..protocol import SyncMeasurement, SyncRequest
from .audio import load
from .cache import Cache
from .face.registry import create_tracker
from .pipeline import choose_device
from .progress import Phases, Report
from .sync import av_offset
from .video import decode

CACHE_BYTES = 1 << 30


def judge(request: SyncRequest, report: Report) -> SyncMeasurement:
    """Measure the start of a video (see sync.watch) against its own or another sound. Reports Progress.

    Raises InputError("no_audio", "no_video", ... as `audio.load` and `video.describe`).
    """
    phases = Phases(report)
    settings, limits = request.settings, request.limits
    cache = Cache(request.scratch / "cache", CACHE_BYTES)
    voice = load.load(request.voice, "", limits, cache, request.scratch)
    picture = decode.describe(request.video, limits)
    device = choose_device(settings.device)
    tracker = create_tracker(settings.tracker, request.models, device, settings.detector)
    tracker.check()
    phases.begin("measure", round(min(av_offset.SAMPLE_S, float(voice.duration_s)) * picture.fps))
    return av_offset.watch(picture, voice.samples, tracker, request.scratch, phases.done)[1]
