"""What lies where no job is looked for: files directly in inbox/, folders and files beside it.

Each kind has its own message. With `inbox.loose_files = "job"`, one voice and its videos become a job: they are
gathered in a hidden folder, which then appears under the voice's name by one rename. After a crash in between they are
put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from time import strftime

from loguru import logger

from ...config.schema import Config
from ...errors import NotReady, describe
from ...fault_points import point
from ...i18n import catalog
from ...job import safe_stem
from ...protocol import Notice
from ...storage import share_fs, transfer
from ...storage.availability import ShareAvailability
from ...storage.share_fs import Entry
from ...storage.share_layout import FOLDERS, LIVE_VIEW, TEMPLATES
from ...storage.transfer import Steps
from ..queue_state import QueueState
from . import filename_rules, notes
from .filename_rules import input_kind, is_photo, kind_by_name

GATHERING = ".heygemd-loose"
"""In inbox/, while loose files become a job; scans ignore hidden folders."""
LOOK_BESIDE_S = 15.0


class Misplaced:
    """Reports misplaced files and folders in the queue's state, and turns loose files into a job if that is set."""

    def __init__(self, state: QueueState, share: ShareAvailability) -> None:
        """Nothing is touched before a call."""
        self.state = state
        self.share = share
        self._loose: list[Entry] = []
        self._loose_since = 0.0
        self._note: bytes | None = None
        self._fault = ""
        self._looked_beside = -LOOK_BESIDE_S
        self._beside_since: dict[str, float] = {}

    async def update(self, config: Config, present: Sequence[Entry], now: float) -> None:
        """Look at what lies in the inbox itself (`present`: all that is no folder, our note too) and beside it.

        What cannot be used there is no folder's fault. Raises InfrastructureError.
        """
        try:
            await self._update(config, present, now)
            self._fault = ""
        except (NotReady, OSError) as error:
            if describe(error) != self._fault:
                logger.warning("cannot look after what lies beside the job folders: {}", describe(error))
            self._fault = describe(error)

    async def _update(self, config: Config, present: Sequence[Entry], now: float) -> None:
        inbox = self.share.root / "inbox"
        if await self.share.thread.call(share_fs.is_folder, inbox / GATHERING):
            await self.share.thread.drain(put_back(inbox))
            return  # the next scan sees what was put back
        loose = [
            e for e in present if not filename_rules.is_a("junk", e.name) and not filename_rules.control(e.name, e.kind)
        ]
        if loose != self._loose:
            self._loose, self._loose_since = loose, now
        still_s = now - self._loose_since
        wait_s = config.inbox.waiting_note_after_s
        as_job = config.inbox.loose_files == "job"
        self.state.loose_files = loose_notices(loose, wait_s if as_job else None)
        if as_job and still_s >= wait_s and (pair := loose_pair(loose)):
            await self._make_job(inbox, pair)
            return
        there = any(entry.name == filename_rules.LOOSE_NOTE for entry in present)
        await self._put_note(config, inbox / filename_rules.LOOSE_NOTE, there, there or still_s >= wait_s)
        await self._look_beside(config, now)

    async def _make_job(self, inbox: Path, pair: Sequence[Entry]) -> None:
        try:
            name = await self.share.thread.drain(gather(inbox, pair, self.share.group))
            logger.info("loose files became the folder inbox/{}", name)
        except (NotReady, OSError) as error:  # the next scan puts back what was moved
            logger.warning("cannot make a folder of loose files: {}", describe(error))
            self._loose = []

    async def _put_note(self, config: Config, path: Path, there: bool, due: bool) -> None:
        """Write, rewrite or remove the note about loose files; only when its text changes."""
        said = [(notice.code, notice.fields) for notice in self.state.loose_files]
        wanted = catalog.note_file(said, config.pages.languages) if said and due else None
        if wanted is None and there:
            await notes.put(self.share, path, None)
        elif wanted is not None and wanted != self._note:
            await notes.put(self.share, path, wanted)
        self._note = wanted

    async def _look_beside(self, config: Config, now: float) -> None:
        """Find job folders and media beside inbox/; a folder gets a note once it has been there for long enough."""
        if now - self._looked_beside < LOOK_BESIDE_S:
            return
        self._looked_beside = now
        root = self.share.root
        self.state.beside_inbox = await self.share.thread.call(find_beside, root, config.retention.archive_folder)
        self._beside_since = {name: self._beside_since.get(name, now) for name in self.state.beside_inbox}
        for name, since in self._beside_since.items():
            note = root / name / filename_rules.WAITING_NOTE
            is_folder = not kind_by_name(name) and not filename_rules.looks_like_pause(name)
            is_due = is_folder and now - since >= config.inbox.waiting_note_after_s
            if is_due and not await self.share.thread.call(share_fs.exists, note):
                text = catalog.note_file([("beside_inbox", {"name": name})], config.pages.languages)
                await notes.put(self.share, note, text)


