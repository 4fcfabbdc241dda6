"""What the times of a stream's packets say: its rate, its end and its gaps. Headers only claim these."""

from __future__ import annotations

import statistics
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ..config.schema import Limits
from . import ffmpeg, process

MAX_PRIMING_S = 0.1
"""Samples that an encoder writes ahead of the first one: 2112 in AAC at 44.1 kHz are 48 ms."""


class Packet(NamedTuple):
    """A packet's presentation time and duration, seconds (0 if unknown), and whether players discard it."""

    time_s: float
    duration_s: float
    discarded: bool


def read(path: Path, limits: Limits, index: int, first: int | None = None, stdin: int | None = None) -> list[Packet]:
    """Return the packets (the `first`) of a stream in order of time. Raises the errors of `process.run`."""
    shown = ("-select_streams", str(index), "-show_entries", "packet=pts_time,dts_time,duration_time,flags")
    part = () if first is None else ("-read_intervals", f"%+#{first}")
    options = (*shown, *part, "-fflags", "+genpts", "-of", "csv=p=0:nk=0")
    argv = ffmpeg.probe_command(path, *options, max_pixels=limits.max_pixels)
    lines = process.run(argv, limits.probe_timeout_s, stdin=stdin).decode("utf-8", "replace").splitlines()
    return sorted(packet for packet in map(_packet, lines) if packet is not None)


def _packet(line: str) -> Packet | None:
    """Return the packet of a line "pts_time=0.04,dts_time=0.00,duration_time=0.04,flags=K_"; None without a time."""
    facts = dict(part.split("=", 1) for part in line.split(",") if "=" in part and not part.endswith("=N/A"))
    time = facts.get("pts_time", facts.get("dts_time"))
    if time is None:
        return None
    return Packet(float(time), float(facts.get("duration_time", 0)), "D" in facts.get("flags", ""))


def typical_rate(packets: list[Packet]) -> Fraction:
    """Return the packets a second where they follow each other as they mostly do, 0 if there are too few."""
    steps = [later.time_s - packet.time_s for packet, later in pairwise(packets) if later.time_s > packet.time_s]
    if not steps:
        return Fraction(0)
    median = statistics.median(steps)
    near = [step for step in steps if abs(step - median) < median / 3]  # their mean, because times are rounded
    return Fraction(len(near) / sum(near)).limit_denominator(1001)


def span_s(packets: list[Packet]) -> float:
    """Return the time from the first packet's start to the last one's end."""
    return max((p.time_s + p.duration_s for p in packets), default=0.0) - min((p.time_s for p in packets), default=0.0)


def is_gapless(packets: list[Packet]) -> bool:
    """Return whether the packets follow each other without a gap, an overlap or a part that players discard.

    Only what an encoder writes ahead of the first sample may be discarded.
    """
    steps = [later.time_s - packet.time_s for packet, later in pairwise(packets)]
    usual = statistics.median(steps) if steps else 0.0
    even = all(abs(step - usual) <= ffmpeg.MIN_GAP_S for step in steps)
    return even and all(not p.discarded or -MAX_PRIMING_S < p.time_s < 0 for p in packets)
