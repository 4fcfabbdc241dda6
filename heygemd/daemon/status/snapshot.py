"""The picture of one moment as plain data: what status.json holds; its schema lies in docs/status.schema.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ... import __version__
from ...errors import printable
from ...i18n.catalog import Text

SCHEMA = 1
State = Literal["idle", "working", "paused", "share-unavailable", "stopped"]


class View(BaseModel):
    """A frozen part of the picture; all names are safe to print, all links are relative to the share."""

    model_config = ConfigDict(frozen=True)


class VideoView(View):
    """One video of a job.

    phase      of a running one: copy-in, analyse, study, render, measure
    percent    over the whole video; fps: pictures a second in this phase; eta_s: seconds left, None while unknown
    text       why it failed, by language
    warnings   done, but worth telling: a text by language for each
    link       the finished video, percent-encoded; thumbnail: a small JPEG of it
    """

    name: str
    state: Literal["waiting", "running", "done", "failed"]
    phase: str = ""
    percent: float = 0
    fps: float = 0
    eta_s: float | None = None
    text: Text = {}
    warnings: tuple[Text, ...] = ()
    link: str = ""
    thumbnail: str = ""


class JobView(View):
    """One folder.

    id         tells it from another of the same name, the same from arrival to end
    state      held, copying, settling, waiting, ready (in the inbox); claiming, claimed, publishing; done, failed
    folder     where it lies in the share, "" when somebody has moved a finished one away since
    link       its report, percent-encoded, while there is one
    text       what it waits for or why it failed, by language
    arrived, finished   ISO 8601 with the server's offset, "" while unknown
    """

    id: str
    name: str
    state: str
    folder: str = ""
    link: str = ""
    text: Text = {}
    videos: tuple[VideoView, ...] = ()
    arrived: str = ""
    finished: str = ""

    @property
    def done(self) -> int:
        """How many of its videos are done."""
        return sum(video.state == "done" for video in self.videos)


class Health(View):
    """What the service stands on. Free space in GiB, None while unknown; gpus: the graphics cards' names."""

    version: str = __version__
    gpus: tuple[str, ...] = ()
    share_free_gib: float | None = None
    disk_free_gib: float | None = None


class Snapshot(View):
    """Everything at one moment.

    state    what the daemon does as a whole; detail: why, by language
    current  the job being rendered; beside: others that are rendered at the same time
    queue    what follows, in order
    waiting  folders that are not ready, and why; "inbox" itself where files lie loose in it
    recent   finished ones, newest first
    updated  ISO 8601; written at least once a minute, so that silence means the daemon or the share is away
    """

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

    def line(self) -> str:
        """Return the one line that `systemctl status` shows."""
        if self.state == "working" and self.current is not None:
            percent = "".join(f" {v.name} {v.percent:.0f}%" for v in self.running[:1])
            more = f" and {len(self.running) - 1} more videos" if len(self.running) > 1 else ""
            done = f"{self.current.done} of {len(self.current.videos)} done"
            return f"{self.current.name}: {done},{percent}{more}; {len(self.queue)} queued"
        detail = f": {_first(self.detail)}" if self.detail else ""
        stuck = next((f" ({j.name}: {_first(j.text)})" for j in (*self.queue, *self.waiting) if j.text), "")
        return printable(f"{self.state}{detail}; {len(self.queue)} queued, {len(self.waiting)} waiting{stuck}")


def _first(text: Text) -> str:
    return next(iter(text.values()), "")
