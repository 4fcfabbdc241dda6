"""The daemon: starts its parts in order, beats once a second, stops them in reverse.

Five tasks in one event loop. Scanning, working and page-writing wait for the share; the beat never does, and only the
beat pings systemd's watchdog: a hung share is reported, a hung loop is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import signal
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from loguru import logger

from .. import __version__, logging_setup
from ..config import loader
from ..config.schema import Config
from ..errors import ConfigError, InfrastructureError, NotReady, describe
from ..i18n import catalog
from ..storage import atomic
from ..storage.availability import ShareAvailability
from ..storage.io_thread import ShareThread
from ..weights import requirements
from .executors.local import executor
from .intake.inbox import Inbox
from .intake.inotify import Watch
from .job_store import Store
from .jobs import recovery
from .jobs.running import HEED_S
from .jobs.scheduler import Scheduler
from .publish import retention
from .status import builder
from .status.metrics import EVERY_S, Metrics
from .status.notifications import Herald
from .status.snapshot import Snapshot
from .status.systemd_notify import Notifier

BEAT_S = 1.0
CRASH_PAUSE_S = 30.0
GOODBYE_S = 2.0
EXIT_OK, EXIT_FAILED_JOBS, EXIT_SECOND_DAEMON = 0, 3, 75

Observer = Callable[[Snapshot], None]


def run(settings: Config, config_path: Path | None, *, once: bool = False, observe: Observer | None = None) -> int:
    """Serve the share until SIGTERM; with `once`, until the inbox is worked off. Returns the exit code.

    `observe` is called with a snapshot every second. Exit codes: 0 ok, 3 (`once`) something failed, 75 another daemon
    runs.
    """
    logging_setup.setup(settings.log, settings.paths.log)
    settings.paths.state.mkdir(parents=True, exist_ok=True)
    lock = open(settings.paths.state / "lock", "a")  # noqa: SIM115  held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.error("another heygemd already runs with the records in {}; stop it first", settings.paths.state)
        return EXIT_SECOND_DAEMON
    with lock:
        return asyncio.run(Service(settings, config_path, once, observe).serve())


class Service:
    """All parts of the daemon and their life."""

    def __init__(self, settings: Config, config_path: Path | None, once: bool, observe: Observer | None) -> None:
        """Builds nothing that touches the share; needs no running loop."""
        self.config = settings
        self.config_path = config_path
        self.once = once
        self.observe = observe
        self.notifier = Notifier()
        self.stopping = asyncio.Event()
        self.wake = asyncio.Event()
        self.scanned = 0
        self._shown: Snapshot | None = None
        self._shown_at = 0.0
        self._measured = -EVERY_S
        self._on_share: dict[str, bytes] = {}
        self._finished_before = 0

    async def serve(self) -> int:
        """Run until stopped; return the exit code."""
        self._build()
        self._catch_signals()
        recovery.resume(self.store, self.scheduler, self.config)
        self._finished_before = len(self.scheduler.finished)
        self.herald = Herald(self.config, self.scheduler.finished)
        self.metrics = Metrics(self.scheduler.finished) if self.config.metrics.textfile else None
        self.notifier.ready()
        logger.info("heygemd {} serves {}", __version__, self.config.paths.share)
        self._tell_what_is_lacking()
        tasks = [asyncio.create_task(self._forever(part)) for part in self._parts()]
        try:
            while not self.stopping.is_set():
                self._beat()
                await _sleep_or(self.stopping, BEAT_S)
        finally:
            self.notifier.stopping()
            logger.info("stopping")
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.scheduler.runs.stop()
            await self.executor.close()
            self.watch.stop()
        self._beat()
        await self._say_goodbye()
        self.thread.close()
        self.notifier.close()
        return self._exit_code()

    def _parts(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return self._scan, self._work, self._heed, self._show, self._tidy

    def _build(self) -> None:
        loop = asyncio.get_running_loop()
        self.store = Store(self.config.paths.state)
        self.thread = ShareThread(self.config.paths.share, self.config.inbox.io_deadline_s)
        self.guard = ShareAvailability(self.config.paths.share, self.thread)
        self.watch = Watch(lambda: loop.call_soon_threadsafe(self.wake.set))
        self.inbox = Inbox(self.config, self.guard, self.watch)
        instance = _instance(self.config.paths.state)
        self.executor = executor(self.config)
        self.scheduler = Scheduler(self.config, self.store, self.guard, self.inbox, instance, self.executor)
        self.strays = recovery.Strays(self.config, self.scheduler)
        self.board = builder.Board(self.config, self.scheduler)
        self.notices = retention.Notices()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        """Read the settings again; a mistake in them changes nothing. Paths need a restart."""
        try:
            fresh = loader.load(self.config_path)
        except ConfigError as error:
            logger.error("settings not reloaded: {}", describe(error))
            return
        if fresh.paths != self.config.paths or fresh.work != self.config.work:
            logger.warning("changed paths and places of work take effect after a restart")
        self.config = fresh.model_copy(update={"paths": self.config.paths, "work": self.config.work})
        for part in (self.inbox, self.scheduler, self.board, self.herald, self.executor):
            part.config = self.config
        self.thread.deadline_s = self.config.inbox.io_deadline_s
        logging_setup.setup(self.config.log, self.config.paths.log)
        self.scheduler.log_sinks.clear()
        logger.info("settings reloaded")
        self._tell_what_is_lacking()

    def _tell_what_is_lacking(self) -> None:
        for fault in requirements.lacking(self.config.render, self.config.paths.models):
            logger.error("{}", catalog.text(fault.code, fault.fields))

    def _beat(self) -> None:
        """One pass of the main loop: tell systemd and the CLI how things are. Touches local files only."""
        self.guard.notice_hang()
        snapshot = self.board.snapshot()
        if self.stopping.is_set():
            snapshot = snapshot.model_copy(update={"state": "stopped", "current": None, "beside": ()})
        self.notifier.status(snapshot.line())
        try:
            builder.write_local(self.config, snapshot)
        except (InfrastructureError, NotReady, OSError) as error:
            logger.warning("cannot write the status: {}", describe(error))
        if self.observe is not None:
            self.observe(snapshot)
        self.herald.notice(self.scheduler.finished, self.guard.problem or self.scheduler.paused, time.time())
        self._measure(snapshot)
        if self.once and self._worked_off():
            self.stopping.set()
        self.notifier.alive()

    async def _tidy(self) -> None:
        """Put old folders away, where that was asked for; the share must be known to be there."""
        if self.scanned and self.guard.problem is None and retention.wanted(self.config):
            steps = await self.thread.drain(retention.plan(self.config, time.time()))
            for step in self.notices.due(self.config, steps, time.monotonic()):
                await self.thread.drain(retention.carry_out(self.config, step))
        await asyncio.sleep(retention.pause_s(self.config) if self.scanned else BEAT_S)

    def _measure(self, snapshot: Snapshot) -> None:
        """Write what Prometheus reads, now and then, and at the end."""
        due = time.monotonic() - self._measured >= EVERY_S or self.stopping.is_set()
        if self.metrics is None or not due:
            return
        self._measured = time.monotonic()
        self.metrics.update(snapshot, self.scheduler.finished, time.time())
        try:
            self.metrics.write(Path(self.config.metrics.textfile))
        except OSError as error:
            logger.warning("cannot write the metrics: {}", describe(error))

    async def _forever(self, part: Callable[[], Awaitable[None]]) -> None:
        """Repeat a part; a fault nobody foresaw is logged and the part goes on, so that no job ends the service."""
        while True:
            try:
                await part()
            except (InfrastructureError, NotReady, OSError) as error:
                self.scheduler.pause(error)
                await asyncio.sleep(BEAT_S)
            except Exception:
                logger.exception("unexpected fault in {}; going on in {} s", part.__name__, CRASH_PAUSE_S)
                await asyncio.sleep(CRASH_PAUSE_S)

    async def _scan(self) -> None:
        """Look at the share and the inbox, then wait for the next time or an event."""
        self.wake.clear()
        if await self.guard.check():
            self._watch_inbox()
            await self.inbox.scan()
            await self.strays.check()
            self.scanned += 1
        await _sleep_or(self.wake, self.config.inbox.poll_s)

    def _watch_inbox(self) -> None:
        mount = self.guard.mount
        if mount is not None and not mount.network and not self.watch.running:
            self.watch.start(self.inbox.path)

    async def _work(self) -> None:
        """Do or begin the next piece of work, or wait a moment for one."""
        ended = self.scheduler.runs.ended
        ended.clear()
        if not await self.scheduler.step():
            await _sleep_or(ended, min(BEAT_S, self.config.inbox.poll_s))

    async def _heed(self) -> None:
        await self.scheduler.runs.heed()
        await asyncio.sleep(HEED_S)

    async def _show(self) -> None:
        """Write the page on the share when the picture changed, and now and then to show that somebody is there."""
        await self._look_for_moved()
        picture = self.board.snapshot()
        timeless = picture.model_copy(update={"updated": ""})
        due = timeless != self._shown or time.monotonic() - self._shown_at > builder.HEARTBEAT_S
        if self.guard.problem is None and self.scanned and due:
            try:
                await self._write_page(picture)
                self._shown, self._shown_at = timeless, time.monotonic()
            except (NotReady, OSError) as error:  # somebody holds it open, or something else has its name
                logger.warning("cannot write the page: {}", describe(error))
                await asyncio.sleep(builder.HEARTBEAT_S)
        await asyncio.sleep(self.config.pages.refresh_s)

    async def _look_for_moved(self) -> None:
        """Learn which finished folders staff took away: the page must not lead there."""
        if self.guard.problem is None and self.scanned:
            recent = self.scheduler.finished[-builder.RECENT :]
            with contextlib.suppress(NotReady):  # what cannot be looked at now is looked at the next time
                self.board.gone = await self.thread.call(builder.gone, self.guard.root, recent)

    async def _write_page(self, picture: Snapshot) -> None:
        content = builder.share_files(picture, self.config)
        await self.thread.call(builder.write_share, self.guard.root, self._on_share, content, self.scheduler.group)

    async def _say_goodbye(self) -> None:
        """Let the page say that nobody works, if the share answers at once."""
        if self.guard.problem is None and not self.thread.hung and self.scanned:
            picture = self.board.snapshot().model_copy(update={"state": "stopped"})
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._write_page(picture), GOODBYE_S)

    def _worked_off(self) -> bool:
        """Whether nothing is left that would finish without somebody's help."""
        final = ("needs_", "too_many_", "copy_stopped", "held", "folder_", "no_permission")
        stuck = [p for p in self.inbox.pending.values() if p.reason and p.reason.code.startswith(final)]
        idle = not self.scheduler.runs and all(j.id in self.scheduler.resting for j in self.scheduler.active)
        return self.scanned > 1 and idle and len(stuck) == len(self.inbox.pending)

    def _exit_code(self) -> int:
        done = self.scheduler.finished[self._finished_before :]
        bad = self.scheduler.active or any(j.problem or any(v.state == "failed" for v in j.videos) for j in done)
        return EXIT_FAILED_JOBS if self.once and bad else EXIT_OK


def _instance(state: Path) -> str:
    """Return this installation's own id, made at the first start."""
    path = state / "instance"
    if not path.exists():
        atomic.write(path, uuid.uuid4().hex.encode())
    return path.read_text().strip()


async def _sleep_or(event: asyncio.Event, seconds: float) -> None:
    """Sleep, but no longer than until the event."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except (TimeoutError, asyncio.TimeoutError):
        return
