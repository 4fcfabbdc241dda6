"""The schema of config.toml: frozen models, one for each table. Units and reasons are in config.example.toml."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..i18n import catalog

MIB, GIB = 1 << 20, 1 << 30
"""Bytes in the binary units that settings use."""
ENGINES = ("mesh", "wav2lip")
"""The engines that ship with heygemd."""
PLUGINS = "heygemd.engines"
"""The entry-point group in which other packages register engines."""
NOTIFY_FIELDS = ("event", "job", "folder", "done", "total", "why", "share", "host", "jobs", "good", "bad")
"""Placeholders that a template in notify.templates may use."""

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction01 = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]

TrackerName = Literal["auto", "facemesh", "face-alignment"]
DetectorName = Literal["s3fd", "blazeface"]
Quality = Literal["draft", "standard", "high"]
AudioLonger = Literal["pingpong", "loop", "hold", "trim"]
AudioShorter = Literal["cut", "keep"]
PreviewS = Annotated[float, Field(ge=0, le=60)]
PhotoMotion = Literal["still", "subtle"]
Subtitles = Literal["soft", "burn", "off"]
OriginalSound = Literal["drop", "keep"]
OriginalSoundDb = Annotated[float, Field(ge=-60, le=6)]
QUIETEST_LUFS, LOUDEST_LUFS = -31, -9


def _is_loudness(value: object) -> str:
    """Accept "off" and a loudness such as "-16 LUFS" or "-14.5 LUFS"."""
    text = value.strip() if isinstance(value, str) else ""
    found = re.fullmatch(r"(-\d{1,2}(?:\.\d)?) ?LUFS", text, re.IGNORECASE)
    if text == "off" or (found and QUIETEST_LUFS <= float(found[1]) <= LOUDEST_LUFS):
        return text
    raise PydanticCustomError(
        "loudness", f'must be "off" or {QUIETEST_LUFS} to {LOUDEST_LUFS} LUFS, such as "-16 LUFS"'
    )


Loudness = Annotated[str, BeforeValidator(_is_loudness)]
NotifyEvent = Literal["done", "failed", "paused", "recovered", "digest"]


MAX_FACES = 6
"""How many faces of a picture are followed at once."""
POSITIONS = {
    **dict.fromkeys(("left", "左", "左边", "左侧"), "left"),
    **dict.fromkeys(("right", "右", "右边", "右侧"), "right"),
    **dict.fromkeys(("middle", "center", "centre", "中", "中间"), "middle"),
}
"""Words for a face's position, as people write them."""


def _to_face(value: object) -> str | int:
    """Return "largest", "left", "right", "middle" or the number of a face, counted from the left."""
    word = value.strip().casefold() if isinstance(value, str) else ""
    if word in ("largest", "最大"):
        return "largest"
    if word in POSITIONS:
        return POSITIONS[word]
    number = int(word) if word.isdecimal() and len(word) < 3 else value
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= MAX_FACES:
        return number
    raise PydanticCustomError("face", "Input should be one of {expected}", {"expected": ", ".join(FACE_EXAMPLES)})


FACE_EXAMPLES = ("largest", "left", "right", "middle", f"1 … {MAX_FACES}")
Face = Annotated[str | int, PlainValidator(_to_face)]
"""Which of several faces speaks: a word of FACE_EXAMPLES, or a number counted from the left."""


def _has_catalogue(language: str) -> str:
    if language not in catalog.languages():
        raise ValueError(f"available languages: {', '.join(catalog.languages())}")
    return language


def _names_known_fields(template: str) -> str:
    unknown = {name for _, name, _, _ in Formatter().parse(template) if name is not None} - set(NOTIFY_FIELDS)
    if unknown:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(NOTIFY_FIELDS)}")
    return template


Language = Annotated[str, AfterValidator(_has_catalogue)]
"""The code of a language that has a message catalogue."""
Template = Annotated[str, AfterValidator(_names_known_fields)]
"""A text with the placeholders of NOTIFY_FIELDS."""


class Section(BaseModel):
    """A frozen table of settings; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Paths(Section):
    """The share, and heygemd's own folders: on local disks, outside the share."""

    share: Path = Path("/srv/heygemd")
    state: Path = Path("/var/lib/heygemd")
    cache: Path = Path("/var/cache/heygemd")
    log: Path = Path("/var/log/heygemd")
    models: Path = Path("/var/lib/heygemd/models")

    @property
    def private(self) -> tuple[Path, Path, Path]:
        """The folders that nobody but the service may enter."""
        return self.state, self.cache, self.log

    @property
    def outbox(self) -> Path:
        """Where the daemon leaves notifications for `heygemd notify` to send."""
        return self.state / "outbox"


