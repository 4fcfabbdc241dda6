"""When a dropped folder counts as complete: nothing in it has changed for a while, by the monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...config.schema import InboxSettings
from ...storage.mounts import Mount
from ...storage.share_fs import Entry
from ..queue_state import PendingFolder
from .classify import Classified, Members, Signature


def settle_s(settings: InboxSettings, mount: Mount | None) -> float:
    """Return how long a folder must stay unchanged on this kind of mount."""
    if mount is None or not mount.network:
        return settings.settle_local_s
    return settings.settle_nfs_cached_s if mount.attribute_cache else settings.settle_network_s


@dataclass
class WatchedFolder:
    """What scans have seen of a pending folder. All times are monotonic.

    since       when its signature last changed
    members     what the last scan saw
    note        the waiting note that was last written into it
    classified  what each member is by content, so that a folder that waits for days is not read again and again
    doubted     members that could not be read once; only a second failure counts
    """

    pending: PendingFolder
    since: float
    signature: Signature | None = None
    members: Members | None = None
    note: bytes | None = None
    classified_at: float = 0.0
    classified: dict[Entry, Classified | None] = field(default_factory=dict)
    doubted: set[Entry] = field(default_factory=set)

    def observe(self, members: Members, now: float) -> None:
        """Take in one scan; a change of any member restarts the clock and drops what was concluded."""
        self.members = members
        if members.signature != self.signature:
            self.signature, self.since, self.classified_at = members.signature, now, 0.0
            self.pending.job, self.pending.reason = None, None
            self.pending.state = "copying"

    def unchanged_s(self, now: float) -> float:
        """Return the seconds since the last change."""
        return now - self.since
