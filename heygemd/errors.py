"""Expected faults: the class says who must act, the code which fault it is, the fields give the facts.

`i18n.catalog` makes texts for users of code and fields; nothing here is shown to them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    """A user must change a file; retrying with the same files cannot help."""


@contextlib.contextmanager
def of_the_voice(which: str | int = "voice") -> Iterator[None]:
    """Mark errors as the voice's ("lips": those of the voice for the lips; a number: of one of several), for `named`.

    A renderer does not know the files' names.
    """
    try:
        yield
    except InputError as error:
        error.fields["of"] = which
        raise


@contextlib.contextmanager
def named(video: str, *voices: str, lips: str = "") -> Iterator[None]:
    """Name the file that an error is about: a voice if it is marked so, else the video."""
    try:
        yield
    except InputError as error:
        names: dict[str | int, str] = {"voice": voices[0], "lips": lips, **dict(enumerate(voices))}
        error.fields.setdefault("name", names.get(error.fields.pop("of", ""), video))
        raise


class NotReady(HeygemdError):
    """The folder or file still changes or is open elsewhere; the next scan looks again."""


class EngineError(HeygemdError):
    """Rendering failed on our side; retried up to the limit of attempts."""


class WorkerLost(EngineError):
    """The renderer process ended without a result (signal, out of memory, crash)."""


class DeadlineExceeded(EngineError):
    """The renderer made no progress or exceeded its deadline."""


class InfrastructureError(HeygemdError):
    """The share, a disk or the GPU is unavailable; the queue pauses and no attempt is counted."""


class ShareError(InfrastructureError):
    """The share does not answer, is not there or is full."""


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


FOLDER_CODES = {"no_permission": "folder_no_permission", "held_open": "folder_open"}
"""What a fault of a file is called when it stops the whole folder."""


def of_one_job(name: str, error: Exception) -> HeygemdError:
    """Return why a job is held up, in terms of that job: the disk that one of its files lies on is not at fault."""
    if not isinstance(error, HeygemdError):
        return NotReady("unexpected_error", describe(error), name=name)
    if error.code in FOLDER_CODES:
        return NotReady(FOLDER_CODES[error.code], describe(error), name=name)
    if error.code == "disk_unavailable":
        return NotReady("job_file_unusable", describe(error), path=error.fields["path"], reason=error.fields["reason"])
    return error
