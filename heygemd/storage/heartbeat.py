"""Whether another daemon serves the same share: each writes a line with a changing word into the share's marker.

Words are compared for equality only, because clocks differ. The marker is overwritten in place and never made: it must
not appear where the share is not mounted.
"""

from __future__ import annotations

import socket
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from ..errors import HeygemdError, describe, printable
from . import share_fs
from .io_thread import ShareThread
from .share_layout import MARKER

BEAT_S = 20.0
GONE_AFTER = 4
"""A daemon whose word stayed the same for so many beats has ended."""
MARKER_BYTES = 4096


class Beat(NamedTuple):
    """What a daemon last wrote; `word` is another one each time."""

    word: str
    host: str


def parse(marker: bytes) -> dict[str, Beat]:
    """Return the beats in a marker by the daemons' instance ids; what is no beat is ignored."""
    lines = (line.split(" ", 2) for line in marker.decode("utf-8", "replace").splitlines()[1:])
    return {parts[0]: Beat(parts[1], printable(parts[2])) for parts in lines if len(parts) == 3 and all(parts)}


def read(root: Path) -> dict[str, Beat]:
    """Return the beats in a share's marker. Raises the faults of `share_fs`."""
    return parse(share_fs.read(root / MARKER, MARKER_BYTES))


class Heartbeat:
    """Writes this daemon's beat and watches those of others."""

    def __init__(self, root: Path, thread: ShareThread, instance: str) -> None:
        """`instance`: this installation's id."""
        self.root = root
        self.thread = thread
        self.instance = instance
        self.other = ""
        """The host of another daemon that is alive."""
        self._seen: dict[str, tuple[Beat, int]] = {}
        self._alive: set[str] = set()
        self._next = 0.0

    async def check(self) -> None:
        """Beat and look at the others, once every BEAT_S. A marker that cannot be written only hides us from others."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + BEAT_S
        try:
            self._look(await self.thread.call(_beat, self.root, self.instance, self._ended()))
        except (HeygemdError, OSError) as error:
            logger.debug("cannot write a heartbeat: {}", describe(error))

    def _ended(self) -> set[str]:
        return {instance for instance, (_, same) in self._seen.items() if same >= GONE_AFTER}

    def _look(self, beats: dict[str, Beat]) -> None:
        """Take in the others' beats."""
        self._alive &= beats.keys()
        for instance, beat in beats.items():
            before, same = self._seen.get(instance, (beat, 0))
            same = same + 1 if before == beat else 0
            self._seen[instance] = beat, same
            if before != beat:
                self._alive.add(instance)
            elif same >= GONE_AFTER:
                self._alive.discard(instance)
        other = next((beats[instance].host for instance in sorted(self._alive)), "")
        if other and not self.other:
            logger.warning("another heygemd, on {}, serves this share too: each job is done by only one of them", other)
        elif self.other and not other:
            logger.info("the other heygemd no longer serves this share")
        self.other = other


def _beat(root: Path, instance: str, ended: set[str]) -> dict[str, Beat]:
    """Write our beat into the marker, without those of `ended` daemons; return the beats of others."""
    marker = share_fs.read(root / MARKER, MARKER_BYTES)
    others = {key: beat for key, beat in parse(marker).items() if key != instance}
    kept = {key: beat for key, beat in others.items() if key not in ended}
    lines = {**kept, instance: Beat(uuid.uuid4().hex[:8], socket.gethostname())}
    text = b"\n".join([marker.split(b"\n")[0], *(f"{key} {b.word} {b.host}".encode() for key, b in lines.items())])
    if len(text) < MARKER_BYTES:
        share_fs.overwrite(root / MARKER, text + b"\n")
    return others