class InboxSettings(Section):
    """How the inbox is watched and when a folder counts as complete."""

    poll_s: Positive = 5
    settle_local_s: Positive = 15
    settle_network_s: Positive = 30
    settle_nfs_cached_s: Positive = 65
    settle_zero_tail_s: Positive = 120
    incomplete_fail_after_h: Positive = 4
    waiting_note_after_s: Positive = 600
    waiting_fail_after_h: Positive = 24
    loose_files: Literal["note", "job"] = "note"
    io_deadline_s: Positive = 10


class Limits(Section):
    """What a file or folder may cost."""

    probe_timeout_s: Positive = 20
    max_files_per_job: Count = 64
    max_files_per_batch: Count = 2000
    max_file_gib: Positive = 50
    max_job_gib: Positive = 200
    max_pixels: Count = 8192 * 4320
    max_photo_pixels: Count = 200_000_000
    max_fps: Positive = 240
    max_audio_s: Positive = 3600
    max_video_s: Positive = 14400
    free_scratch_gib: NonNegative = 2
    free_share_gib: NonNegative = 1
    free_state_mib: NonNegative = 200


class Attempts(Section):
    """How often a video is tried and how long each attempt may take."""

    max_attempts: Count = 3
    retry_backoff_s: tuple[NonNegative, ...] = (30, 300)
    daemon_crash_limit: Count = 2
    blocked_fail_after_h: Positive = 24
    stall_s: Positive = 600
    deadline_base_s: Positive = 1800
    deadline_per_audio_s: Positive = 60
    stop_grace_s: Positive = 10


class Ray(Section):
    """The executor `ray`.

    address                         of the cluster, as Ray knows it; "auto": the one that this machine is part of
    num_gpus, num_cpus, memory_gib  reserved for each video; num_gpus may be a fraction, memory_gib = 0 reserves none
    exchange                        how files travel: "objects" (Ray's object store) or "shared" (paths.cache is a
                                    folder that every node has mounted at the same place)
    node_cache                      on each node's own disk: inputs by digest, face tracks, attempts in progress
    max_node_losses                 nodes that one attempt may lose before it counts as failed
    node_timeout_s                  without a message from a node before it counts as lost
    """

    address: str = "auto"
    num_gpus: NonNegative = 1
    num_cpus: Positive = 2
    memory_gib: NonNegative = 4
    exchange: Literal["objects", "shared"] = "objects"
    node_cache: Path = Path("/var/cache/heygemd-node")
    max_node_losses: Annotated[int, Field(ge=0)] = 3
    node_timeout_s: Positive = 90


class Work(Section):
    """Where videos are rendered, and how many at once."""

    executor: Literal["local", "ray"] = "local"
    workers: Count | Literal["per-gpu"] = 1
    ray: Ray = Ray()

    @field_validator("executor")
    @classmethod
    def _is_installed(cls, value: str) -> str:
        if value == "ray" and find_spec("ray") is None:
            raise ValueError("the package ray is not installed: pip install 'heygemd[ray]'")
        return value


class Wav2Lip(Section):
    """The engine `wav2lip`.

    checkpoint    path of the weights; empty: those in the models folder
    compat        reproduce the reference implementation exactly, defects included
    lead_ms       how much earlier than the reference's the audio window begins
    pads          padding above, below, left and right of the face, as fractions of its size
    delta         add only the network's change to the original pixels
    silence_gate  feed digital silence to the network during pauses
    """

    checkpoint: str = ""
    compat: bool = False
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    lead_ms: Annotated[float, Field(ge=-200, le=500)] = 40
    pads: tuple[Fraction01, Fraction01, Fraction01, Fraction01] = (0, 0.05, 0, 0)
    delta: bool = False
    silence_gate: bool = True


class Command(Section):
    """A third-party lip-sync program as an engine.

    argv, environment  may contain {video} {audio} {output} {fps} {device}
    folder             where the program is installed; it runs in a copy made of symbolic links, so this stays unchanged
    scratch_folders    folders in it that the program writes to: new and empty for each video
    output             where it leaves its result: a path or glob pattern, with the same placeholders
    progress           regular expression for its output: one group is percent, two are done and total
    """

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    environment: dict[str, str] = {}
    folder: Path | None = None
    scratch_folders: tuple[str, ...] = ()
    output: str = "{output}"
    progress: str = ""
    time_limit_s: Positive = 3600

    def is_installed(self) -> bool:
        """Return whether the program can be run; a relative path with a slash is relative to `folder`."""
        program = self.argv[0]
        path = str(self.folder / program) if self.folder is not None and "/" in program else program
        return shutil.which(path, path=self.environment.get("PATH")) is not None

    @model_validator(mode="after")
    def _has_placeholders(self) -> Command:
        texts = " ".join([*self.argv, *self.environment.values()])
        needed = ["{audio}", *(["{output}"] if self.output == "{output}" else [])]
        if missing := [placeholder for placeholder in needed if placeholder not in texts]:
            raise ValueError(f"argv or environment must contain {', '.join(missing)}")
        return self

    @field_validator("progress")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if value and groups not in (1, 2):
            raise ValueError("must have one group (percent) or two (done, total)")
        return value


