"""Any talking video judged as it is: whether its lips move with its sound."""

from __future__ import annotations

from ..protocol import JudgeRequest, Verdict
from . import audio, faces, sync, video
from .cache import Cache
from .pipeline import choose_device
from .progress import Phases, Report

CACHE_BYTES = 1 << 30


def judge(request: JudgeRequest, report: Report) -> Verdict:
    """Measure the start of a video (see sync.watch) against its own or another sound. Reports Progress.

    Raises InputError("no_audio", "no_video", ... as `audio.load` and `video.describe`).
    """
    phases = Phases(report)
    settings, limits = request.settings, request.limits
    cache = Cache(request.scratch / "cache", CACHE_BYTES)
    voice = audio.load(request.voice, "", limits, cache, request.scratch)
    picture = video.describe(request.video, limits)
    device = choose_device(settings.device)
    tracker = faces.tracker(settings.tracker, request.models, device, settings.detector)
    tracker.check()
    phases.begin("measure", round(min(sync.SAMPLE_S, float(voice.duration_s)) * picture.fps))
    return sync.watch(picture, voice.samples, tracker, request.scratch, phases.done)[1]
