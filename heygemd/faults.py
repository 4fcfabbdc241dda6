"""Named points at which a test may make this process die, to prove that nothing is lost there. Free when unset.

`HEYGEMD_FAULT=NAME[:kill|segv|hang]` names the point and what happens there; with `HEYGEMD_FAULT_ONCE=FILE` it happens
only while FILE can be made, so that the next try passes.
"""

from __future__ import annotations

import os
import signal
import time

_WANTED = os.environ.get("HEYGEMD_FAULT", "")


def point(name: str) -> None:
    """Die here if a test asked for it."""
    wanted, _, action = _WANTED.partition(":")
    if wanted != name or not wanted or not _first():
        return
    if action == "hang":
        time.sleep(1e6)
    os.kill(os.getpid(), signal.SIGSEGV if action == "segv" else signal.SIGKILL)
    signal.pause()


def _first() -> bool:
    once = os.environ.get("HEYGEMD_FAULT_ONCE")
    if once is None:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True
