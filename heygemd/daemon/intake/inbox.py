"""The inbox: scans find folders, which settle, are classified by content, and become jobs to claim.

"Not ready" is never final: each scan looks again. A note in the folder tells users what it waits for.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from pathlib import Path

from loguru import logger

from ...config import staff_text
from ...config.job_toml import JobSettings, load_job
from ...config.schema import Config, Limits
from ...errors import (
    DeadlineExceeded,
    EngineError,
    HeygemdError,
    InfrastructureError,
    InputError,
    NotReady,
    ShareError,
    describe,
)  # fmt: skip
from ...fault_points import point
from ...i18n import catalog
from ...job import Problem
from ...media import photo, probe
from ...storage import atomic, share_fs, share_paths
from ...storage.availability import ShareAvailability
from ...storage.share_fs import Entry
from ..queue_state import PendingFolder, QueueState
from . import (
    batch,
    filename_rules,
    folder_members,
    job_folder,
    job_inputs,
    job_record,
    left_out,
    manifest,
    notes,
    presenter_library,
)  # fmt: skip
from .filename_rules import JOB_TOML, PRESENTERS
from .folder_members import Members
from .inotify import Watch
from .job_inputs import Classified
from .misplaced import Misplaced
from .presenter_library import Wish
from .settle import WatchedFolder, incomplete_wait_s, settle_s

RECLASSIFY_S = 15.0
CLAIMS_WAIT_S = 10.0
"""For how long a scan holds claims back: classifying a thousand new folders takes minutes."""
CONTROL_FILE_BYTES = 64 << 10
"""How much of presenters.txt and job.toml is read at most: more names than any folder may have files."""
INCOMPLETE = ("needs_audio", "needs_video")
FINAL = ("needs_", "too_many_", "copy_stopped", "slow_to_read", "held", "folder_", "no_permission", "unexpected_error")
"""What a folder waits for that only a user can change, as beginnings of message codes."""
NO_SETTINGS = JobSettings()
"""Shared, because of a long queue most folders have none."""
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
        self.misplaced = Misplaced(state, share)
        self._watched: dict[str, WatchedFolder] = {}

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
        self.state.inbox_paused = filename_rules.PAUSE in filename_rules.controls({e.name: e.kind for e in loose})
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
            if item.name not in self._watched:
                self._watched[item.name] = WatchedFolder(pending[item.name], now)
            folder = self._watched[item.name]
            folder.observe(item, now)
            await self._update(folder, item.error, now)
        await self.misplaced.update(self.config, loose, now)

    async def _update(self, folder: WatchedFolder, error: NotReady | ShareError | None, now: float) -> None:
        """Look at one folder. An error with this folder must not affect the others."""
        try:
            await self._advance(folder, error, now)
            await self._note(folder, now)
        except FileNotFoundError:
            return  # changed meanwhile: the next scan looks again
        except InfrastructureError:
            raise
        except Exception as fault:
            pending = folder.pending
            if pending.reason is None or pending.reason.code != "unexpected_error":
                logger.bind(job=pending.name).opt(exception=fault).error(
                    "cannot classify the folder: {}", describe(fault)
                )
            self._wait(folder, NotReady("unexpected_error", describe(fault), name=pending.name), now)

    def _wait(self, folder: WatchedFolder, reason: HeygemdError, now: float) -> None:
        """Let a folder wait, but not for ever, unless it waits for the job that it belongs to."""
        longest_s = self.config.inbox.waiting_fail_after_h * 3600
        if folder.unchanged_s(now) < longest_s:
            folder.classify_when_unchanged_for(longest_s)
            folder.pending.wait(reason)
        elif folder.pending.belongs_to:
            folder.pending.wait(reason)
        elif folder.pending.state != "rejected":
            self._reject(folder, reason)

    async def _advance(self, folder: WatchedFolder, error: NotReady | ShareError | None, now: float) -> None:
        pending, members = folder.pending, folder.members
        assert members is not None
        if filename_rules.CANCEL in members.controls:
            if pending.state != "rejected":
                self._reject(folder, InputError("cancelled"))
        elif filename_rules.is_a("held", pending.name):
            pending.wait(NotReady("held"), "held")
        elif isinstance(error, ShareError):
            raise error
        elif error is not None:
            self._wait(folder, error, now)
        elif (
            folder.is_settled(self.watch.writing(self.path / pending.name), self._settle_s(), self.config.inbox, now)
            and pending.job is None
            and now >= folder.classify_from
        ):
            folder.classify_from = now + RECLASSIFY_S
            await self._classify(folder, now)

    def waits_for_user(self, pending: PendingFolder) -> bool:
        """Return whether a folder has not changed for so long that only a user can bring it further."""
        folder = self._watched.get(pending.name)
        if folder is None or folder.pending is not pending or (pending.job is not None and not pending.claim_failures):
            return False
        if pending.reason is not None and pending.reason.code.startswith(FINAL):
            return True
        needed_s = self._settle_s() + max(RECLASSIFY_S, self.config.inbox.settle_zero_tail_s)
        return folder.unchanged_s(time.monotonic()) > needed_s

    def _settle_s(self) -> float:
        return settle_s(self.config.inbox, self.share.mount)

    async def _classify(self, folder: WatchedFolder, now: float) -> None:
        """Read a settled folder's contents and decide: a job, a rejection, or what it waits for."""
        pending, members = folder.pending, folder.members
        assert members is not None
        pending.notices = job_record.notices(members)
        try:
            folder_members.check_bounds(members, self.config.limits)
            texts = await self._control_files(pending, members)
            known = await self.share.thread.call(presenter_library.names, self.config.paths.share) if texts else []
            members.western = [n for meant, n in members.settings.items() if staff_text.decode(texts[meant], known)[1]]
            settings = await self._job_settings(texts, known)
            presenters = await self._presenters(members, settings, texts, known)
            earlier = await self.share.thread.call(manifest.read, self.path / pending.name)
            needed_s = self._settle_s() * 2**earlier.rounds if earlier else 0.0
            if folder.unchanged_s(now) < needed_s and not folder.marked_ready:
                folder.classify_when_unchanged_for(needed_s)
                raise NotReady("still_copying", name=pending.name)
            classified = await self._look_into(folder, [*members.media, *presenters], now)
            is_batch = folder_members.may_be_batch(members)
            if members.nested and job_inputs.needs_subfolders(classified, earlier, settings.speakers):
                folder_members.check_media([*members.media, *members.nested], self.config.limits, is_batch)
                classified += await self._look_into(folder, members.nested, now)
            photos = job_inputs.wanted_photos(members, classified, earlier, settings.photos, self.config.limits)
            folder_members.check_media([*members.media, *photos], self.config.limits, is_batch)
            classified += await self._look_into(folder, photos, now)
            classified = job_inputs.with_abandoned(classified, members)
            pending.notices = job_record.notices(members, classified)
            render, arrived = self.config.render, pending.arrived
            if parts := batch.parts(members, classified, earlier):
                patience_s = self.config.inbox.waiting_note_after_s
                batch.wait_for_parts(parts, members, folder.unchanged_s(now), patience_s)
                job = batch.compose(
                    members, classified, parts, settings, render, earlier, arrived, texts, self.config.limits
                )
            else:
                job = job_record.compose(members, classified, settings, render, earlier, arrived, texts)
            pending.offer(job, "ready")
            point("settle")
            logger.bind(job=pending.name).info("ready: {} videos", len(job.videos))
        except InputError as error:
            self._reject(folder, error)
        except NotReady as error:
            reason = job_record.explained(error, pending.notices)
            claimed = self.state.being_made(pending.name) if error.code in INCOMPLETE else None
            pending.belongs_to = claimed.id if claimed is not None else ""
            if claimed is not None:
                reason = NotReady("belongs_to_job", name=pending.name)
            elif error.code in INCOMPLETE and filename_rules.looks_like_pause(pending.name):
                reason = NotReady("pause_misplaced", name=pending.name)
            self._wait(folder, reason, now)

    async def _look_into(self, folder: WatchedFolder, entries: list[Entry], now: float) -> list[Classified]:
        """Return what files are by content; each is read once only."""
        wanted = folder_members.worth_reading(entries, self.config.limits)
        for entry in wanted:
            if entry not in folder.classified:
                folder.classified[entry] = await self._classify_file(folder, entry, now)
        return [folder.classified[entry] for entry in wanted]

    def _reject(self, folder: WatchedFolder, error: HeygemdError) -> None:
        pending = folder.pending
        assert folder.members is not None
        problem = Problem(code=error.code, fields=error.fields, detail=error.detail)
        job = job_record.rejected(folder.members, problem, pending.notices, pending.arrived)
        pending.offer(job, "rejected", error)
        logger.bind(job=pending.name).error("rejected: {}", describe(error))

    async def _control_files(self, pending: PendingFolder, members: Members) -> dict[str, bytes]:
        """Return the contents of job.toml and presenters.txt, as far as they are there."""
        read, folder = self.share.thread.call, self.path / pending.name
        return {
            meant: await read(share_fs.read, folder / name, CONTROL_FILE_BYTES)
            for meant, name in members.settings.items()
        }

    async def _job_settings(self, texts: dict[str, bytes], known: list[str]) -> JobSettings:
        """Return what job.toml says; it is parsed beside the event loop, as it may be anything."""
        if JOB_TOML not in texts:
            return NO_SETTINGS
        return await self.share.thread.call(load_job, texts[JOB_TOML], self.config.render.command, known)

    async def _presenters(
        self, members: Members, settings: JobSettings, texts: dict[str, bytes], known: list[str]
    ) -> list[Entry]:
        """Return the presenters from templates/ that the folder asks for by name."""
        call = self.share.thread.call
        wishes = [Wish(name, JOB_TOML) for name in settings.presenters]
        if PRESENTERS in texts:
            wishes += presenter_library.listed(texts[PRESENTERS], members.settings[PRESENTERS], known)
        if len(wishes) > (limit := self.config.limits.max_files_per_job):
            raise InputError("too_many_files", count=len(wishes), limit=limit)
        found = await call(presenter_library.find, self.config.paths.share, wishes) if wishes else []
        folder_members.check_media([*members.media, *found], self.config.limits, folder_members.may_be_batch(members))
        return found

    async def _classify_file(self, folder: WatchedFolder, entry: Entry, now: float) -> Classified:
        """Return what a file is by content. Raises NotReady while it may still grow, if it may be media at all."""
        path, unchanged_s = job_folder.member(self.path / folder.pending.name, entry.name), folder.unchanged_s(now)
        early = unchanged_s < self.config.inbox.settle_zero_tail_s
        kind = filename_rules.input_kind(entry.name)
        limits, shown = self.config.limits, folder_members.shown_name(entry)
        doubt: NotReady | None = None
        try:
            doubt = await self.share.thread.call(_doubt, path, early, bool(kind))
            if doubt is not None and not folder.marked_ready:
                raise doubt
            if kind == "photo":
                await self.share.thread.call_slow(limits.probe_timeout_s, _check_photo, path, limits)
                return Classified(entry, kind)
            info = await self.share.thread.call_slow(PROBES * limits.probe_timeout_s, _probe, path, limits)
            problem = None if info.kind else Problem(code="left_out_no_stream")
            return Classified(entry, info.kind, problem, sound=info.kind == "video" and info.audio is not None)
        except NotReady as error:
            if (early and not folder.marked_ready) or error.code in ("no_permission", "held_open", "file_unusable"):
                if early:
                    folder.classify_when_unchanged_for(self.config.inbox.settle_zero_tail_s)
                raise NotReady(error.code, **{**error.fields, "name": shown}) from None
            self._wait_for(folder, entry, NotReady("copy_stopped", describe(error), name=shown), unchanged_s)
            problem = Problem(code="file_incomplete", fields={"name": entry.name}, detail=describe(error))
        except DeadlineExceeded as error:  # the share may just be slow
            seconds, said = limits.probe_timeout_s, describe(error)
            self._wait_for(folder, entry, NotReady("slow_to_read", said, name=shown, seconds=seconds), unchanged_s)
            problem = Problem(code="slow_to_read", fields={"name": entry.name, "seconds": seconds}, detail=said)
        except (InputError, EngineError) as error:
            await self._confirm(folder, entry, error)
            code = error.code if isinstance(error, InputError) else "media_unreadable"
            code = "file_incomplete" if doubt is not None else code
            problem = Problem(code=code, fields={**error.fields, "name": entry.name}, detail=describe(error))
        if not kind:
            problem = Problem(code=left_out.reason_unreadable(entry.name, problem.code))
        return Classified(entry, kind, problem)

    def _wait_for(self, folder: WatchedFolder, entry: Entry, reason: NotReady, unchanged_s: float) -> None:
        """Raise `reason` until the file has been waited for long enough, or users say READY."""
        assert folder.members is not None
        needed_s = incomplete_wait_s(self.config.inbox, folder.members, entry.name)
        if unchanged_s < needed_s and not folder.marked_ready:
            folder.classify_when_unchanged_for(needed_s)
            raise reason

    async def _confirm(self, folder: WatchedFolder, entry: Entry, error: HeygemdError) -> None:
        """Raise NotReady unless the file failed before: the share may have gone away during the first look."""
        name = folder.pending.name
        await self.share.thread.call(share_fs.fingerprint, job_folder.member(self.path / name, entry.name))
        if entry not in folder.doubted or os.strerror(errno.ENOENT) in error.detail:
            folder.doubted |= {entry}
            folder.classify_from = 0.0
            raise NotReady("settling")

    # --- notes for users ---------------------------------------------------------------------------------------

    async def _note(self, folder: WatchedFolder, now: float) -> None:
        """Write, rewrite or remove the folder's waiting note; only when its text changes.

        A note of an earlier run stays until it is known what the folder waits for.
        """
        pending = folder.pending
        assert folder.members is not None
        there = any(entry.name == filename_rules.WAITING_NOTE for entry in folder.members.folder.entries)
        long = there or folder.unchanged_s(now) >= self.config.inbox.waiting_note_after_s
        wanted: bytes | None = None
        if long and pending.state in ("waiting", "copying") and pending.reason is not None:
            said = [(pending.reason.code, pending.reason.fields), *((n.code, n.fields) for n in pending.notices)]
            wanted = catalog.note_file(said, self.config.pages.languages)
        moot = wanted is None and (folder.note is not None or pending.state != "settling")
        due = (moot and there) if wanted is None else wanted != folder.note
        path = self.path / pending.name
        if not due or await notes.put(self.share, path / filename_rules.WAITING_NOTE, wanted):
            folder.note = wanted


def _doubt(path: Path, early: bool, is_media: bool) -> NotReady | None:
    """Return why a file may not be complete, which READY overrules.

    early     it has not been still for long
    is_media  going by its name
    """
    try:
        complete = job_folder.examine(path)
    except NotReady as error:
        if error.code in ("still_copying", "moov_missing"):
            return error
        raise
    if early and complete.zero_tail and (is_media or complete.container):
        return NotReady("zero_tail")
    if early and complete.end == "cut":
        return NotReady("still_copying")
    return NotReady("recorder_open") if early and complete.end == "open" else None


def _probe(path: Path, limits: Limits) -> probe.MediaInfo:
    """Return what a file on the share contains; ffprobe gets it open, and neither its name nor its folder."""
    with share_paths.on_share(share_paths.open_file)(path) as file, atomic.on_local_disk(tempfile.gettempdir()):
        return probe.probe_open(file.fileno(), filename_rules.known_ending(path.name), limits)


def _check_photo(path: Path, limits: Limits) -> None:
    """As `_probe`, for a picture: whether it can be decoded."""
    with share_paths.on_share(share_paths.open_file)(path) as file, atomic.on_local_disk(tempfile.gettempdir()):
        photo.check_open(file.fileno(), limits)
