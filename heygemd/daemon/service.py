"""The daemon: starts its parts in order, ticks once a second, stops them in reverse.

Five tasks in one event loop. Scanning, working and page-writing wait for the share; the tick never does, and only the
tick pings systemd's watchdog: a share that hangs is reported, a loop that hangs is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from async_timeout import timeout
from loguru import logger

from .. import __version__, groups, logging_setup
from ..config import loader
from ..config.schema import Config, Paths
from ..errors import HeygemdError, InfrastructureError, LocalDiskError, NotReady, describe
from ..exit_codes import Exit
from ..i18n import catalog
from ..logging_setup import LogFile
from ..storage import atomic
from ..storage.availability import ShareAvailability
from ..storage.heartbeat import Heartbeat
from ..storage.io_thread import ShareThread
from ..weights import requirements
from . import daemon_lock
from .executors import factory
from .intake.claim import Claimer
from .intake.inbox import Inbox
from .intake.inotify import Watch
from .job_store import Store
from .jobs import recovery
from .jobs.changed_folders import ChangedFolders
from .jobs.fault_isolation import FaultIsolation
from .jobs.publishing import Publisher
from .jobs.running import POLL_CANCELLATIONS_S, Running
from .jobs.scheduler import Scheduler
from .publish import retention
from .queue_state import QueueState
from .status import live_view, share_pages, status_file
from .status.best_effort import BestEffort
from .status.builder import RECENT, SnapshotBuilder
from .status.metrics import EVERY_S, Metrics
from .status.notifications import Notifier
from .status.snapshot import Snapshot
from .status.systemd_notify import SystemdNotify

TICK_S = 1.0
UNEXPECTED_ERROR_PAUSE_S = 30.0
ONCE_WAITS_S = 90.0
"""How long `heygemd once` waits for a share or a disk that cannot be used."""
LAST_PAGE_S = 2.0
"""How long a stopping daemon tries to say so on the share's page."""

Observer = Callable[[Snapshot], None]


def run(settings: Config, config_path: Path | None, *, once: bool = False, observe: Observer | None = None) -> int:
    """Serve the share until SIGTERM; with `once`, until nothing is left to do. Returns the exit status.

    `observe` is called with a snapshot every second. Exit statuses: OK, SOME_FAILED and UNAVAILABLE (`once`),
    SECOND_DAEMON. Raises LocalDiskError where records, temporary files or the log cannot be written.
    """
    os.umask(atomic.OTHERS)
    opened = _prepare_local_folders(settings.paths)
    log_file = logging_setup.setup(settings.log, settings.paths.log)
    for folder in opened:
        logger.warning("{} was open to other users and is closed now; run `heygemd doctor`", folder)
    if outsiders := groups.outsiders():
        logger.error("{} may read the service's settings; run `heygemd init` as root", ", ".join(outsiders))
    with daemon_lock.open_for_daemon(settings.paths.state) as lock:
        if not daemon_lock.acquire(lock):
            logger.error("another heygemd is running with the records in {}; stop it first", settings.paths.state)
            return Exit.SECOND_DAEMON
        return asyncio.run(Service(settings, config_path, once, observe, log_file).serve())


def _prepare_local_folders(paths: Paths) -> list[Path]:
    """Make the daemon's own folders and close them to others; return those that were open.

    Raises LocalDiskError, named after the setting, where that is not possible or nothing can be written.
    """
    codes, opened = ("state_not_writable", "cache_not_writable", "log_not_writable"), []
    for code, folder in zip(codes, paths.private, strict=True):
        try:
            if atomic.make_private(folder):
                opened.append(folder)
            if folder != paths.log:  # a full disk of logs stops nothing
                atomic.check_writable(folder)
        except LocalDiskError as error:
            if error.code != "disk_unavailable":
                raise
            raise LocalDiskError(code, **error.fields) from error
    return opened


