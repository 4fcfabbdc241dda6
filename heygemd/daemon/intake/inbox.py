"""The inbox: scans find folders, which settle, are classified by content, and become jobs to claim.

"Not ready" is never final: each scan looks again. A note in the folder tells users what it waits for.
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
from ..queue_state import PendingFolder, QueueState
from . import classify, filename_rules, presenter_library
from .classify import Classified, Members
from .inotify import Watch
from .manifest import FILE as MANIFEST_FILE
from .manifest import Manifest, parse
from .settle import WatchedFolder, settle_s

RECLASSIFY_S = 15.0
CLAIMS_WAIT_S = 10.0
"""For how long a scan holds claims back: classifying a thousand new folders takes minutes."""
CONTROL_FILE_BYTES = 64 << 10
"""How much of job.toml and presenters.txt is read at most."""
PROBES = 2
"""How often ffprobe may be run on a file: once more when the duration is missing."""


class Inbox:
    """Scans inbox/ and writes into the queue's state which folders are there and what each waits for."""

    def __init__(self, config: Config, state: QueueState, share: ShareAvailability, watch: Watch) -> None:
        """`watch`: local file events; they only delay or wake, scans decide."""
        self.config = config
        self.state = state
        self.share = share
        self.watch = watch
        self.path = config.paths.share / "inbox"
        self._watched: dict[str, WatchedFolder] = {}
        self._loose_since = 0.0
        self._loose_note: bytes | None = None

    async def scan(self) -> None:
        """Look at the whole inbox once. Raises InfrastructureError when the share fails."""
        self.state.claims_wait_until = time.monotonic() + CLAIMS_WAIT_S
        try:
            await self._scan()
        finally:
            self.state.claims_wait_until = 0.0

    async def _scan(self) -> None:
        found, loose = await self.share.thread.call(share_fs.scan, self.path, filename_rules.skip_dir)
        now = time.monotonic()
        self.state.inbox_paused = any(filename_rules.control(n) == filename_rules.PAUSE for n in loose)
        point("discover")
        pending = self.state.pending
        for gone in pending.keys() - {f.name for f in found}:
            del pending[gone]
        self._watched = {name: folder for name, folder in self._watched.items() if folder.pending is pending.get(name)}
        known = set(pending)
        for order, item in enumerate(sorted(found, key=lambda f: (f.mtime_ns, f.name))):
            if item.name in known and item.name not in pending:
                continue  # claimed while this scan went on
            if item.name not in pending:
                pending[item.name] = PendingFolder(item.name, time.time() + order * 1e-6)
                self._watched[item.name] = WatchedFolder(pending[item.name], now)
            folder = self._watched[item.name]
            folder.observe(classify.sort_members(item), now)
            await self._update(folder, item.error, now)
        await self._loose_files(loose, now)

    async def _update(self, folder: WatchedFolder, error: NotReady | None, now: float) -> None:
        """Look at one folder. An error with this folder must not affect the others."""
        pending = folder.pending
        try:
            await self._advance(folder, error, now)
            await self._note(folder, now)
        except FileNotFoundError:
            return  # changed meanwhile: the next scan looks again
        except InfrastructureError:
            raise
        except Exception as fault:
            if pending.reason is None or pending.reason.code != "unexpected_error":
                unforeseen = None if isinstance(fault, HeygemdError) else fault
                say = logger.bind(job=pending.name).opt(exception=unforeseen)
                say.error("cannot classify the folder: {}", describe(fault))
            pending.wait(NotReady("unexpected_error", name=pending.name))

    async def _advance(self, folder: WatchedFolder, error: NotReady | None, now: float) -> None:
        pending, members = folder.pending, folder.members
        assert members is not None
        if filename_rules.CANCEL in members.controls:
            if pending.state != "rejected":
                self._reject(folder, InputError("cancelled"))
        elif filename_rules.is_a("held", pending.name):
            pending.wait(NotReady("held"), "held")
        elif error is not None:
            pending.wait(error)
        elif (
            folder.is_settled(self.watch.writing(self.path / pending.name), self._settle_s(), now)
            and pending.job is None
            and now - folder.classified_at >= RECLASSIFY_S
        ):
            folder.classified_at = now
            await self._classify(folder, now)

    def _settle_s(self) -> float:
        return settle_s(self.config.inbox, self.share.mount)

    async def _classify(self, folder: WatchedFolder, now: float) -> None:
        """Read a settled folder's contents and decide: a job, a rejection, or what it waits for."""
        pending, members = folder.pending, folder.members
        assert members is not None
        try:
            classify.check_bounds(members, self.config.limits)
            settings = await self._job_settings(pending, members)
            media = [*members.media, *await self._presenters(pending, members, settings)]
            for entry in media:
                if entry not in folder.classified:
                    folder.classified[entry] = await self._classify_file(folder, entry, now)
            classified = [c for entry in media if (c := folder.classified[entry]) is not None]
            earlier = await self._manifest(pending)
            render = self.config.render
            pending.job = classify.compose(members, classified, settings, render, earlier, pending.arrived)
            pending.state, pending.reason = "ready", None
            point("settle")
            logger.bind(job=pending.name).info("ready: {} videos", len(pending.job.videos))
        except InputError as error:
            self._reject(folder, error)
        except NotReady as error:
            pending.wait(error)
            waited_h = folder.unchanged_s(now) / 3600
            if error.code.startswith(("needs_", "too_many_")) and waited_h >= self.config.inbox.waiting_fail_after_h:
                self._reject(folder, error)

    def _reject(self, folder: WatchedFolder, error: HeygemdError) -> None:
        pending = folder.pending
        assert folder.members is not None
        problem = Problem(code=error.code, fields=error.fields, detail=error.detail)
        pending.job = classify.rejected(folder.members, problem, pending.arrived)
        pending.state, pending.reason = "rejected", error
        logger.bind(job=pending.name).error("rejected: {}", describe(error))

    async def _job_settings(self, pending: PendingFolder, members: Members) -> JobSettings:
        if not members.job_toml:
            return JobSettings()
        path = self.path / pending.name / members.job_toml
        text = await self.share.thread.call(share_fs.read, path, CONTROL_FILE_BYTES)
        return load_job(text, self.config.render.command)

    async def _presenters(self, pending: PendingFolder, members: Members, settings: JobSettings) -> list[Entry]:
        """Return the presenters from templates/ that the folder asks for by name."""
        call, wanted = self.share.thread.call, list(settings.presenters)
        if members.presenters:
            path = self.path / pending.name / members.presenters
            wanted += presenter_library.listed(await call(share_fs.read, path, CONTROL_FILE_BYTES))
        found = await call(presenter_library.find, self.config.paths.share, wanted) if wanted else []
        classify.check_number(len(members.media) + len(found), self.config.limits)
        return found

    async def _manifest(self, pending: PendingFolder) -> Manifest | None:
        try:
            path = self.path / pending.name / share_fs.HIDDEN / MANIFEST_FILE
            return parse(await self.share.thread.call(share_fs.read, path, 4 << 20))
        except (FileNotFoundError, NotADirectoryError, NotReady):
            return None

    async def _classify_file(self, folder: WatchedFolder, entry: Entry, now: float) -> Classified | None:
        """Return what a file is by content, None if it is no media. Raises NotReady while it may still grow."""
        path, unchanged_s = self.path / folder.pending.name / entry.name, folder.unchanged_s(now)
        early = unchanged_s < self.config.inbox.settle_zero_tail_s
        try:
            complete = await self.share.thread.call(_examine, path)
            if complete.zero_tail and early:
                raise NotReady("zero_tail", name=entry.name)
            limits = self.config.limits
            info = await self.share.thread.call_slow(PROBES * limits.probe_timeout_s, probe.probe, path, limits)
            return Classified(entry, info.kind) if info.kind else None
        except NotReady as error:
            if early or error.code in ("no_permission", "held_open"):
                raise NotReady(error.code, **{**error.fields, "name": entry.name}) from None
            if unchanged_s < self.config.inbox.incomplete_fail_after_h * 3600 and not folder.marked_ready:
                raise NotReady("copy_stopped", describe(error), name=entry.name) from None
            problem = Problem(code="file_incomplete", fields={"name": entry.name}, detail=describe(error))
        except (InputError, EngineError) as error:
            if isinstance(error, DeadlineExceeded):
                raise  # the share may just be slow: the next scan looks again
            await self._confirm(folder, entry, error)
            code = error.code if isinstance(error, InputError) else "media_unreadable"
            problem = Problem(code=code, fields={**error.fields, "name": entry.name}, detail=describe(error))
        kind = classify.kind_by_name(entry.name)
        return Classified(entry, kind, problem) if kind else None

    async def _confirm(self, folder: WatchedFolder, entry: Entry, error: HeygemdError) -> None:
        """Raise NotReady unless the file failed before: the share may have gone away during the first look."""
        name = folder.pending.name
        await self.share.thread.call(share_fs.fingerprint, self.path / name / entry.name)
        if entry not in folder.doubted or os.strerror(errno.ENOENT) in error.detail:
            folder.doubted.add(entry)
            folder.classified_at = 0.0
            raise NotReady("still_copying", name=entry.name)

    # --- notes for users ---------------------------------------------------------------------------------------

    async def _note(self, folder: WatchedFolder, now: float) -> None:
        """Write, rewrite or remove the folder's waiting note; only when its text changes.

        A note of an earlier run stays until it is known what the folder waits for.
        """
        pending = folder.pending
        assert folder.members is not None
        there = any(entry.name == filename_rules.WAITING_NOTE for entry in folder.members.folder.entries)
        due = there or folder.unchanged_s(now) >= self.config.inbox.waiting_note_after_s
        wanted: bytes | None = None
        if due and pending.state in ("waiting", "copying") and pending.reason is not None:
            wanted = catalog.note_file(pending.reason.code, pending.reason.fields, self.config.pages.languages)
        moot = wanted is None and (folder.note is not None or pending.state != "settling")
        path = self.path / pending.name / filename_rules.WAITING_NOTE
        if moot and there:
            await self._put(path, None)
        elif wanted is not None and wanted != folder.note:
            await self._put(path, wanted)
        folder.note = wanted

    async def _loose_files(self, present: list[str], now: float) -> None:
        """Write, rewrite or remove the note about files in the inbox itself; `present`: all of them, the note too."""
        loose = [n for n in present if not filename_rules.is_a("junk", n) and not filename_rules.control(n)]
        there = filename_rules.LOOSE_NOTE in present
        if loose != self.state.loose_files:
            self.state.loose_files, self._loose_since = loose, now
        due = there or now - self._loose_since >= self.config.inbox.waiting_note_after_s
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
        """Write or remove a note; where that is not allowed, folders are processed without notes."""
        try:
            if note is None:
                await self.share.thread.call(share_fs.remove, path)
            else:
                await self.share.thread.call(share_fs.write, path, note, self.share.group, durable=False)
        except (NotReady, OSError) as error:
            logger.bind(job=path.parent.name).debug("cannot write a note: {}", describe(error))


@share_fs.on_share
def _examine(path: Path) -> completeness.Completeness:
    with share_fs.open_file(path) as file:
        return completeness.examine_open(file.fileno())
