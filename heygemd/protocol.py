"""What the daemon and a renderer say to each other, and nothing else.

The daemon starts `python -m heygemd.render.worker REQUEST EVENT_FD PARENT_PID CACHE`; REQUEST appears (by rename) when
the input lies in scratch. The renderer answers with one JSON object a line on the file descriptor EVENT_FD, ending in
Done or Failed. Its exit status is only a second opinion: without Done or Failed the renderer was lost.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .config.schema import Attempts, Limits, Render
from .errors import (
    DeadlineExceeded,
    EngineError,
    HeygemdError,
    InfrastructureError,
    InputError,
    NotInstalled,
    WorkerLost,
)

Phase = Literal["analyse", "study", "render", "measure"]
Picture64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$", max_length=1 << 20)]
Curve = Annotated[tuple[Annotated[float, Field(ge=0, le=1)] | None, ...], Field(max_length=10_000)]


class Message(BaseModel):
    """A frozen message; unknown fields are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RenderRequest(Message):
    """One video's attempt. All paths are local and neutral: no name chosen by a person is in them.

    voice, video                inputs in scratch
    voice_digest, video_digest  BLAKE2 of their content, the keys of the cache
    output                      the MP4 to make (in scratch; written as a .part file beside it, fsynced, renamed);
                                its Evidence lies beside it with the ending .json
    scratch                     an empty folder for this attempt, removed by the daemon
    cache                       content-hash cache shared by all videos
    """

    voice: Path
    video: Path
    voice_digest: str
    video_digest: str
    output: Path
    scratch: Path
    cache: Path
    models: Path
    settings: Render
    limits: Limits


CONTROL_MS = 200


class JudgeRequest(Message):
    """A talking video to be judged as it is.

    video    a neutral copy in scratch
    voice    the sound to judge it against; the video itself for its own sound track
    scratch  an empty folder for this request
    """

    video: Path
    voice: Path
    scratch: Path
    models: Path
    settings: Render
    limits: Limits


REQUEST: TypeAdapter[RenderRequest | JudgeRequest] = TypeAdapter(RenderRequest | JudgeRequest)


class Ready(Message):
    """Imports are done; the request is awaited."""

    type: Literal["ready"] = "ready"


class Progress(Message):
    """Work done in a phase, in frames; `percent` is over the whole video, monotonic. Doubles as the heartbeat."""

    type: Literal["progress"] = "progress"
    phase: Phase
    done: int
    total: int
    percent: float
    fps: float = 0.0


class Found(Message):
    """Something people should know about this video or voice; not a failure."""

    type: Literal["found"] = "found"
    code: str
    fields: dict[str, Any] = {}


class LogLine(Message):
    """A log record of the renderer; only the daemon owns sinks."""

    type: Literal["log"] = "log"
    level: str
    message: str


class Verdict(Message):
    """Lips against voice, measured on a finished file, and two controls of the measure itself.

    fps                            of the file, "30000/1001"
    offset_ms, offset_confidence   positive: lips late; None if it cannot be told (confidence below 1)
    moved_ms                       by how much the measure moves when the sound is moved by CONTROL_MS, in ms
    backwards_confidence           of the same lips against the same sound played backwards
    """

    fps: str
    offset_ms: float | None = None
    offset_confidence: float = 0.0
    moved_ms: float | None = None
    backwards_confidence: float = 0.0

    @property
    def offset_frames(self) -> float | None:
        """The offset in frames of the file."""
        return None if self.offset_ms is None else round(self.offset_ms * float(Fraction(self.fps)) / 1000, 2)


class Result(Verdict):
    """A finished video.

    frames, duration_s, width, height   of the output, measured on the file
    seconds                             wall time by phase
    """

    frames: int
    duration_s: float
    width: int
    height: int
    engine: str
    tracker: str
    seconds: dict[str, float] = {}
    peak_memory_mib: float = 0.0


class Evidence(Message):
    """What the report shows of a finished video; written as JSON beside it, never trusted beyond pictures and numbers.

    moments_s    times in the strip
    strip        JPEG in base64: the mouth at each moment, above in the source, below in the result; "" without a face
    thumbnail    JPEG in base64 of one frame
    curve_hz     samples a second of `lips` (opening) and `voice` (loudness), 0 to 1, None where no face was seen
    """

    moments_s: tuple[float, ...]
    strip: Picture64
    thumbnail: Picture64
    curve_hz: Annotated[int, Field(gt=0, le=100)]
    lips: Curve
    voice: Curve


class Done(Message):
    """What was asked for is done; a rendered video lies at the request's output."""

    type: Literal["done"] = "done"
    result: Result | Verdict


Kind = Literal["input", "installation", "infrastructure", "lost", "late", "engine"]
KINDS: dict[Kind, type[HeygemdError]] = {
    "input": InputError,
    "installation": NotInstalled,
    "infrastructure": InfrastructureError,
    "lost": WorkerLost,
    "late": DeadlineExceeded,
    "engine": EngineError,
}
"""The narrower class before the wider."""


class Failed(Message):
    """Why the video could not be made; `kind` says who must act (see errors.py)."""

    type: Literal["failed"] = "failed"
    kind: Kind
    code: str
    fields: dict[str, Any] = {}
    detail: str = ""

    def error(self) -> HeygemdError:
        """Return the typed error this stands for."""
        return KINDS[self.kind](self.code, detail=self.detail, **self.fields)


Event = Annotated[Ready | Progress | Found | LogLine | Done | Failed, Field(discriminator="type")]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def failed(error: BaseException) -> Failed:
    """Return the message for an exception raised while rendering."""
    if isinstance(error, HeygemdError):
        kind: Kind = next((kind for kind, typed in KINDS.items() if isinstance(error, typed)), "engine")
        return Failed(kind=kind, code=error.code, fields=error.fields, detail=error.detail)
    if isinstance(error, OSError) and error.errno in (28, 122):  # ENOSPC, EDQUOT: the disk, not the video
        return Failed(kind="infrastructure", code="scratch_full", detail=str(error))
    return Failed(kind="engine", code="engine_error", detail=f"{type(error).__name__}: {error}")


def send(fd: int, event: Message) -> None:
    """Write one event as one line; raises BrokenPipeError when the daemon is gone."""
    data = event.model_dump_json().encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


def parse(line: bytes) -> Event | None:
    """Return the event of a line, or None for what is not one (a dying process can leave half a line)."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None


class Order(Message):
    """The daemon to the bridge: let a video be rendered somewhere in the cluster, under a number of the daemon's."""

    number: int
    job: str
    request: RenderRequest
    audio_s: float
    attempts: Attempts


class Stop(Message):
    """The daemon to the bridge: end what is done for this number."""

    number: int
    stop: Literal[True] = True


class Answer(Message):
    """The bridge to the daemon: what was said of a number; None: nothing of it runs any more."""

    number: int
    event: Event | None


class Capacity(Message):
    """The bridge to the daemon, every few seconds: the cluster is there and has room for so many videos."""

    slots: int


class Trouble(Message):
    """The bridge to the daemon, as its last word: the cluster cannot be used."""

    reason: str


ORDERS: TypeAdapter[Order | Stop] = TypeAdapter(Order | Stop)
ANSWERS: TypeAdapter[Answer | Capacity | Trouble] = TypeAdapter(Answer | Capacity | Trouble)
