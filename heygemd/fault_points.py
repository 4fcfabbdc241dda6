"""Named points at which a test can kill, stop or fail this process. Nothing happens unless HEYGEMD_FAULT is set.

HEYGEMD_FAULT       "NAME[:ACTION]"; see ACTIONS, "kill" is the default
HEYGEMD_FAULT_ONCE  a path: the fault happens only if the file does not exist yet, so that a second attempt passes
"""

from __future__ import annotations

import os
import signal


def _gpu() -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


ACTIONS = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "leave": lambda: os._exit(0),
    "gpu": _gpu,
}
_WANTED = os.environ.get("HEYGEMD_FAULT", "")


def point(name: str) -> None:
    """Inject the fault here if the environment asks for it."""
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
    ACTIONS[action or "kill"]()
