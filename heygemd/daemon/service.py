"""The daemon: starts its parts in order, ticks once a second, stops them in reverse.

Five tasks in one event loop. Scanning, working and page-writing wait for the share; the tick never does, and only the
tick pings systemd's watchdog: a share that hangs is reported, a loop that hangs is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from loguru import logger

from .. import __version__, groups, logging_setup
from ..config import loader
from ..config.schema import Config
from ..errors import ConfigError, InfrastructureError, LocalDiskError, NotReady, describe
from ..exit_codes import Exit
from ..i18n import catalog
from ..storage import atomic
from ..storage.availability import ShareAvailability
from ..storage.heartbeat import Heartbeat
from ..storage.io_thread import ShareThread
from ..weights import requirements
from .executors import factory
from .intake.claim import Claimer
from .intake.inbox import Inbox
from .intake.inotify import Watch
from .job_store import Store
from .jobs import recovery
from .jobs.changed_folders import ChangedFolders
from .jobs.fault_isolation import pause_queue
from .jobs.publishing import Publisher
from .jobs.running import POLL_CANCELLATIONS_S, Running
from .jobs.scheduler import Scheduler
from .publish import retention
from .queue_state import QueueState
from .status import share_pages, status_file
from .status.builder import RECENT, SnapshotBuilder
from .status.metrics import EVERY_S, Metrics
from .status.notifications import Notifier
from .status.snapshot import Snapshot
from .status.systemd_notify import SystemdNotify

TICK_S = 1.0
UNEXPECTED_ERROR_PAUSE_S = 30.0
LAST_PAGE_S = 2.0
"""How long a stopping daemon tries to say so on the share's page."""

Observer = Callable[[Snapshot], None]


def run(settings: Config, config_path: Path | None, *, once: bool = False, observe: Observer | None = None) -> int:
    """Serve the share until SIGTERM; with `once`, until nothing is left to do. Returns the exit status.

    `observe` is called with a snapshot every second. Exit statuses: OK, SOME_FAILED (`once`), SECOND_DAEMON.
    """
    os.umask(atomic.OTHERS)
    opened = [folder for folder in settings.paths.private if atomic.make_private(folder)]
    logging_setup.setup(settings.log, settings.paths.log)
    for folder in opened:
        logger.warning("{} was open to other users and is closed now; run `heygemd doctor`", folder)
    if outsiders := groups.outsiders():
        logger.error("{} may read the service's settings; run `heygemd init` as root", ", ".join(outsiders))
    lock = open(settings.paths.state / "lock", "a")  # noqa: SIM115  held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.error("another heygemd is running with the records in {}; stop it first", settings.paths.state)
        return Exit.SECOND_DAEMON
    with lock:
        return asyncio.run(Service(settings, config_path, once, observe).serve())


