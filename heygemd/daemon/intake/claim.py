"""Claiming: a folder in the inbox becomes a job by one rename, recorded before it and confirmed after a crash."""

from __future__ import annotations

import time
from pathlib import Path

from loguru import logger

from ...errors import HeygemdError, InfrastructureError, NotReady, describe
from ...fault_points import point
from ...job import Job
from ...storage import share_fs, transfer
from ...storage.availability import ShareAvailability
from ...storage.transfer import Steps
from ..job_store import Store
from ..queue_state import OrderKey, PendingFolder, QueueState
from . import filename_rules, folder_changes, job_folder

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)
STILL_CHANGING = ("changed_after_claim", "changed_while_copying")


class Claimer:
    """Takes folders out of the inbox, and gives back one that was not ready after all."""

    def __init__(self, state: QueueState, store: Store, share: ShareAvailability, instance: str) -> None:
        """`instance`: this installation's id, written into the folders it claims."""
        self.state = state
        self.store = store
        self.share = share
        self.instance = instance

    async def claim_next(self, settled: bool = False, before: OrderKey | None = None) -> bool:
        """Claim the next folder of the inbox; return whether there was one.

        `settled`: only folders that need no rendering; `before`: only folders ordered before this key.
        """
        now, state = time.monotonic(), self.state
        if state.inbox_paused or now < state.claims_wait_until:
            return False
        # Of these folders `confirm` has still to find out whether they were moved: they may lie in processing/.
        claiming = {job.name for job in state.active if job.phase == "claiming"}
        wanted = []  # a thousand may be ready: only those asked for are sorted
        for folder in state.pending.values():
            job = folder.job
            if job is None or folder.claim_after > now or folder.name in claiming or (settled and not job.settled):
                continue
            key = state.order_key(job)
            if before is None or key < before:
                wanted.append(((state.suspected(job), not job.settled, key, folder.arrived, folder.name), folder, job))
        for _, folder, job in sorted(wanted, key=lambda each: each[0]):
            if await self._claim(folder, job):
                return True
        return False

    async def _claim(self, folder: PendingFolder, job: Job) -> bool:
        """Return whether the folder is claimed, or gone. Raises InfrastructureError that may concern others, too."""
        try:
            return await self._move(folder, job)
        except InfrastructureError as error:
            of_this_folder = self.state.others_worked_since_suspected(job)
            self.state.suspect(job)
            _back_off(folder, error)
            if not of_this_folder:
                raise
            return False

    async def _move(self, folder: PendingFolder, job: Job) -> bool:
        thread, root = self.share.thread, self.share.root
        taken = {filename_rules.fold(n) for n in await thread.call(share_fs.names, root / "processing")}
        job.folder = filename_rules.free_name(job.name, taken, job.id)
        job.started = time.time()
        self.store.save(job)
        self.state.active.append(job)  # if the share fails now, `confirm` finds out whether the rename happened
        try:
            await thread.drain(move_to_processing(root, job, self.instance, self.share.group))
        except FileNotFoundError:
            self._forget(job)
            self.state.pending.pop(folder.name, None)
            return True
        except (NotReady, OSError) as error:
            if not await self._was_moved(job):  # something failed afterwards: publishing reports that
                self._forget(job)
                _back_off(folder, error)
                return False
        self._claimed(job)
        return True

    async def _was_moved(self, job: Job) -> bool:
        """As `was_moved`; a folder that cannot even be asked for is left in the inbox, and tried again later."""
        try:
            return await self.share.thread.call(was_moved, self.share.root, job)
        except (NotReady, OSError):
            return False

    def _claimed(self, job: Job) -> None:
        job.phase = "claimed"
        self.store.save(job)
        self.state.successes += 1
        self.state.pending.pop(job.name, None)
        self.store.open_log(job)
        say = logger.bind(job=job.name, id=job.id)
        say.info("claimed: {} videos", len(job.videos))
        for video in job.videos:
            if video.problem is not None:
                say.error("{}: failed: {} {}", video.title, video.problem.code, video.problem.detail)

    def _forget(self, job: Job) -> None:
        self.state.active.remove(job)
        self.store.forget(job)

    async def confirm(self, job: Job) -> None:
        """Finish a claim that a crash or an outage interrupted: the folder's place tells whether it was moved."""
        call, root = self.share.thread.call, self.share.root
        if await call(was_moved, root, job):
            self.state.pending.pop(job.name, None)
            await call(mark_owned, root / "processing" / job.folder, self.instance, self.share.group)
            self._claimed(job)
        else:
            self._forget(job)

    def give_back(self, job: Job, error: BaseException | None) -> bool:
        """Let the folder return to the inbox if `error` says that it still changes, unless it did so too often."""
        if not still_changing(error) or error is None or job.rounds >= folder_changes.MAX_ROUNDS:
            return False
        self.start_anew(job, describe(error))
        return True

    def start_anew(self, job: Job, reason: str) -> None:
        """Note in the record that the folder returns to the inbox; publishing takes it there."""
        job.phase, job.destination = "returning", ""
        self.store.save(job)
        logger.bind(job=job.name, id=job.id).warning("its files changed, starting anew: {}", reason)


