"""Whether a dropped folder is still being copied: temporary names, open files, changes within the last seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...config.schema import InboxSettings
from ...errors import NotReady
from ...storage.mounts import Mount
from ...storage.share_fs import Entry, Folder
from ..queue_state import PendingFolder
from . import filename_rules, folder_members
from .folder_members import Members
from .job_inputs import Classified


def settle_s(settings: InboxSettings, mount: Mount | None) -> float:
    """Return how long a folder must stay unchanged on this kind of mount."""
    if mount is None or not mount.network:
        return settings.settle_local_s
    return settings.settle_nfs_cached_s if mount.attribute_cache else settings.settle_network_s


def incomplete_wait_s(settings: InboxSettings, members: Members, name: str) -> float:
    """Return for how long an incomplete file holds up its folder: not long if the rest of a batch can do without it."""
    longest_s = settings.incomplete_fail_after_h * 3600
    if not folder_members.is_of_one_part(members, name):
        return longest_s
    ready = filename_rules.READY in members.part_controls.get(name.rpartition("/")[0], set())
    return 0 if ready else min(longest_s, settings.waiting_note_after_s)


@dataclass(slots=True)
class WatchedFolder:
    """What scans have seen of a pending folder. All times are monotonic.

    since          when its signature last changed
    members        what the last scan saw
    note           the waiting note that was last written into it
    classify_from  when its contents are looked at next
    classified     what each member is by content, so that a folder that waits for days is not read again and again
    doubted        members that could not be read once; only a second failure counts
    """

    pending: PendingFolder
    since: float
    signature: int | None = None
    members: Members | None = None
    note: bytes | None = None
    classify_from: float = 0.0
    classified: dict[Entry, Classified] = field(default_factory=dict)
    doubted: frozenset[Entry] = frozenset()

    def observe(self, seen: Folder, now: float) -> None:
        """Take in one scan; a change of any member restarts the clock and drops what was concluded."""
        if self.members is not None and self.members.folder.entries == seen.entries:
            return
        self.members = members = folder_members.sort_members(seen)
        if members.signature != self.signature:
            self.signature, self.since, self.classify_from = members.signature, now, 0.0
            self.pending.job, self.pending.reason, self.pending.notices = None, None, []
            self.pending.belongs_to, self.pending.partial = "", members.partial
            self.pending.state = "copying"

    def classify_when_unchanged_for(self, seconds: float) -> None:
        """Look at the contents as soon as nothing has changed for so long, and not only when they are due."""
        self.classify_from = min(self.classify_from, self.since + seconds)

    def unchanged_s(self, now: float) -> float:
        """Return the seconds since the last change."""
        return now - self.since

    @property
    def marked_ready(self) -> bool:
        """Whether a READY file says that the folder is to be taken as it is."""
        return self.members is not None and filename_rules.READY in self.members.controls

    def is_settled(self, writing: bool, settle_s: float, settings: InboxSettings, now: float) -> bool:
        """Return whether copying has ended; otherwise note on the folder that it is still being copied.

        writing   whether a program on this machine is writing one of its files
        settle_s  how long it must stay unchanged
        """
        unchanged_s = self.unchanged_s(now)
        copies: list[Entry] = []
        if self.members is not None and not self.marked_ready:
            waits_s = {entry: incomplete_wait_s(settings, self.members, entry.name) for entry in self.members.temporary}
            copies = [entry for entry, wait_s in waits_s.items() if unchanged_s < wait_s]
        if copies:
            name = filename_rules.copied_as(copies[0].name)
            if unchanged_s < settings.settle_zero_tail_s:
                self.pending.wait(NotReady("still_copying", name=name), "copying")
            else:
                self.pending.wait(NotReady("copy_stopped", name=name))
        elif writing:
            self.since = now
            self.pending.wait(NotReady("still_copying", name=self.pending.name), "copying")
        elif unchanged_s < settle_s and not self.marked_ready:
            self.pending.state = "settling"
        else:
            return True
        return False
