"""A snapshot of the daemon as plain data, which is the content of status.json; schema: docs/status.schema.json.

Its parts are dataclasses with slots: of a long queue there are thousands, and models take three times the memory.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass

from ... import __version__
from ...errors import printable
from ...i18n.catalog import Text

SCHEMA = 1
State = Literal["idle", "working", "paused", "share-unavailable", "stopped"]


@dataclass(frozen=True, slots=True)
class VideoView:
    """One video of a job.

    phase      of a running video: copy-in, analyse, prepare, render, measure
    percent    of the whole video; fps: frames per second in this phase; eta_s: seconds left, None if unknown
    text       why it failed, by language
    warnings   of a finished video: one text by language for each
    link       the finished video, percent-encoded; thumbnail: a small JPEG of it
    picture    the latest frame of a running video, "" if there is none yet; clip: its first seconds as an MP4
    faces      a JPEG in which the faces are numbered, where there are several
    """

    name: str
    state: Literal["waiting", "running", "done", "failed"]
    phase: str = ""
    percent: float = 0
    fps: float = 0
    eta_s: float | None = None
    text: Text = field(default_factory=dict)
    warnings: tuple[Text, ...] = ()
    link: str = ""
    thumbnail: str = ""
    picture: str = ""
    clip: str = ""
    faces: str = ""


@dataclass(frozen=True, slots=True)
class JobView:
    """One folder.

    id         distinguishes folders of the same name; constant from claim to end
    state      held, copying, settling, waiting, ready (in the inbox); claiming, claimed, publishing; done, failed
    folder     its path in the share, "" if a finished one was moved away
    link       its report, percent-encoded, if there is one
    text       what it waits for or why it failed, by language
    omitted    how many more of its videos are done; of a finished job, `videos` holds only the first of these
    arrived, finished   ISO 8601 with the server's offset, "" if unknown
    """

    id: str
    name: str
    state: str
    folder: str = ""
    link: str = ""
    text: Text = field(default_factory=dict)
    videos: tuple[VideoView, ...] = ()
    omitted: int = 0
    arrived: str = ""
    finished: str = ""

    @property
    def done(self) -> int:
        """How many of its videos are done."""
        return sum(video.state == "done" for video in self.videos) + self.omitted

    @property
    def total(self) -> int:
        """How many videos it has."""
        return len(self.videos) + self.omitted


@dataclass(frozen=True, slots=True)
class Health:
    """Version, free space in GiB (None if unknown), the names of the GPUs.

    warnings   what fails without stopping any job, by language: the log, notifications, metrics, file events
    """

    version: str = __version__
    gpus: tuple[str, ...] = ()
    share_free_gib: float | None = None
    disk_free_gib: float | None = None
    warnings: tuple[Text, ...] = ()


class Snapshot(BaseModel):
    """Everything at one moment; all names are safe to print, all links are relative to the share.

    state    of the whole daemon; detail: the reason, by language
    current  the job being rendered; beside: others that are rendered at the same time
    queue    what comes next, in order
    waiting  folders that are not ready, with the reason; "inbox" if files lie directly in it; what lies beside inbox
    recent   finished jobs, newest first
    updated  ISO 8601; at most a minute old while daemon and share are up
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA
    state: State
    detail: Text = {}
    current: JobView | None = None
    beside: tuple[JobView, ...] = ()
    queue: tuple[JobView, ...] = ()
    waiting: tuple[JobView, ...] = ()
    recent: tuple[JobView, ...] = ()
    health: Health = Health()
    updated: str = ""

    @property
    def working(self) -> tuple[JobView, ...]:
        """All jobs being rendered."""
        return (self.current, *self.beside) if self.current else ()

    @property
    def running(self) -> list[VideoView]:
        """All videos being rendered."""
        return [video for job in self.working for video in job.videos if video.state == "running"]

    def timeless(self) -> Snapshot:
        """Return the snapshot without its time: equal to another one if nothing happened between them."""
        return self.model_copy(update={"updated": ""})

    def as_json(self) -> bytes:
        """Return the content of status.json."""
        return (self.model_dump_json() + "\n").encode("utf-8", "replace")

    def line(self) -> str:
        """Return the one line that `systemctl status` shows."""
        if self.state == "working" and self.current is not None:
            percent = "".join(f" {v.name} {v.percent:.0f}%" for v in self.running[:1])
            more = f" and {len(self.running) - 1} more videos" if len(self.running) > 1 else ""
            done = f"{self.current.done} of {self.current.total} done"
            return f"{self.current.name}: {done},{percent}{more}; {len(self.queue)} queued"
        detail = f": {_first(self.detail)}" if self.detail else ""
        stuck = next((f" ({j.name}: {_first(j.text)})" for j in (*self.queue, *self.waiting) if j.text), "")
        return printable(f"{self.state}{detail}; {len(self.queue)} queued, {len(self.waiting)} waiting{stuck}")


def _first(text: Text) -> str:
    return next(iter(text.values()), "")