def still_changing(error: BaseException | None) -> bool:
    """Return whether `error` says that somebody still writes to the folder."""
    return isinstance(error, NotReady) and error.code in STILL_CHANGING


def _back_off(folder: PendingFolder, error: HeygemdError | OSError) -> None:
    """Try a folder that is open elsewhere or may not be moved again later; it never fails for that."""
    delay_s = BACKOFF_S[min(folder.claim_failures, len(BACKOFF_S) - 1)]
    folder.claim_failures += 1
    folder.claim_after = time.monotonic() + delay_s
    code = error.code if isinstance(error, NotReady) else "unexpected_error"
    fields = error.fields if isinstance(error, NotReady) else {}
    code = {"no_permission": "folder_no_permission", "held_open": "folder_open"}.get(code, code)
    folder.state, folder.reason = "waiting", NotReady(code, **{**fields, "name": folder.name})
    if folder.claim_failures == 1:
        logger.bind(job=folder.name).warning("cannot claim the folder: {}", describe(error))


def move_to_processing(share: Path, job: Job, instance: str, group: int | None) -> Steps[None]:
    """Rename a folder from inbox/ to processing/ and mark it as ours. FileNotFoundError: another daemon was faster."""
    source, target = share / "inbox" / job.name, share / "processing" / job.folder
    job_folder.must_exist(source)
    if (yield from transfer.move(source, target)):  # copied, not renamed: times have changed
        for media in (*job.inputs(), *job.extra):
            _, mtime_ns = share_fs.fingerprint(job_folder.member(target, media.name))
            for record in (media, *job.records_of(media.name)):
                record.mtime_ns = mtime_ns
    point("claim")
    mark_owned(target, instance, group)


def was_moved(share: Path, job: Job) -> bool:
    """Return whether the rename of an interrupted claim happened."""
    job_folder.must_exist(share / "processing")
    return share_fs.exists(share / "processing" / job.folder) and not share_fs.exists(share / "inbox" / job.name)


def mark_owned(folder: Path, instance: str, group: int | None) -> None:
    """Mark a folder in processing/ as this daemon's, so that others leave it alone; remove notes of the inbox."""
    try:
        share_fs.make_folder(folder / share_fs.HIDDEN, group)
        share_fs.write(folder / share_fs.HIDDEN / job_folder.OWNER, instance.encode(), group)
        for note in (filename_rules.WAITING_NOTE, filename_rules.WHY_NOTE):
            share_fs.remove(folder / note)
    except (NotReady, OSError):
        # We may rename this folder but not write into it: publishing reports that.
        return


def move_to_inbox(share: Path, job: Job) -> Steps[str]:
    """Return a folder from processing/ to the inbox; returns its name there."""
    source = share / "processing" / job.folder
    taken = {filename_rules.fold(n) for n in share_fs.names(share / "inbox")}
    name = filename_rules.free_name(job.name, taken, time.strftime("%Y%m%d-%H%M%S"))
    keep = [n for n in job_folder.hidden_files(source) if not n.endswith(job_folder.INTERMEDIATE)]
    job_folder.clean_hidden(source, keep)
    yield from transfer.move(source, share / "inbox" / name)
    return name
