"""The inbox: scans are the truth, a folder settles, is judged by content, and becomes a job to claim.

"Not ready" is never final: each scan looks again. Staff learn from a note in the folder what it waits for.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from loguru import logger

from ...config.job_toml import JobSettings, load_job
from ...config.schema import Config
from ...errors import DeadlineExceeded, EngineError, HeygemdError, InfrastructureError, InputError, NotReady, describe
from ...fault_points import point
from ...i18n import catalog
from ...job import Problem
from ...media import completeness, probe
from ...storage import share_fs
from ...storage.availability import ShareAvailability
from ...storage.share_fs import Entry
from . import classify as folders
from . import filename_rules, presenter_library
from .inotify import Watch
from .manifest import FILE as MANIFEST_FILE
from .manifest import Manifest, parse
from .settle import Pending, settle_s

REJUDGE_S = 15.0
CLAIMS_WAIT_S = 10.0
PROBES = 2
"""How often a file may be asked about: once more when it does not tell its length."""


class Inbox:
    """Knows every folder in inbox/ and what it waits for."""

    def __init__(self, config: Config, guard: ShareAvailability, watch: Watch) -> None:
        """`guard`: the share; `watch`: local file events, which can only delay or wake, never decide."""
        self.config = config
        self.guard = guard
        self.watch = watch
        self.path = config.paths.share / "inbox"
        self.pending: dict[str, Pending] = {}
        self.paused = False
        self._scan_began: float | None = None
        self._loose: tuple[list[str], float] = ([], 0.0)
        self._loose_note: bytes | None = None

    def queue(self) -> list[Pending]:
        """Return the folders that can be claimed, in their order: what needs no rendering, by priority, by arrival."""
        ready = [(p, p.job) for p in self.pending.values() if p.job is not None]
        return [p for p, _ in sorted(ready, key=lambda r: (not r[1].settled, -r[1].priority, r[0].arrived, r[0].name))]

    @property
    def loose(self) -> list[str]:
        """Files that lie in the inbox itself, where they are no job."""
        return self._loose[0]

    async def scan(self) -> None:
        """Look at the whole inbox once. Raises InfrastructureError when the share fails."""
        self._scan_began = time.monotonic()
        try:
            await self._scan()
        finally:
            self._scan_began = None

    @property
    def scanning(self) -> bool:
        """Whether claims should wait: of folders that arrived together the urgent one must go first.

        Not for long: a thousand new folders take minutes to judge, and the first of them need not wait for the last.
        """
        return self._scan_began is not None and time.monotonic() - self._scan_began < CLAIMS_WAIT_S

    async def _scan(self) -> None:
        found, loose = await self.guard.thread.call(share_fs.scan, self.path, filename_rules.skip_dir)
        now = time.monotonic()
        self.paused = any(filename_rules.control(n) == filename_rules.PAUSE for n in loose)
        point("discover")
        for gone in self.pending.keys() - {f.name for f in found}:
            del self.pending[gone]
        known = set(self.pending)
        for order, item in enumerate(sorted(found, key=lambda f: (f.mtime_ns, f.name))):
            if item.name in known and item.name not in self.pending:
                continue  # claimed while this scan went on
            pending = self.pending.setdefault(item.name, Pending(item.name, time.time() + order * 1e-6, now))
            pending.observe(folders.sort_members(item), now)
            await self._attend(pending, item.error, now)
        await self._loose_files(loose, now)

    async def _attend(self, pending: Pending, error: NotReady | None, now: float) -> None:
        """Look at one folder; whatever is wrong with it must not keep the others from being served."""
        try:
            await self._advance(pending, error, now)
            await self._note(pending, now)
        except FileNotFoundError:
            return  # somebody is at it: the next scan will see
        except InfrastructureError:
            raise
        except Exception as fault:
            if pending.reason is None or pending.reason.code != "puzzling":
                unforeseen = None if isinstance(fault, HeygemdError) else fault
                say = logger.bind(job=pending.name).opt(exception=unforeseen)
                say.error("cannot judge the folder: {}", describe(fault))
            pending.wait(NotReady("puzzling", name=pending.name))

    async def _advance(self, pending: Pending, error: NotReady | None, now: float) -> None:
        seen = pending.seen
        assert seen is not None
        if filename_rules.CANCEL in seen.controls:
            if pending.state != "rejected":
                self._reject(pending, InputError("cancelled"))
        elif filename_rules.is_a("held", pending.name):
            pending.wait(NotReady("held"), "held")
        elif error is not None:
            pending.wait(error)
        elif seen.temporary:
            pending.wait(NotReady("still_copying", name=seen.temporary[0]), "copying")
        elif self.watch.writing(self.path / pending.name):
            pending.since = now
            pending.wait(NotReady("still_copying", name=pending.name), "copying")
        elif pending.quiet_for(now) < self._settle_s() and not _told_to_begin(pending):
            pending.state = "settling"
        elif pending.job is None and now - pending.judged_at >= REJUDGE_S:
            pending.judged_at = now
            await self._judge(pending, now)

    def _settle_s(self) -> float:
        return settle_s(self.config.inbox, self.guard.mount)

    async def _judge(self, pending: Pending, now: float) -> None:
        """Read the settled folder's contents and conclude: a job, a rejection, or what it waits for."""
        seen = pending.seen
        assert seen is not None
        try:
            folders.check_bounds(seen, self.config.limits)
            settings = await self._job_settings(pending, seen)
            media = [*seen.media, *await self._presenters(pending, seen, settings)]
            for entry in media:
                if entry not in pending.judged:
                    pending.judged[entry] = await self._judge_file(pending, entry, now)
            judged = [j for e in media if (j := pending.judged[e]) is not None]
            earlier = await self._manifest(pending)
            pending.job = folders.compose(seen, judged, settings, self.config.render, earlier, pending.arrived)
            pending.state, pending.reason = "ready", None
            point("settle")
            logger.bind(job=pending.name).info("ready: {} videos", len(pending.job.videos))
        except InputError as error:
            self._reject(pending, error)
        except NotReady as error:
            pending.wait(error)
            waited_h = pending.quiet_for(now) / 3600
            if error.code.startswith(("needs_", "too_many_")) and waited_h >= self.config.inbox.waiting_fail_after_h:
                self._reject(pending, error)

    def _reject(self, pending: Pending, error: HeygemdError) -> None:
        assert pending.seen is not None
        problem = Problem(code=error.code, fields=error.fields, detail=error.detail)
        pending.job = folders.rejected(pending.seen, problem, pending.arrived)
        pending.state, pending.reason = "rejected", error
        logger.bind(job=pending.name).error("rejected: {}", describe(error))

    async def _job_settings(self, pending: Pending, seen: folders.Seen) -> JobSettings:
        if not seen.job_toml:
            return JobSettings()
        text = await self.guard.thread.call(share_fs.read, self.path / pending.name / seen.job_toml, 64 << 10)
        return load_job(text, self.config.render.command)

    async def _presenters(self, pending: Pending, seen: folders.Seen, settings: JobSettings) -> list[Entry]:
        """Return the presenters from templates/ that the folder asks for by name."""
        call, wanted = self.guard.thread.call, list(settings.presenters)
        if seen.presenters:
            wanted += presenter_library.listed(
                await call(share_fs.read, self.path / pending.name / seen.presenters, 64 << 10)
            )
        found = await call(presenter_library.find, self.config.paths.share, wanted) if wanted else []
        folders.check_number(len(seen.media) + len(found), self.config.limits)
        return found

    async def _manifest(self, pending: Pending) -> Manifest | None:
        try:
            where = self.path / pending.name / share_fs.HIDDEN / MANIFEST_FILE
            return parse(await self.guard.thread.call(share_fs.read, where, 4 << 20))
        except (FileNotFoundError, NotADirectoryError, NotReady):
            return None

    async def _judge_file(self, pending: Pending, entry: Entry, now: float) -> folders.Judged | None:
        """Return what a file is by content, None for what is no media. Raises NotReady while it may still grow."""
        path, quiet_s = self.path / pending.name / entry.name, pending.quiet_for(now)
        patient = quiet_s < self.config.inbox.settle_zero_tail_s
        try:
            complete = await self.guard.thread.call(share_fs.on_share(completeness.examine), path)
            if complete.zero_tail and patient:
                raise NotReady("zero_tail", name=entry.name)
            limits = self.config.limits
            info = await self.guard.thread.call_slow(PROBES * limits.probe_timeout_s, probe.probe, path, limits)
            return folders.Judged(entry, info.kind) if info.kind else None
        except NotReady as error:
            if patient or error.code in ("no_permission", "held_open"):
                raise NotReady(error.code, **{**error.fields, "name": entry.name}) from None
            if quiet_s < self.config.inbox.incomplete_fail_after_h * 3600 and not _told_to_begin(pending):
                raise NotReady("copy_stopped", describe(error), name=entry.name) from None
            problem = Problem(code="file_incomplete", fields={"name": entry.name}, detail=describe(error))
        except (InputError, EngineError) as error:
            if isinstance(error, DeadlineExceeded):
                raise  # a slow share, perhaps: looked at again
            await self._confirm(pending, entry, error)
            code = error.code if isinstance(error, InputError) else "media_unreadable"
            problem = Problem(code=code, fields={**error.fields, "name": entry.name}, detail=describe(error))
        kind = folders.kind_by_name(entry.name)
        return folders.Judged(entry, kind, problem) if kind else None

    async def _confirm(self, pending: Pending, entry: Entry, error: HeygemdError) -> None:
        """Raise unless a second look found the file at fault too: the share may have gone away under the first."""
        await self.guard.thread.call(share_fs.fingerprint, self.path / pending.name / entry.name)
        if entry not in pending.doubted or os.strerror(errno.ENOENT) in error.detail:
            pending.doubted.add(entry)
            pending.judged_at = 0.0
            raise NotReady("still_copying", name=entry.name)

    # --- notes for people ---------------------------------------------------------------------------------------

    async def _note(self, pending: Pending, now: float) -> None:
        """Write, rewrite or remove the folder's waiting note; only when its words change.

        One that was there before this daemon stays until it is known what the folder waits for.
        """
        assert pending.seen is not None
        there = any(entry.name == filename_rules.WAITING_NOTE for entry in pending.seen.folder.entries)
        due = there or pending.quiet_for(now) >= self.config.inbox.waiting_note_after_s
        wanted: bytes | None = None
        if due and pending.state in ("waiting", "copying") and pending.reason is not None:
            wanted = catalog.note_file(pending.reason.code, pending.reason.fields, self.config.pages.languages)
        moot = wanted is None and (pending.note is not None or pending.state != "settling")
        path = self.path / pending.name / filename_rules.WAITING_NOTE
        if moot and there:
            await self._put(path, None)
        elif wanted is not None and wanted != pending.note:
            await self._put(path, wanted)
        pending.note = wanted

    async def _loose_files(self, present: list[str], now: float) -> None:
        """Write, rewrite or remove the note about files in the inbox itself; `present`: all of them, the note too."""
        loose = [n for n in present if not filename_rules.is_a("junk", n) and not filename_rules.control(n)]
        there = filename_rules.LOOSE_NOTE in present
        if loose != self._loose[0]:
            self._loose = (loose, now)
        due = there or now - self._loose[1] >= self.config.inbox.waiting_note_after_s
        wanted = (
            catalog.note_file("loose_files", {"names": loose}, self.config.pages.languages) if loose and due else None
        )
        path = self.path / filename_rules.LOOSE_NOTE
        if wanted is None and there:
            await self._put(path, None)
        elif wanted is not None and wanted != self._loose_note:
            await self._put(path, wanted)
        self._loose_note = wanted

    async def _put(self, path: Path, note: bytes | None) -> None:
        """Write a note or take it away; where that may not be done folders are served without."""
        group = self.guard.mount.group if self.guard.mount else None
        try:
            if note is None:
                await self.guard.thread.call(share_fs.remove, path)
            else:
                await self.guard.thread.call(share_fs.write, path, note, group, durable=False)
        except (NotReady, OSError) as error:
            logger.bind(job=path.parent.name).debug("cannot write a note: {}", describe(error))


def _told_to_begin(pending: Pending) -> bool:
    """Whether staff say that the folder is to be taken as it is."""
    return pending.seen is not None and filename_rules.READY in pending.seen.controls
