"""Maps output frames to source frames when voice and video differ in length."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...config.schema import AudioLonger, AudioShorter
from ..scene import Finding, Timeline


def frame_count(seconds: Fraction, fps: Fraction) -> int:
    """Return how many frames cover `seconds`: at least 1, rounded up."""
    return max(1, math.ceil(seconds * fps))


def build_timeline(
    frames: int, fps: Fraction, voice_s: Fraction, longer: AudioLonger, shorter: AudioShorter
) -> tuple[Timeline, list[Finding]]:
    """Return which of `frames` source frames (at least 1) each output frame shows, and findings about the lengths.

    A frame more or less, such as a codec's padding, is none.

    longer   policy when the voice is longer than the video · shorter  when it is shorter
    """
    wanted = frame_count(voice_s, fps)
    voice, video = round(float(voice_s), 2), round(float(frames / fps), 2)
    if wanted > frames:
        source = _extended(frames, wanted, longer)
        found = [Finding("voice_longer", {"voice_s": voice, "video_s": video, "policy": longer})]
    else:
        source = np.arange(frames if shorter == "keep" else wanted, dtype=np.int32)
        found = [Finding("voice_shorter", {"voice_s": voice, "video_s": video, "policy": shorter})]
    return Timeline(fps, source), found if abs(voice_s * fps - frames) > 1 else []


def photo_timeline(fps: Fraction, voice_s: Fraction) -> Timeline:
    """Return the timeline of a photograph: its one frame as long as the voice."""
    return Timeline(fps, np.zeros(frame_count(voice_s, fps), np.int32))


def pass_starts(timeline: Timeline) -> list[int]:
    """Return the output frames at which the picture begins anew or turns; where it is held, as often as if looped.

    A single picture does neither.
    """
    frames, count = int(timeline.source.max()) + 1, len(timeline.source)
    if frames == 1:
        return [0]
    turned = frames < count and timeline.source[frames] == frames - 2
    return [0, *range(frames, count, frames - 1 if turned else frames)]


def clip_findings(findings: list[Finding], timeline: Timeline) -> list[Finding]:
    """Return the findings that concern source frames that are shown.

    "ranges" [[start_s, stop_s], ...] are cut where the shown part of the source ends; a finding without any left goes.
    What is true of a photograph is true all the time.
    """
    if not timeline.source.any():
        whole = [[0.0, round(len(timeline.source) / float(timeline.fps), 2)]]
        return [f._replace(fields={**f.fields, "ranges": whole}) if "ranges" in f.fields else f for f in findings]
    end_s = (int(timeline.source.max()) + 1) / float(timeline.fps)
    kept = []
    for finding in findings:
        ranges = finding.fields.get("ranges")
        if isinstance(ranges, list):
            ranges = [[start, min(stop, end_s)] for start, stop in ranges if start < end_s]
            finding = finding._replace(fields={**finding.fields, "ranges": ranges})
        if ranges != []:
            kept.append(finding)
    return kept


def _extended(frames: int, wanted: int, longer: AudioLonger) -> NDArray[np.int32]:
    index = np.arange(frames if longer == "trim" else wanted, dtype=np.int64)
    if longer == "loop":
        index %= frames
    elif longer == "hold":
        index = np.minimum(index, frames - 1)
    elif longer == "pingpong" and frames > 1:  # the first and last frame are not shown twice: period 2N - 2
        index %= 2 * frames - 2
        index = np.minimum(index, 2 * frames - 2 - index)
    elif longer == "pingpong":
        index[:] = 0
    return index.astype(np.int32)
