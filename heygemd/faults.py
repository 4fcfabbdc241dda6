"""Named points at which a test can end the process as the world does. Nothing happens unless HEYGEMD_FAULT is set.

HEYGEMD_FAULT       "NAME[:ACTION]"; ACTION is "kill" (SIGKILL, the default), "segv" (SIGSEGV) or "hang" (SIGSTOP)
HEYGEMD_FAULT_ONCE  a path: the fault happens only if that file can be created anew, so that a second attempt passes
"""

from __future__ import annotations

import os
import signal

SIGNALS = {"kill": signal.SIGKILL, "segv": signal.SIGSEGV, "hang": signal.SIGSTOP}
_WANTED = os.environ.get("HEYGEMD_FAULT", "")


def point(name: str) -> None:
    """End or stop this process here if the environment asks for it."""
    if not _WANTED:
        return
    wanted, _, action = _WANTED.partition(":")
    if wanted != name:
        return
    once = os.environ.get("HEYGEMD_FAULT_ONCE")
    if once:
        try:
            os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return
    os.kill(os.getpid(), SIGNALS[action or "kill"])
