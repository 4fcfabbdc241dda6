"""Parts that only report or make things quicker: a fault of one is said once, shown on the page, and stops nothing."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from loguru import logger

from ...errors import HeygemdError, LocalDiskError, describe

RETRY_S = 15.0


class BestEffort:
    """Runs such parts; one that failed is left alone for RETRY_S.

    faults   the parts that fail now, by the code of their message
    """

    def __init__(self) -> None:
        """Nothing has failed."""
        self.faults: dict[str, HeygemdError] = {}
        self._retry_at: dict[str, float] = {}

    def run(self, code: str, part: Callable[[], object]) -> None:
        """Call `part`; never raises. `code`: of the message that says that it fails."""
        if time.monotonic() < self._retry_at.get(code, 0):
            return
        try:
            part()
        except Exception as error:
            if code not in self.faults:
                foreseen = isinstance(error, (HeygemdError, OSError))
                logger.opt(exception=None if foreseen else error).warning("{}: {}", code, describe(error))
            self.faults[code] = _fault(code, error)
            self._retry_at[code] = time.monotonic() + RETRY_S
        else:
            if self.faults.pop(code, None) is not None:
                logger.info("{}: over", code)


def _fault(code: str, error: Exception) -> HeygemdError:
    fields = dict(error.fields) if isinstance(error, HeygemdError) else {}
    if isinstance(error, OSError):
        fields = {"path": str(error.filename or ""), "reason": os.strerror(error.errno or errno.EIO)}
    elif isinstance(error, LocalDiskError) and error.code == "disk_full":
        fields["reason"] = os.strerror(errno.ENOSPC)
    return HeygemdError(code, **{"path": "", "reason": describe(error), **fields})
