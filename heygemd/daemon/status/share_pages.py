"""The pages on the share: the status page with its data, the how-to page, and links to finished folders."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from urllib.parse import quote

from ...config.schema import Config
from ...job import Job
from ...storage import atomic, share_fs
from ...storage.share_layout import MARKER
from ..intake import filename_rules, job_folder
from ..intake.filename_rules import AUDIO_ENDINGS, PHOTO_ENDINGS, VIDEO_ENDINGS
from ..pages.html_page import render_page
from ..publish import retention
from . import status_file
from .snapshot import Snapshot

HOW_TO = "HOW-TO.html"
FORMATS = {"audio": AUDIO_ENDINGS, "video": VIDEO_ENDINGS, "photo": PHOTO_ENDINGS}
HEARTBEAT_S = 60.0
"""An unchanged page is written again after this long; it calls itself stale after STALE_S without that."""
STALE_S = 3 * HEARTBEAT_S


def share_files(snapshot: Snapshot, config: Config) -> dict[str, bytes]:
    """Return the files at the top of the share by name: two constant pages, and the data that one reloads.

    The data is there twice: as JSON for programs, and as a script, because a page opened from a file may load a script
    but not fetch a file.
    """
    pages, limit = config.pages, config.limits.max_files_per_job - 1
    data = snapshot.as_json()
    return {
        HOW_TO: _how_to(tuple(pages.languages), limit, retention.enabled(config)),
        "status.html": _status_page(tuple(pages.languages), max(1, round(pages.refresh_s))),
        "status.js": b"heygemd(" + data.rstrip() + b");\n",
        status_file.NAME: data,
    }


@cache
def _status_page(languages: tuple[str, ...], refresh_s: int) -> bytes:
    return render_page("status.html", languages, refresh_s=refresh_s, stale_s=STALE_S, how_to=HOW_TO)


@cache
def _how_to(languages: tuple[str, ...], limit: int, cleared: bool) -> bytes:
    formats = {kind: [suffix.removeprefix(".") for suffix in suffixes] for kind, suffixes in FORMATS.items()}
    return render_page(
        "how-to.html", languages, limit=limit, cleared=cleared, why_note=filename_rules.WHY_NOTE, **formats
    )


def write(share: Path, written: dict[str, str], content: dict[str, bytes], group: int | None) -> None:
    """Write the files that changed since `written`, and those that were deleted. On the I/O thread.

    written  digests of the files by name; updated

    Raises FileNotFoundError if the share is not there: nothing may be written to an empty mount point.
    """
    share_fs.read(share / MARKER)
    for name, data in content.items():
        digest = atomic.digest([data])
        if written.get(name) != digest or not share_fs.is_file(share / name):
            share_fs.write(share / name, data, group, durable=False)
            written[name] = digest


def moved_away(share: Path, jobs: list[Job]) -> frozenset[str]:
    """Return the ids of those finished jobs (oldest first) whose folder is no longer at its destination.

    Either a user moved it, or a later job took its place. On the I/O thread. Raises FileNotFoundError if the share is
    not there.
    """
    share_fs.read(share / MARKER)
    found, taken = set(), set()
    for job in reversed(jobs):
        if job.destination in taken or not share_fs.is_file(share / job.destination / job_folder.REPORT):
            found.add(job.id)
        taken.add(job.destination)
    return frozenset(found)


def link(*parts: str) -> str:
    """Return a link relative to the share; names may be bytes that are not text."""
    return quote(os.fsencode("/".join(parts)))
