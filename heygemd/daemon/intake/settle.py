"""When a dropped folder counts as complete: nothing in it changed for a while, by monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...config.schema import InboxSettings
from ...errors import HeygemdError
from ...job import Job
from ...storage.mounts import Mount
from ...storage.share_fs import Entry
from .classify import Judged, Seen, Signature

State = Literal["held", "copying", "settling", "waiting", "ready", "rejected"]


def settle_s(settings: InboxSettings, mount: Mount | None) -> float:
    """Return how long a folder must stay unchanged on this kind of mount."""
    if mount is None or not mount.network:
        return settings.settle_local_s
    return settings.settle_nfs_cached_s if mount.attribute_cache else settings.settle_network_s


@dataclass
class Pending:
    """What is known of one folder in the inbox. Clocks are monotonic but `arrived`, which orders the queue.

    since    when its signature last changed
    reason   why it is not ready, for people
    job      the record made of it, once ready or rejected
    judged   what each member is by content, so that a folder that waits for days is not read again and again
    doubted  members that could not be read once: nothing is concluded from that alone
    """

    name: str
    arrived: float
    since: float
    signature: Signature | None = None
    state: State = "copying"
    reason: HeygemdError | None = None
    job: Job | None = None
    seen: Seen | None = None
    note: bytes | None = None
    judged_at: float = 0.0
    claim_failures: int = 0
    claim_after: float = 0.0
    judged: dict[Entry, Judged | None] = field(default_factory=dict)
    doubted: set[Entry] = field(default_factory=set)

    def observe(self, seen: Seen, now: float) -> None:
        """Take in one scan; a change of any member starts the clock again and drops what was concluded."""
        self.seen = seen
        if seen.signature != self.signature:
            self.signature, self.since = seen.signature, now
            self.job, self.reason, self.judged_at = None, None, 0.0
            self.state = "copying"

    def quiet_for(self, now: float) -> float:
        """Return the seconds since the last change."""
        return now - self.since

    def wait(self, reason: HeygemdError, state: State = "waiting") -> None:
        """Not ready, for this reason; looked at again at the next scan."""
        self.state, self.reason, self.job = state, reason, None