def known_engine(name: str, commands: Collection[str]) -> str:
    """Return `name` if it is a shipped engine, one of `commands` or a plug-in; else raise PydanticCustomError."""
    if name in ENGINES or name in commands:
        return name
    known = sorted({*ENGINES, *commands, *(point.name for point in metadata.entry_points(group=PLUGINS))})
    if name not in known:
        expected = ", ".join(f"'{each}'" for each in known)
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
    return name


class Render(Section):
    """How videos are rendered."""

    command: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], Command] = Field(default={})
    """First, because `engine` may name one of them."""
    engine: str = "mesh"
    tracker: TrackerName = "auto"
    face: Face = "largest"
    channels: Literal["middle", "own"] = "middle"
    detector: DetectorName = "s3fd"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    quality: Quality = "standard"
    encoder: Literal["auto", "x264", "nvenc"] = "auto"
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "superfast"
    crf: Annotated[int, Field(ge=0, le=40)] = 18
    audio_longer: AudioLonger = "pingpong"
    audio_shorter: AudioShorter = "cut"
    photo_motion: PhotoMotion = "subtle"
    preview_s: PreviewS = 0
    min_face_fraction: Fraction01 = 0.1
    max_offset_frames: Count = 3
    subtitles: Subtitles = "soft"
    subtitle_font: Annotated[str, Field(pattern=r"^[^,;:{}\\\x00-\x1f]{1,80}$")] = "Noto Sans CJK SC"
    original_sound: OriginalSound = "drop"
    original_sound_db: OriginalSoundDb = -18
    loudness: Loudness = "off"
    zip_results: bool = False
    cache_gib: NonNegative = 10
    wav2lip: Wav2Lip = Wav2Lip()

    @property
    def loudness_lufs(self) -> float | None:
        """The loudness that results get, None for that of the voice recording."""
        return None if self.loudness == "off" else float(self.loudness[:-4])

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str, info: ValidationInfo) -> str:
        return known_engine(value, info.data.get("command", {}))

    @field_validator("command")
    @classmethod
    def _is_new(cls, value: dict[str, Command]) -> dict[str, Command]:
        if taken := set(value) & set(ENGINES):
            raise ValueError(f"{', '.join(sorted(taken))} ships with heygemd: choose another name")
        return value


class Log(Section):
    """What is logged and how long log files are kept."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    rotation_mb: Positive = 20
    retention: Count = 10


class Pages(Section):
    """The notes, reports and status page that staff see."""

    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = ("en", "zh")
    refresh_s: Positive = 5


class Notify(Section):
    """Notifications: `heygemd notify` sends them, because the daemon has no network."""

    urls: tuple[SecretStr, ...] = ()
    on: tuple[NotifyEvent, ...] = ("failed", "paused", "recovered")
    digest_hour: Annotated[int, Field(ge=0, le=23)] = 8
    max_per_hour: Count = 20
    templates: dict[NotifyEvent, Template] = Field(default_factory=dict)


class MetricsSettings(Section):
    """Metrics for Prometheus."""

    textfile: str = ""


class Retention(Section):
    """When finished folders are archived or deleted; by default never."""

    done_days: NonNegative = 0
    failed_days: NonNegative = 0
    max_gib: NonNegative = 0
    action: Literal["archive", "delete"] = "archive"
    archive_folder: str = ""
    notice_h: NonNegative = 1

    @model_validator(mode="after")
    def _archive_is_named(self) -> Retention:
        wanted = self.done_days or self.failed_days or self.max_gib
        if wanted and self.action == "archive" and not self.archive_folder:
            raise ValueError('action = "archive" needs archive_folder = "/a/folder"; action = "delete" deletes')
        return self


class Config(Section):
    """All settings of the daemon."""

    paths: Paths = Paths()
    inbox: InboxSettings = InboxSettings()
    limits: Limits = Limits()
    attempts: Attempts = Attempts()
    work: Work = Work()
    render: Render = Render()
    log: Log = Log()
    pages: Pages = Pages()
    notify: Notify = Notify()
    metrics: MetricsSettings = MetricsSettings()
    retention: Retention = Retention()