class Service:
    """The parts of the daemon, from start to stop."""

    def __init__(
        self,
        settings: Config,
        config_path: Path | None,
        once: bool,
        observe: Observer | None,
        log_file: LogFile | None = None,
    ) -> None:
        """Builds nothing that touches the share; needs no running event loop. `log_file`: whose faults are shown."""
        self.config = settings
        self.config_path = config_path
        self.once = once
        self.observe = observe
        self.log_file = log_file
        self.best_effort = BestEffort()
        self.systemd = SystemdNotify()
        self.stopping = asyncio.Event()
        self.wake = asyncio.Event()
        self.scanned = 0
        self.gave_up = False
        self._unavailable_since: float | None = None
        self.reporter = status_file.Reporter()
        self._shown: Snapshot | None = None
        self._shown_at = 0.0
        self._metrics_at = -EVERY_S
        self._on_share: dict[str, str] = {}
        self._live: dict[str, bytes] | None = None
        self._finished_before = 0
        self.metrics: Metrics | None = None

    async def serve(self) -> int:
        """Run until stopped; return the exit status."""
        self._build()
        self._catch_signals()
        recovery.restore(self.state, self.store, self.config)
        self._finished_before = len(self.state.finished)
        self.notifier = Notifier(self.config, self.state.finished)
        self.metrics = self._metrics_for(self.config)
        self.systemd.ready()
        logger.info("heygemd {} serves {}", __version__, self.config.paths.share)
        self._log_missing_requirements()
        tasks = [asyncio.create_task(self._forever(part)) for part in self._parts()]
        try:
            while not self.stopping.is_set():
                self._tick()
                await _sleep_or(self.stopping, TICK_S)
        finally:
            self.stopping.set()
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
        self.isolation = isolation = FaultIsolation(self.config, self.state, self.store, self.share)
        self.running = Running(self.config, self.state, self.store, self.share, claimer, self.executor, isolation)
        self.changes = ChangedFolders(self.config, self.state, self.store, self.share, claimer)
        self.publisher = Publisher(self.config, self.state, self.store, self.share, self.changes)
        self.scheduler = Scheduler(
            self.config, self.state, self.share, claimer, self.running, self.publisher, isolation
        )
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
        """Read the configuration again. Some settings need a restart; after any failure everything is as it was."""
        try:
            fresh = loader.load(self.config_path)
            if fresh.paths != self.config.paths or fresh.work != self.config.work:
                logger.warning("changes in [paths] and [work] take effect after a restart")
            fresh = fresh.model_copy(update={"paths": self.config.paths, "work": self.config.work})
            metrics = self._metrics_for(fresh)
            self.log_file = logging_setup.setup(fresh.log, fresh.paths.log)
        except Exception as error:
            logger.error("configuration not reloaded: {}", describe(error))
            return
        self.best_effort.run("notifications_failing", self._notify)  # of what finished under the old settings
        self.config, self.metrics = fresh, metrics
        jobs = (self.isolation, self.running, self.changes, self.publisher, self.scheduler, self.executor)
        for part in (self.inbox, *jobs, self.snapshots, self.notifier):
            part.config = fresh
        self.thread.deadline_s = fresh.inbox.io_deadline_s
        logger.info("configuration reloaded")
        self._log_missing_requirements()

    def _metrics_for(self, config: Config) -> Metrics | None:
        """Return the metrics, if wanted; switched on now, they count from now on."""
        return (self.metrics or Metrics(self.state.finished)) if config.metrics.textfile else None

    def _log_missing_requirements(self) -> None:
        for fault in requirements.missing(self.config.render, self.config.paths.models):
            logger.error("{}", catalog.text(fault.code, fault.fields))

    def _tick(self) -> None:
        """One pass of the main loop: report the state to systemd and the command line. Touches local files only."""
        self.share.notice_hang()
        self.best_effort.run("status_not_writable", self._show)
        self.best_effort.run("notifications_failing", self._notify)
        if self.once and not self.stopping.is_set():
            self._stop_once_done()
        self.systemd.alive()

    def _show(self) -> None:
        self.snapshots.warnings = self._warnings()
        snapshot = self.snapshots.build()
        if self.stopping.is_set():
            snapshot = snapshot.model_copy(update={"state": "stopped", "current": None, "beside": ()})
        self.systemd.status(snapshot.line())
        self.best_effort.run("metrics_failing", lambda: self._write_metrics(snapshot))
        if self.observe is not None:
            self.observe(snapshot)
        self.reporter.report(self.config, snapshot, time.monotonic())

    def _warnings(self) -> tuple[HeygemdError, ...]:
        """Return what fails without stopping any job."""
        others = (self.watch.problem, self.log_file.problem if self.log_file else None)
        return (*self.best_effort.faults.values(), *(each for each in others if each is not None))

    def _notify(self) -> None:
        self.notifier.update(self.state.finished, self.share.problem or self.state.paused_by, time.time())

    async def _apply_retention(self) -> None:
        """Delete or archive old folders if the configuration asks for it; only while the share is there."""
        if self.scanned and self.share.problem is None and retention.enabled(self.config):
            known = retention.finish_times(self.state.finished)
            steps = await self.thread.drain(retention.plan(self.config, time.time(), known))
            for step in self.announcements.due(self.config, steps, time.monotonic()):
                await self.thread.drain(retention.carry_out(self.config, step))
        await asyncio.sleep(retention.pause_s(self.config) if self.scanned else TICK_S)

    def _write_metrics(self, snapshot: Snapshot) -> None:
        """Write the metrics every EVERY_S seconds, and at the end. Raises OSError."""
        due = time.monotonic() - self._metrics_at >= EVERY_S or self.stopping.is_set()
        if self.metrics is None or not due:
            return
        self._metrics_at = time.monotonic()
        self.metrics.update(snapshot, self.state.finished, time.time())
        self.metrics.write(Path(self.config.metrics.textfile))

    async def _forever(self, part: Callable[[], Awaitable[None]]) -> None:
        """Repeat a part of the daemon, also after an unexpected error: no job may end the service."""
        while not self.stopping.is_set():
            try:
                await part()
            except (InfrastructureError, NotReady, OSError) as error:
                self.isolation.pause_queue(error)
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
        timeless = snapshot.timeless()
        due = timeless != self._shown or time.monotonic() - self._shown_at > share_pages.HEARTBEAT_S
        if self.share.reachable and (self.scanned or self.share.problem is not None) and due:
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
        live = live_view.files(self.state.running)
        root, group = self.share.root, self.share.group
        self._live = await self.thread.call(live_view.write, root, self._live, live, group)
        await self.thread.call(share_pages.write, self.share.root, self._on_share, content, self.share.group)

    async def _write_last_page(self) -> None:
        """Let the page say that the daemon stopped, if the share answers at once."""
        if self.share.reachable and not self.thread.hung and self.scanned:
            snapshot = self.snapshots.build().model_copy(update={"state": "stopped"})
            with contextlib.suppress(Exception):
                async with timeout(LAST_PAGE_S):
                    await self._write_page(snapshot)

    def _stop_once_done(self) -> None:
        """Stop when nothing is left to do, or when share or disk have been unavailable for ONCE_WAITS_S."""
        unavailable = self.share.problem or (not self.state.running and self.state.paused_by)
        if not unavailable:
            self._unavailable_since = None
        elif self._unavailable_since is None:
            self._unavailable_since = time.monotonic()
        elif time.monotonic() - self._unavailable_since >= ONCE_WAITS_S:
            self.gave_up = True
        if self.gave_up or (not unavailable and self._nothing_left()):
            self.stopping.set()

    def _nothing_left(self) -> bool:
        """Return whether everything left waits for a user."""
        state = self.state
        idle = not state.running and all(job.id in state.backing_off for job in state.active)
        pending = [p for p in state.pending.values() if not (state.inbox_paused and p.job is not None)]
        return self.scanned > 1 and idle and all(self.inbox.waits_for_user(p) for p in pending)

    def _exit_code(self) -> int:
        done = self.state.finished[self._finished_before :]
        failed = any(j.problem or any(v.state == "failed" for v in j.videos) for j in done)
        left = self.state.active or self.state.pending or self.state.loose_files
        if self.gave_up:
            return Exit.UNAVAILABLE
        return Exit.SOME_FAILED if self.once and (failed or left) else Exit.OK


def _instance(state: Path) -> str:
    """Return this installation's id, created at the first start."""
    path = state / "instance"
    if not path.exists():
        atomic.write(path, uuid.uuid4().hex.encode())
    return atomic.read(path).decode().strip()


async def _sleep_or(event: asyncio.Event, seconds: float) -> None:
    """Sleep until the event, but not longer than `seconds`."""
    with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
        async with timeout(seconds):
            await event.wait()