def loose_pair(loose: Sequence[Entry]) -> list[Entry]:
    """Return one voice and its videos, or pictures where there is no video; nothing if that is not what lies there."""
    if any(filename_rules.copied_as(entry.name) for entry in loose):
        return []
    files = [entry for entry in loose if entry.kind == "file"]
    media = [entry for entry in files if kind_by_name(entry.name)]
    if not any(kind_by_name(entry.name) == "video" for entry in media):
        media += [entry for entry in files if is_photo(entry.name)]
    if [kind_by_name(entry.name) for entry in media].count("audio") != 1 or len(media) < 2:
        return []
    return sorted(media, key=lambda entry: kind_by_name(entry.name) != "audio")


def loose_notices(loose: Sequence[Entry], becomes_job_after_s: float | None = None) -> list[Notice]:
    """Return what to say about files that lie in the inbox itself; a time if a voice and videos become a job."""
    found = []
    pair = loose_pair(loose)
    if pair:
        voice, videos = pair[0].name, [entry.name for entry in pair[1:]]
        if becomes_job_after_s is None:
            found.append(Notice(code="loose_pair", fields={"voice": voice, "names": videos}))
        else:
            wait_s = round(becomes_job_after_s)
            found.append(Notice(code="loose_pair_waits", fields={"voice": voice, "names": videos, "wait_s": wait_s}))
    rest = [entry for entry in loose if entry not in pair]
    links = [e.name for e in rest if e.kind == "link" or filename_rules.is_a("shortcut", e.name)]
    archives = [e.name for e in rest if e.kind == "file" and filename_rules.is_a("archive", e.name)]
    others = [e.name for e in rest if e.name not in {*links, *archives}]
    for code, names in (("loose_shortcut", links), ("loose_archive", archives), ("loose_files", others)):
        if names:
            found.append(Notice(code=code, fields={"names": names, "count": len(names)}))
    return found


def gather(inbox: Path, pair: Sequence[Entry], group: int | None) -> Steps[str]:
    """Make a job folder of loose files, the voice first; return its name. After NotReady or OSError: see `put_back`."""
    hidden = inbox / GATHERING
    share_fs.make_folder(hidden, group)
    for entry in pair:
        if share_fs.fingerprint(inbox / entry.name) != (entry.size, entry.mtime_ns):
            raise NotReady("changed_while_copying", path=str(inbox / entry.name))
        share_fs.rename(inbox / entry.name, hidden / entry.name)
        point("gather")
        yield 0
    taken = {filename_rules.fold(name) for name in share_fs.names(inbox)}
    name = filename_rules.free_name(safe_stem(PurePath(pair[0].name).stem), taken, strftime("%Y%m%d-%H%M%S"))
    yield from transfer.move(hidden, inbox / name)
    return name


def put_back(inbox: Path) -> Steps[None]:
    """Return to the inbox what an interrupted `gather` moved, replacing nothing; a folder not ours is set aside."""
    hidden = inbox / GATHERING
    taken = {filename_rules.fold(name) for name in share_fs.names(inbox)}
    try:
        for name in share_fs.names(hidden):
            share_fs.rename(hidden / name, inbox / filename_rules.free_file_name(name, taken))
            yield 0
        share_fs.remove_folder(hidden)
    except NotReady:
        share_fs.set_aside(hidden)


def find_beside(share: Path, archive_folder: str) -> list[str]:
    """Return the names of job folders (with a voice and a presenter), media files and PAUSE that lie beside inbox/."""
    ours = {*FOLDERS, TEMPLATES}
    found = []
    for name in share_fs.names(share):
        path = share / name
        if name in ours or LIVE_VIEW.fullmatch(name) or filename_rules.skip_dir(name) or str(path) == archive_folder:
            continue
        if kind_by_name(name) or filename_rules.looks_like_pause(name) or _is_job_folder(path):
            found.append(name)
    return found


def _is_job_folder(path: Path) -> bool:
    try:
        kinds = {input_kind(name) for name in share_fs.names(path)} if share_fs.is_folder(path) else set()
        return "audio" in kinds and bool(kinds & {"video", "photo"})
    except NotReady:  # not ours to read
        return False
