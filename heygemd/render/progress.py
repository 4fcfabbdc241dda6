"""Progress events: at most two a second, in percent of the whole video, never falling."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..protocol import Message, Phase, Progress

EVENT_EVERY_S = 0.5
PHASE_PERCENT: dict[Phase, tuple[float, float]] = {
    "analyse": (0.0, 15.0),
    "prepare": (15.0, 20.0),
    "render": (20.0, 96.0),
    "measure": (96.0, 100.0),
}
"""Percent at which each phase begins and ends."""

Report = Callable[[Message], None]


class Phases:
    """Reports progress and keeps the wall time of each phase in `seconds`."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock = report, clock
        self._phase: Phase = "analyse"
        self._total = 0
        self._began = self._last = clock()
        self._percent = 0.0
        self.seconds: dict[str, float] = {}

    def begin(self, phase: Phase, total: int) -> None:
        """End the last phase and start one of `total` frames (0: unknown)."""
        self.end()
        self._phase, self._total, self._began = phase, total, self._clock()
        self._send(0)

    def done(self, count: int) -> None:
        """Report how many frames of the phase are done."""
        if self._clock() - self._last >= EVENT_EVERY_S:
            self._send(count)

    def end(self) -> None:
        """Add the time since `begin` to the phase's seconds."""
        spent = self._clock() - self._began
        self.seconds[self._phase] = round(self.seconds.get(self._phase, 0.0) + spent, 3)

    def _send(self, count: int) -> None:
        low, high = PHASE_PERCENT[self._phase]
        share = min(1.0, count / self._total) if self._total else 0.0
        self._percent = max(self._percent, round(low + share * (high - low), 1))
        self._last = self._clock()
        fps = count / max(self._last - self._began, 1e-3)
        event = Progress(phase=self._phase, done=count, total=self._total, percent=self._percent, fps=round(fps, 1))
        self._report(event)
