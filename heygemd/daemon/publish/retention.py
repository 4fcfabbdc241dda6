"""What finished folders become after a time: by default nothing. Only what this daemon finished is ever touched.

The log says what will go some hours before it goes, and when it went; `heygemd retention` shows what is due now.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from loguru import logger

from ...config.schema import GIB, Config
from ...errors import HeygemdError, describe, printable
from ...storage import share_fs, transfer
from ...storage.transfer import Steps
from ..intake import filename_rules
from ..intake.job_folder import LOG_NOTE, REPORT

PLACES: tuple[Literal["done", "failed"], ...] = ("done", "failed")
DAY_S = 24 * 3600
HOUR_S = 3600.0
SHORTEST_S = 1.0


class Found(NamedTuple):
    """A finished folder; `size` in bytes, `age_s` since it was finished."""

    folder: Path
    size: int
    age_s: float


class Step(NamedTuple):
    """A finished folder and what becomes of it."""

    folder: Path
    size: int
    age_s: float
    action: Literal["delete", "archive"]

    def __str__(self) -> str:
        """As the log and `heygemd retention` show it."""
        facts = f"{self.age_s / DAY_S:.0f} days, {self.size / GIB:.2f} GiB"
        return printable(f"{self.folder} ({facts})")


def wanted(config: Config) -> bool:
    """Return whether anything was asked for."""
    return bool(config.retention.done_days or config.retention.failed_days or config.retention.max_gib)


def plan(config: Config, now: float) -> Steps[list[Step]]:
    """Return what is due: folders older than their days, then the oldest until the rest fits. Raises as `files`."""
    found: list[Step] = []
    for place in PLACES:
        days = config.retention.done_days if place == "done" else config.retention.failed_days
        folders = yield from _finished(config.paths.share / place, now)
        found += _due(config, folders, days)
    return found


def _due(config: Config, folders: list[Found], days: float) -> Iterator[Step]:
    total, limit = sum(found.size for found in folders), config.retention.max_gib * GIB
    for found in sorted(folders, key=lambda found: -found.age_s):
        too_old, too_much = bool(days) and found.age_s > days * DAY_S, bool(limit) and total > limit
        if too_old or too_much:
            total -= found.size
            yield Step(*found, config.retention.action)


def _finished(place: Path, now: float) -> Steps[list[Found]]:
    """Return what we put here: it has our report and our log. Others' folders are left alone."""
    found = []
    for name in share_fs.names(place):
        yield 0
        folder = place / name
        if filename_rules.skip_dir(name) or folder.is_symlink():
            continue
        if share_fs.exists(folder / LOG_NOTE) and share_fs.exists(folder / REPORT):
            size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
            found.append(Found(folder, size, now - (folder / REPORT).lstat().st_mtime))
    return found


class Notices:
    """Lets nothing go unannounced: a mistake in the settings is seen in the log before it costs anything."""

    def __init__(self) -> None:
        self._since: dict[tuple[Path, str], float] = {}

    def due(self, config: Config, steps: list[Step], now: float) -> list[Step]:
        """Announce what is new among `steps`; return what was announced long enough ago (`now`: monotonic)."""
        known, self._since = self._since, {}
        for step in steps:
            self._since[step.folder, step.action] = known.get((step.folder, step.action), now)
            if (step.folder, step.action) not in known:
                logger.info("retention: {} in {:g} h: {}", step.action, config.retention.notice_h, step)
        return [step for step in steps if now - self._since[step.folder, step.action] >= _notice_s(config)]


def _notice_s(config: Config) -> float:
    return config.retention.notice_h * HOUR_S


def pause_s(config: Config) -> float:
    """Return how long to wait until the next look."""
    return max(SHORTEST_S, min(HOUR_S, _notice_s(config)))


def carry_out(config: Config, step: Step) -> Steps[None]:
    """Do what was planned; a folder that cannot be touched is left for the next time."""
    try:
        yield from _delete(step.folder) if step.action == "delete" else _archive(config, step.folder)
    except (HeygemdError, OSError) as error:
        logger.warning("retention: {} stays: {}", step.folder, describe(error))
        return
    done = "deleted" if step.action == "delete" else f"moved to {config.retention.archive_folder}"
    logger.info("retention: {}: {}", done, step)


def _delete(folder: Path) -> Steps[None]:
    """Remove a folder file by file; following no link."""
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        if path.is_dir() and not path.is_symlink():
            share_fs.remove_folder(path)
        else:
            share_fs.remove(path)
        yield 0
    share_fs.remove_folder(folder)


def _archive(config: Config, folder: Path) -> Steps[None]:
    target = Path(config.retention.archive_folder) / folder.parent.name
    target.mkdir(parents=True, exist_ok=True)
    taken = {filename_rules.fold(name) for name in share_fs.names(target)}
    name = filename_rules.free_name(folder.name, taken, time.strftime("%Y%m%d-%H%M%S"))
    yield from transfer.move(folder, target / name)
