"""Whether the share can be used now, and when to look again."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from ..errors import NotReady, ShareError, describe
from . import mounts, share_fs
from .io_thread import ShareThread
from .share_layout import FOLDERS, MARKER

FOLDER_MISSING = "share_folder_missing"
REMIND_S = 3600
RETRY_S, RETRY_MAX_S = 5.0, 60.0
"""How long to wait before looking at a failed share again: doubled each time it is still away."""


@dataclass
class ShareAvailability:
    """Whether the share can be used: its marker is there, its folders are writable, calls return within the deadline.

    An absent share is never taken for a deleted one: while `problem` is set nothing is claimed, published or removed.
    """

    root: Path
    thread: ShareThread
    problem: ShareError | None = None
    mount: mounts.Mount | None = None
    _warned_at: float = 0.0
    _retry_at: float = 0.0
    _retry_s: float = 0.0

    @property
    def group(self) -> int | None:
        """The inbox's group, which everything written to the share is given to; None while unknown."""
        return self.mount.group if self.mount else None

    @property
    def reachable(self) -> bool:
        """Whether the share itself is there: a folder may be missing in it, which its page can say."""
        return self.problem is None or self.problem.code == FOLDER_MISSING

    async def check(self) -> bool:
        """Look at the share (with a growing pause after a failure); return whether it may be used now."""
        if self.problem is not None and time.monotonic() < self._retry_at:
            return False
        try:
            found = await self.thread.call(_inspect, self.root)
            self.recovered(found)
        except (ShareError, NotReady, OSError) as error:
            self.lost(error)
        return self.problem is None

    def lost(self, error: BaseException) -> None:
        """Note that the share failed, here or in any call; warn once, then hourly."""
        typed = error if isinstance(error, ShareError) else _unavailable(self.root, error)
        now = time.monotonic()
        if self.problem is None or now - self._warned_at > REMIND_S:
            logger.warning("the share cannot be used: {}; waiting for it, nothing is lost", describe(typed))
            self._warned_at = now
        if self.problem is None or now >= self._retry_at:  # several calls that fail at once are one failure
            self._retry_s = RETRY_S if self.problem is None else min(RETRY_MAX_S, self._retry_s * 2)
            self._retry_at = now + self._retry_s
        self.problem = typed

    def notice_hang(self) -> None:
        """Treat a call that passed its deadline as a failure of the share; for the main loop, touches no file."""
        if self.thread.hung and self.problem is None:
            reason = f"no answer for {self.thread.deadline_s:g} s"
            self.lost(ShareError("share_unavailable", path=str(self.root), reason=reason))

    def recovered(self, found: mounts.Mount) -> None:
        """Note that the share answers."""
        if self.problem is not None:
            logger.info("the share is back")
        self.problem, self.mount = None, found


def _unavailable(root: Path, error: BaseException) -> ShareError:
    if isinstance(error, FileNotFoundError):
        return ShareError("share_missing", path=str(root))
    return ShareError("share_unavailable", path=str(root), reason=describe(error))


def _inspect(root: Path) -> mounts.Mount:
    found = mounts.mount(root)
    share_fs.read(root / MARKER)
    for folder in FOLDERS:
        if not share_fs.is_folder(root / folder):
            raise ShareError(FOLDER_MISSING, name=folder)
        if mounts.mount(root / folder).read_only:
            reason = os.strerror(errno.EROFS)
            raise ShareError("share_unavailable", path=str(root / folder), reason=reason)
    return found
