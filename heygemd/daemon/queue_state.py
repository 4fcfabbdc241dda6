"""The state of the queue, as plain data: intake and jobs change it on the main loop, the status page reads it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal

from ..errors import HeygemdError, InfrastructureError
from ..job import Job, Video
from ..protocol import FirstSeconds, LivePicture, Notice, Progress

FolderState = Literal["held", "copying", "settling", "waiting", "ready", "rejected"]
OrderKey = tuple[int, float]
FolderOrder = tuple[bool, int, float, str]

SIZE_PENALTY_S = 60.0
"""By how much later each video lets its folder count as arrived, where several are rendered at once."""


@dataclass(slots=True)
class PendingFolder:
    """One folder in the inbox.

    arrived         wall clock; orders the queue
    reason          why it is not ready, for users
    notices         what else users should know about its files
    job             the record made of it, once ready or rejected
    partial         going by the names it lacks a voice or a video
    belongs_to      id of the claimed job of the same name that its files are added to
    claim_failures  how often it could not be moved; not tried again before `claim_after` (monotonic)
    order           of one with a job: those without rendering first, then by priority and arrival; kept, because a
                    thousand are sorted for every snapshot
    """

    name: str
    arrived: float
    state: FolderState = "copying"
    reason: HeygemdError | None = None
    notices: list[Notice] = field(default_factory=list)
    job: Job | None = None
    partial: bool = False
    belongs_to: str = ""
    claim_failures: int = 0
    claim_after: float = 0.0
    order: FolderOrder = (True, 0, 0.0, "")

    def offer(self, job: Job, state: FolderState, reason: HeygemdError | None = None) -> None:
        """Note that the folder can be claimed: as this job, or rejected because of `reason`."""
        self.state, self.reason, self.job = state, reason, job
        self.order = (not job.settled, -job.priority, self.arrived, self.name)

    def wait(self, reason: HeygemdError, state: FolderState = "waiting") -> None:
        """Note why the folder is not ready; the next scan looks again."""
        self.state, self.reason, self.job = state, reason, None


@dataclass(eq=False)
class RunningVideo:
    """One video being rendered.

    concluding     its attempt is over and it is not stopped any more
    lacked_space   it ended because its neighbours need the free disk space
    picture        its latest frame; pictures: how many there were; first_seconds: what can be watched of it
    """

    job: Job
    video: Video
    progress: Progress | None = None
    concluding: bool = False
    lacked_space: bool = False
    picture: LivePicture | None = None
    pictures: int = 0
    first_seconds: FirstSeconds | None = None


@dataclass(frozen=True)
class BackOff:
    """Why a job is left alone after a fault of its own, and until when (monotonic)."""

    reason: HeygemdError
    until: float


@dataclass
class QueueState:
    """Everything the daemon knows about its queue.

    pending             folders in the inbox, by name
    loose_files         what to say about files that lie in the inbox itself, where they are no job
    beside_inbox        names of job folders, media files and PAUSE that lie beside the inbox
    inbox_paused        a PAUSE file lies in the inbox
    claims_wait_until   monotonic; set during a scan: of folders that arrived together the urgent one must be first
    other_daemon        the host of another daemon that serves this share, too
    active              claimed jobs, and those whose claim has started
    finished            finished jobs that are remembered, oldest first
    running             videos being rendered, in the order of their start
    slots               how many videos can be rendered at once
    paused_by           what keeps the daemon from starting anything: a full disk, a missing GPU
    paused_until        monotonic; the fault is tested again after that
    backing_off         jobs left alone for a while, by id
    successes           how much work of any job has succeeded so far
    suspects            jobs that met a fault of the share or a disk, by id, with `successes` at that time
    """

    pending: dict[str, PendingFolder] = field(default_factory=dict)
    loose_files: list[Notice] = field(default_factory=list)
    beside_inbox: list[str] = field(default_factory=list)
    inbox_paused: bool = False
    claims_wait_until: float = 0.0
    other_daemon: str = ""
    active: list[Job] = field(default_factory=list)
    finished: list[Job] = field(default_factory=list)
    running: list[RunningVideo] = field(default_factory=list)
    slots: int = 1
    paused_by: InfrastructureError | None = None
    paused_until: float = 0.0
    backing_off: dict[str, BackOff] = field(default_factory=dict)
    successes: int = 0
    suspects: dict[str, int] = field(default_factory=dict)

    def order_key(self, job: Job) -> OrderKey:
        """Return what jobs are sorted by, lowest first: priority, then arrival.

        Where several videos are rendered at once, each of a folder's videos delays it by SIZE_PENALTY_S: small folders
        pass a huge one, but not forever, and a job's videos stay together. A batch gives way as long as it has much
        left, between any two of its videos.
        """
        if job.is_batch:
            penalty_s = SIZE_PENALTY_S * sum(video.state == "waiting" for video in job.videos)
        else:
            penalty_s = SIZE_PENALTY_S * len(job.videos) if self.slots > 1 else 0
        return -job.priority, job.arrived + penalty_s

    def being_made(self, name: str) -> Job | None:
        """Return the claimed job of that name that more files can still be added to."""
        open_phases = ("claiming", "claimed", "returning")
        jobs = (j for j in self.active if j.name == name and j.phase in open_phases and j.problem is None)
        return next(jobs, None)

    def ordered(self) -> list[Job]:
        """Return the active jobs in the order in which they are worked on."""
        return sorted(self.active, key=self.order_key)

    def awake(self) -> tuple[list[Job], list[Job]]:
        """Return the active jobs that are not backing off, each list in its order.

        The second holds those that met a fault of the share or a disk and nothing has succeeded since: whether the
        fault is theirs shows when the others go first.
        """
        awake = [job for job in self.ordered() if not self.asleep(job)]
        doubtful = [job for job in awake if self.suspected(job)]
        return [job for job in awake if job not in doubtful], doubtful

    def asleep(self, job: Job) -> bool:
        """Return whether a job is left alone now."""
        back_off = self.backing_off.get(job.id)
        return back_off is not None and back_off.until > time.monotonic()

    def worked(self, job: Job) -> None:
        """Note that something of this job succeeded."""
        self.successes += 1
        self.suspects.pop(job.id, None)

    def suspect(self, job: Job) -> None:
        """Note that this job met a fault of the share or a disk."""
        self.suspects[job.id] = self.successes

    def suspected(self, job: Job) -> bool:
        """Return whether this job met such a fault and nothing has succeeded since."""
        return self.suspects.get(job.id) == self.successes

    def others_worked_since_suspected(self, job: Job) -> bool:
        """Return whether other work succeeded after this job last met a fault."""
        return self.successes > self.suspects.get(job.id, self.successes)

    def ready(self) -> list[PendingFolder]:
        """Return the folders that can be claimed, in their order."""
        return sorted((p for p in self.pending.values() if p.job is not None), key=attrgetter("order"))

    def running_of(self, job: Job) -> list[RunningVideo]:
        """Return the videos of a job that are being rendered."""
        return [run for run in self.running if run.job is job]

    def run_of(self, video: Video) -> RunningVideo | None:
        """Return the entry of a video that is being rendered, or None."""
        return next((run for run in self.running if run.video is video), None)
