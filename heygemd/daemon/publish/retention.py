"""Deletes or archives old finished folders, if the configuration asks for it. Only folders that we made are touched.

The log announces each folder some hours before, and says when it is done; `heygemd retention` shows what is due now.
"""

from __future__ import annotations

import contextlib
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from loguru import logger

from ...config.schema import GIB, Config
from ...errors import HeygemdError, NotReady, describe, printable
from ...job import Job
from ...storage import share_fs, share_paths, transfer
from ...storage.transfer import Steps
from ..intake import filename_rules, manifest
from ..intake.job_folder import LOG_NOTE, REPORT

PLACES: tuple[Literal["done", "failed"], ...] = ("done", "failed")
DAY_S = 24 * 3600
HOUR_S = 3600.0
SHORTEST_S = 1.0
EARLIEST = 1_700_000_000
"""November 2023, before the first release: a server that claims to have written a report earlier has a wrong clock."""


class FinishedFolder(NamedTuple):
    """A finished folder; `size` in bytes, `age_s` since it was finished."""

    folder: Path
    size: int
    age_s: float


class RetentionStep(NamedTuple):
    """A finished folder and what is done with it."""

    folder: Path
    size: int
    age_s: float
    action: Literal["delete", "archive"]

    def __str__(self) -> str:
        """As the log and `heygemd retention` show it."""
        facts = f"{self.age_s / DAY_S:.0f} days, {self.size / GIB:.2f} GiB"
        return printable(f"{self.folder} ({facts})")


def enabled(config: Config) -> bool:
    """Return whether the configuration asks for anything."""
    return bool(config.retention.done_days or config.retention.failed_days or config.retention.max_gib)


def finish_times(jobs: Iterable[Job]) -> dict[str, float]:
    """Return when each folder was finished, by its path below the share, as our records know it."""
    return {job.destination: job.finished for job in jobs if job.finished}


def plan(config: Config, now: float, finished: Mapping[str, float]) -> Steps[list[RetentionStep]]:
    """Return what is due: folders that are too old, then the oldest until the rest fits. Raises as `share_fs`.

    `finished`: see `finish_times`. The server's clock, which may be wrong, is asked only about a folder without a
    record and without a manifest.
    """
    found: list[RetentionStep] = []
    for place in PLACES:
        days = config.retention.done_days if place == "done" else config.retention.failed_days
        folders = yield from _finished(config.paths.share / place, now, finished)
        found += _due(config, folders, days)
    return found


def _due(config: Config, folders: list[FinishedFolder], days: float) -> Iterator[RetentionStep]:
    total, limit = sum(found.size for found in folders), config.retention.max_gib * GIB
    for found in sorted(folders, key=lambda found: -found.age_s):
        too_old, too_much = bool(days) and found.age_s > days * DAY_S, bool(limit) and total > limit
        if too_old or too_much:
            total -= found.size
            yield RetentionStep(*found, config.retention.action)


def _finished(place: Path, now: float, known: Mapping[str, float]) -> Steps[list[FinishedFolder]]:
    """Return the folders that we finished, which have our report and our log. Others are left alone."""
    found = []
    for name in share_fs.names(place):
        yield 0
        folder = place / name
        if filename_rules.skip_dir(name) or not share_fs.is_folder(folder):
            continue
        if share_fs.is_file(folder / LOG_NOTE) and share_fs.is_file(folder / REPORT):
            with contextlib.suppress(FileNotFoundError, NotReady):  # a user moved it away just now, or it is not ours
                finished = known.get(f"{place.name}/{name}") or _finish_time(folder) or now
                found.append(FinishedFolder(folder, _size(folder), max(0.0, now - finished)))
    return found


def _size(folder: Path) -> int:
    return sum(seen.st_size for _, seen in share_fs.tree(folder) if not stat.S_ISDIR(seen.st_mode))


@share_paths.on_share
def _finish_time(folder: Path) -> float | None:
    """Return the time in the manifest, else the report's on the server unless that clock was clearly not set."""
    recorded = manifest.read(folder)
    if recorded is not None and recorded.finished:
        return recorded.finished
    written = share_paths.lstat(folder / REPORT).st_mtime
    return written if written > EARLIEST else None


class Announcements:
    """Delays each step until it has been logged for a while, so that a wrong setting is noticed before it does harm."""

    def __init__(self) -> None:
        self._since: dict[tuple[Path, str], float] = {}

    def due(self, config: Config, steps: list[RetentionStep], now: float) -> list[RetentionStep]:
        """Announce the new ones among `steps`; return those announced long enough ago (`now`: monotonic)."""
        known, self._since = self._since, {}
        for step in steps:
            self._since[step.folder, step.action] = known.get((step.folder, step.action), now)
            if (step.folder, step.action) not in known:
                logger.info("retention: {} in {:g} h: {}", step.action, config.retention.notice_h, step)
        return [step for step in steps if now - self._since[step.folder, step.action] >= _notice_s(config)]


def _notice_s(config: Config) -> float:
    return config.retention.notice_h * HOUR_S


def pause_s(config: Config) -> float:
    """Return the seconds until the next check."""
    return max(SHORTEST_S, min(HOUR_S, _notice_s(config)))


def carry_out(config: Config, step: RetentionStep) -> Steps[None]:
    """Carry out a step; a folder that cannot be changed is left for the next time."""
    try:
        yield from _delete(step.folder) if step.action == "delete" else _archive(config, step.folder)
    except (HeygemdError, OSError) as error:
        logger.warning("retention: cannot {} {}: {}", step.action, step.folder, describe(error))
        return
    done = "deleted" if step.action == "delete" else f"moved to {config.retention.archive_folder}"
    logger.info("retention: {}: {}", done, step)


def _delete(folder: Path) -> Steps[None]:
    """Remove a folder file by file; follows no link."""
    for path, seen in share_fs.tree(folder):
        if stat.S_ISDIR(seen.st_mode):
            share_fs.remove_folder(path)
        else:
            share_fs.remove(path)
        yield 0
    share_fs.remove_folder(folder)


def _archive(config: Config, folder: Path) -> Steps[None]:
    archive = Path(config.retention.archive_folder)
    if not archive.exists():
        share_paths.on_share(archive.mkdir)(0o770, parents=True)
    share_paths.anchor(archive)
    target = archive / folder.parent.name
    share_fs.make_folder(target)
    taken = {filename_rules.fold(name) for name in share_fs.names(target)}
    name = filename_rules.free_name(folder.name, taken, time.strftime("%Y%m%d-%H%M%S"))
    yield from transfer.move(folder, target / name)
