"""Every expected fault has a class (who must act), a code (which fault) and fields (the facts).

Words for people are made from code and fields by `messages` at the edge; nothing here is shown to staff.
"""

from __future__ import annotations

from typing import Any


class HeygemdError(Exception):
    """Base of all expected faults; `code` names the fault, `fields` its facts, `detail` is for the log only."""

    def __init__(self, code: str, /, detail: str = "", **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields: dict[str, Any] = fields
        self.detail = detail

    def __str__(self) -> str:
        facts = " ".join(f"{k}={v!r}" for k, v in self.fields.items())
        return " ".join(part for part in (self.code, facts, self.detail) if part)


class ConfigError(HeygemdError):
    """The administrator's configuration is wrong; the daemon does not start."""


class InputError(HeygemdError):
    """Staff must change a file; trying again with the same files cannot help."""


class NotReady(HeygemdError):
    """The folder or file is still changing or held open; look again later."""


class EngineError(HeygemdError):
    """Rendering failed on our side; tried again up to the attempt limit."""


class WorkerLost(EngineError):
    """The renderer process died without a word (signal, memory, crash)."""


class DeadlineExceeded(EngineError):
    """The renderer made no progress, or took longer than its deadline."""


class InfrastructureError(HeygemdError):
    """Share, disk or GPU is unavailable; the queue pauses and nothing is counted."""


class ShareError(InfrastructureError):
    """The share that people use does not answer, is not there or has no room."""


class LocalDiskError(InfrastructureError):
    """A disk of this machine (state, scratch, cache, models) is full or cannot be written."""


class NotInstalled(InfrastructureError):
    """An engine or tracker lacks weights or a program, or has wrong ones: for the administrator to fix."""


def describe(error: BaseException) -> str:
    """One line for the log, safe for any terminal: control characters and lone surrogates are escaped."""
    text = str(error) if isinstance(error, HeygemdError) else f"{type(error).__name__}: {error}"
    return printable(text)


def printable(text: str) -> str:
    """Return `text` with newlines, other control characters and undecodable bytes as visible escapes."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)
