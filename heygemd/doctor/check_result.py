"""What the doctor's checks return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. `fix`: what to do, as commands or in words; empty if all is well."""

    state: Literal["ok", "warning", "broken"]
    subject: str
    text: str
    fix: str = ""
