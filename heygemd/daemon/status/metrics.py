"""Metrics for Prometheus, as a file for node_exporter's textfile collector: the daemon itself has no network.

Counters start at zero with the daemon, as Prometheus expects. docs/grafana.json is a dashboard of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ...config.schema import GIB
from ...job import Job
from ...protocol import Phase
from ...storage import atomic
from .snapshot import Snapshot, State

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge

EVERY_S = 15.0
OFFSET_BUCKETS_MS = (-120, -80, -40, 0, 40, 80, 120)


class Metrics:
    """All metrics; created only if a textfile is configured, because the library takes memory."""

    def __init__(self, known: Iterable[Job]) -> None:
        """`known`: jobs that finished before, which are not counted."""
        import prometheus_client as prometheus

        self._registry = registry = prometheus.CollectorRegistry()
        self._text = prometheus.generate_latest
        self._counted = {job.id for job in known}

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return prometheus.Gauge(f"heygemd_{name}", words, labels, registry=registry)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return prometheus.Counter(f"heygemd_{name}", words, labels, registry=registry)

        self.info = gauge("info", "The running version.", "version")
        self.state = gauge("state", "1 for the state the daemon is in.", "state")
        self.jobs = gauge("jobs", "Folders by place: current, queue, waiting.", "place")
        self.fps = gauge("fps", "Frames per second of all videos being rendered, 0 if none is.")
        self.percent = gauge("progress_percent", "Average progress of the videos being rendered.")
        self.free = gauge("free_bytes", "Free space for an ordinary writer.", "disk")
        self.seen = gauge("last_update_timestamp_seconds", "When this file was written.")
        self.finished = counter("jobs_finished", "Folders by outcome: done, failed.", "outcome")
        self.videos = counter("videos_finished", "Videos by outcome: done, failed.", "outcome")
        self.failures = counter("failures", "Failures of videos and folders, by message code.", "code")
        self.attempts = counter("attempts", "Attempts at videos that are done or failed.")
        self.seconds = counter("phase_seconds", "Seconds spent on finished videos by phase.", "phase")
        for outcome in ("done", "failed"):  # increase() misses the first event of a counter that appears with it
            self.finished.labels(outcome), self.videos.labels(outcome)
        for phase in get_args(Phase):
            self.seconds.labels(phase)
        self.made = counter("made_seconds", "Duration of the finished videos, seconds.")
        self.frames = counter("made_frames", "Frames in the finished videos.")
        self.offset = prometheus.Histogram(
            "heygemd_sync_offset_milliseconds",
            "How far the lips are behind the voice, in finished videos where it could be measured.",
            buckets=OFFSET_BUCKETS_MS,
            registry=registry,
        )

    def update(self, snapshot: Snapshot, finished: Iterable[Job], now: float) -> None:
        """Update all metrics from the state at `now` (wall clock)."""
        self.info.labels(snapshot.health.version).set(1)
        for state in get_args(State):
            self.state.labels(state).set(state == snapshot.state)
        places = {"current": len(snapshot.working), "queue": len(snapshot.queue), "waiting": len(snapshot.waiting)}
        for place, number in places.items():
            self.jobs.labels(place).set(number)
        running = snapshot.running
        self.fps.set(sum(video.fps for video in running))
        self.percent.set(sum(video.percent for video in running) / len(running) if running else 0)
        for disk, gib in (("share", snapshot.health.share_free_gib), ("scratch", snapshot.health.disk_free_gib)):
            if gib is not None:
                self.free.labels(disk).set(gib * GIB)
        self.seen.set(now)
        for job in finished:
            if job.id not in self._counted:
                self._counted.add(job.id)
                self._count(job)

    def _count(self, job: Job) -> None:
        self.finished.labels("done" if job.succeeded else "failed").inc()
        for problem in (job.problem, *(video.problem for video in job.videos)):
            if problem is not None:
                self.failures.labels(problem.code).inc()
        for video in job.videos:
            if video.kept or video.state not in ("done", "failed"):
                continue
            self.videos.labels(video.state).inc()
            self.attempts.inc(video.attempts)
            if video.state == "done" and video.result is not None:
                self.made.inc(video.result.duration_s)
                self.frames.inc(video.result.frames)
                for phase, seconds in video.result.seconds.items():
                    self.seconds.labels(phase).inc(seconds)
                if video.result.offset_ms is not None:
                    self.offset.observe(video.result.offset_ms)

    def write(self, path: Path) -> None:
        """Write the textfile atomically, for every user: another program collects it. Raises LocalDiskError."""
        atomic.write(path, self._text(self._registry), mode=0o644, durable=False)