class Service:
    """The parts of the daemon, from start to stop."""

    def __init__(self, settings: Config, config_path: Path | None, once: bool, observe: Observer | None) -> None:
        """Builds nothing that touches the share; needs no running event loop."""
        self.config = settings
        self.config_path = config_path
        self.once = once
        self.observe = observe
        self.systemd = SystemdNotify()
        self.stopping = asyncio.Event()
        self.wake = asyncio.Event()
        self.scanned = 0
        self._shown: Snapshot | None = None
        self._shown_at = 0.0
        self._metrics_at = -EVERY_S
        self._on_share: dict[str, bytes] = {}
        self._finished_before = 0

    async def serve(self) -> int:
        """Run until stopped; return the exit status."""
        self._build()
        self._catch_signals()
        recovery.restore(self.state, self.store, self.config)
        self._finished_before = len(self.state.finished)
        self.notifier = Notifier(self.config, self.state.finished)
        self.metrics = Metrics(self.state.finished) if self.config.metrics.textfile else None
        self.systemd.ready()
        logger.info("heygemd {} serves {}", __version__, self.config.paths.share)
        self._log_missing_requirements()
        tasks = [asyncio.create_task(self._forever(part)) for part in self._parts()]
        try:
            while not self.stopping.is_set():
                self._tick()
                await _sleep_or(self.stopping, TICK_S)
        finally:
            self.systemd.stopping()
            logger.info("stopping")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.running.stop()
            await self.executor.close()
            self.watch.stop()
        self._tick()
        await self._write_last_page()
        self.thread.close()
        self.systemd.close()
        return self._exit_code()

    def _parts(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return self._scan, self._work, self._poll_cancellations, self._update_page, self._apply_retention

    def _build(self) -> None:
        loop = asyncio.get_running_loop()
        self.store = Store(self.config.paths.state)
        self.thread = ShareThread(self.config.paths.share, self.config.inbox.io_deadline_s)
        self.share = ShareAvailability(self.config.paths.share, self.thread)
        self.watch = Watch(lambda: loop.call_soon_threadsafe(self.wake.set))
        self.state = QueueState()
        self.inbox = Inbox(self.config, self.state, self.share, self.watch)
        instance = _instance(self.config.paths.state)
        claimer = Claimer(self.state, self.store, self.share, instance)
        self.executor = factory.create(self.config)
        self.running = Running(self.config, self.state, self.store, self.share, claimer, self.executor)
        self.changes = ChangedFolders(self.config, self.state, self.store, self.share, claimer)
        self.publisher = Publisher(self.config, self.state, self.store, self.share, self.changes)
        self.scheduler = Scheduler(self.config, self.state, self.share, claimer, self.running, self.publisher)
        self.heartbeat = Heartbeat(self.config.paths.share, self.thread, instance)
        self.orphans = recovery.OrphanedFolders(self.state, self.share, instance)
        self.snapshots = SnapshotBuilder(self.config, self.state, self.share)
        self.announcements = retention.Announcements()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        """Read the configuration again; an invalid one changes nothing. Some settings need a restart."""
        try:
            fresh = loader.load(self.config_path)
        except ConfigError as error:
            logger.error("configuration not reloaded: {}", describe(error))
            return
        if fresh.paths != self.config.paths or fresh.work != self.config.work:
            logger.warning("changes in [paths] and [work] take effect after a restart")
        self.config = fresh.model_copy(update={"paths": self.config.paths, "work": self.config.work})
        jobs = (self.running, self.changes, self.publisher, self.scheduler, self.executor)
        for part in (self.inbox, *jobs, self.snapshots, self.notifier):
            part.config = self.config
        self.thread.deadline_s = self.config.inbox.io_deadline_s
        logging_setup.setup(self.config.log, self.config.paths.log)
        self.store.logs_were_reset()
        logger.info("configuration reloaded")
        self._log_missing_requirements()

    def _log_missing_requirements(self) -> None:
        for fault in requirements.missing(self.config.render, self.config.paths.models):
            logger.error("{}", catalog.text(fault.code, fault.fields))

    def _tick(self) -> None:
        """One pass of the main loop: report the state to systemd and the command line. Touches local files only."""
        self.share.notice_hang()
        snapshot = self.snapshots.build()
        if self.stopping.is_set():
            snapshot = snapshot.model_copy(update={"state": "stopped", "current": None, "beside": ()})
        self.systemd.status(snapshot.line())
        try:
            status_file.write(self.config, snapshot)
        except LocalDiskError as error:
            logger.warning("cannot write the status: {}", describe(error))
        if self.observe is not None:
            self.observe(snapshot)
        self.notifier.update(self.state.finished, self.share.problem or self.state.paused_by, time.time())
        self._write_metrics(snapshot)
        if self.once and self._nothing_left():
            self.stopping.set()
        self.systemd.alive()

    async def _apply_retention(self) -> None:
        """Delete or archive old folders if the configuration asks for it; only while the share is there."""
        if self.scanned and self.share.problem is None and retention.enabled(self.config):
            known = retention.finish_times(self.state.finished)
            steps = await self.thread.drain(retention.plan(self.config, time.time(), known))
            for step in self.announcements.due(self.config, steps, time.monotonic()):
                await self.thread.drain(retention.carry_out(self.config, step))
        await asyncio.sleep(retention.pause_s(self.config) if self.scanned else TICK_S)

    def _write_metrics(self, snapshot: Snapshot) -> None:
        """Write the metrics every EVERY_S seconds, and at the end."""
        due = time.monotonic() - self._metrics_at >= EVERY_S or self.stopping.is_set()
        if self.metrics is None or not due:
            return
        self._metrics_at = time.monotonic()
        self.metrics.update(snapshot, self.state.finished, time.time())
        try:
            self.metrics.write(Path(self.config.metrics.textfile))
        except LocalDiskError as error:
            logger.warning("cannot write the metrics: {}", describe(error))

    async def _forever(self, part: Callable[[], Awaitable[None]]) -> None:
        """Repeat a part of the daemon, also after an unexpected error: no job may end the service."""
        while True:
            try:
                await part()
            except (InfrastructureError, NotReady, OSError) as error:
                pause_queue(self.state, self.share, error)
                await asyncio.sleep(TICK_S)
            except Exception:
                logger.exception("unexpected error in {}; continuing in {} s", part.__name__, UNEXPECTED_ERROR_PAUSE_S)
                await asyncio.sleep(UNEXPECTED_ERROR_PAUSE_S)

    async def _scan(self) -> None:
        """Check the share and scan the inbox, then wait for the next time or an event."""
        self.wake.clear()
        if await self.share.check():
            self._watch_inbox()
            await self.inbox.scan()
            await self.orphans.check()
            await self.heartbeat.check()
            self.state.other_daemon = self.heartbeat.other
            self.scanned += 1
        await _sleep_or(self.wake, self.config.inbox.poll_s)

    def _watch_inbox(self) -> None:
        mount = self.share.mount
        if mount is not None and not mount.network and not self.watch.running:
            self.watch.start(self.inbox.path)

    async def _work(self) -> None:
        """Do or start the next thing, or wait a moment for one."""
        ended = self.running.ended
        ended.clear()
        if not await self.scheduler.step():
            await _sleep_or(ended, min(TICK_S, self.config.inbox.poll_s))

    async def _poll_cancellations(self) -> None:
        await self.running.poll_cancellations()
        await asyncio.sleep(POLL_CANCELLATIONS_S)

    async def _update_page(self) -> None:
        """Write the page on the share when the snapshot changed, and regularly to show that the daemon runs."""
        await self._look_for_moved()
        snapshot = self.snapshots.build()
        timeless = snapshot.model_copy(update={"updated": ""})
        due = timeless != self._shown or time.monotonic() - self._shown_at > share_pages.HEARTBEAT_S
        if self.share.problem is None and self.scanned and due:
            try:
                await self._write_page(snapshot)
                self._shown, self._shown_at = timeless, time.monotonic()
            except (NotReady, OSError) as error:  # the file is open elsewhere, or a folder has its name
                logger.warning("cannot write the page: {}", describe(error))
                await asyncio.sleep(share_pages.HEARTBEAT_S)
        await asyncio.sleep(self.config.pages.refresh_s)

    async def _look_for_moved(self) -> None:
        """Learn which finished folders were moved away: the page must not link to them."""
        if self.share.problem is None and self.scanned:
            recent = self.state.finished[-RECENT:]
            with contextlib.suppress(NotReady):  # the next time looks again
                self.snapshots.moved_away = await self.thread.call(share_pages.moved_away, self.share.root, recent)

    async def _write_page(self, snapshot: Snapshot) -> None:
        content = share_pages.share_files(snapshot, self.config)
        await self.thread.call(share_pages.write, self.share.root, self._on_share, content, self.share.group)

    async def _write_last_page(self) -> None:
        """Let the page say that the daemon stopped, if the share answers at once."""
        if self.share.problem is None and not self.thread.hung and self.scanned:
            snapshot = self.snapshots.build().model_copy(update={"state": "stopped"})
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._write_page(snapshot), LAST_PAGE_S)

    def _nothing_left(self) -> bool:
        """Return whether everything left waits for a user."""
        final = ("needs_", "too_many_", "copy_stopped", "held", "folder_", "no_permission")
        stuck = [p for p in self.state.pending.values() if p.reason and p.reason.code.startswith(final)]
        idle = not self.state.running and all(job.id in self.state.backing_off for job in self.state.active)
        return self.scanned > 1 and idle and len(stuck) == len(self.state.pending)

    def _exit_code(self) -> int:
        done = self.state.finished[self._finished_before :]
        bad = self.state.active or any(j.problem or any(v.state == "failed" for v in j.videos) for j in done)
        return Exit.SOME_FAILED if self.once and bad else Exit.OK


def _instance(state: Path) -> str:
    """Return this installation's id, created at the first start."""
    path = state / "instance"
    if not path.exists():
        atomic.write(path, uuid.uuid4().hex.encode())
    return atomic.read(path).decode().strip()


async def _sleep_or(event: asyncio.Event, seconds: float) -> None:
    """Sleep until the event, but not longer than `seconds`."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except (TimeoutError, asyncio.TimeoutError):
        return
