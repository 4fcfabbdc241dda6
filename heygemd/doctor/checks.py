"""`heygemd doctor`: looks at everything heygemd stands on and says how to mend what is wrong.

Each check returns rows; a check that fails itself becomes a row too, so that one surprise hides nothing else.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import package_data
from ..config.schema import GIB, MIB, Config
from ..errors import HeygemdError, describe, printable
from ..finding import Row, existing, unwritable
from ..i18n import catalog
from ..media import ffmpeg, process
from ..weights import registry, requirements
from . import share_checks

FFMPEG_MAJOR = 5
TRIAL_S = 20
GPU_TRIAL_S = 120
WATCHES_WANTED = 8192
CLOCK_FLOOR = 1_750_000_000  # mid-2025: a clock before this was never set
CONTAINERS = {"mov", "matroska", "avi", "mpegts", "wav", "mp3", "flac", "ogg", "aac", "asf", "flv"}
ENCODERS = {"libx264", "aac"}
GPU_TRIAL = (
    "import torch\n"
    "if not torch.cuda.is_available(): raise SystemExit('none')\n"
    "x = torch.ones(256, 256, device='cuda'); assert float((x @ x)[0, 0]) == 256\n"
    "p = torch.cuda.get_device_properties(0); print(p.name, p.total_memory >> 30, 'GiB')"
)


Check = Callable[[], Iterator[Row]]


def examine(config: Config, config_path: Path | None = None) -> list[Row]:
    """Return the findings of every check, in the order in which to mend them."""
    option = f" --config {config_path}" if config_path else ""
    checks: tuple[tuple[str, Check], ...] = (
        ("user", _user),
        ("programs", _programs),
        ("own folders", lambda: _own_folders(config)),
        ("share", lambda: share_checks.check(config, option)),
        ("models", lambda: _models(config)),
        ("engine", lambda: _engines(config)),
        ("GPU", lambda: _gpu(config)),
        ("inotify", _inotify),
        ("clock", _clock),
    )
    return [row for subject, check in checks for row in _safely(subject, check)]


def _safely(subject: str, check: Check) -> Iterator[Row]:
    try:
        yield from check()
    except Exception as error:
        yield Row("broken", subject, f"could not be checked: {describe(error)}", "Report this as a bug.")


def _user() -> Iterator[Row]:
    """Root may write everywhere, so root's findings say little about the service's."""
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            pwd.getpwnam("heygemd")
            mend = "runuser -u heygemd -- heygemd doctor"
            yield Row("warning", "user", "you are root; what the service may do shows when its user asks", mend)


def _programs() -> Iterator[Row]:
    found = shutil.which("ffmpeg")
    if found is None or shutil.which("ffprobe") is None:
        yield Row("broken", "ffmpeg", "ffmpeg or ffprobe is missing", "apt-get install ffmpeg")
        return
    version = _ask(found, "-version").split("\n")[0].removeprefix("ffmpeg version ").split(" ")[0]
    major = version.lstrip("n").split(".")[0]
    if major.isdigit() and int(major) < FFMPEG_MAJOR:
        yield Row(
            "warning", "ffmpeg", f"version {version} is older than tested", f"Install ffmpeg {FFMPEG_MAJOR} or later."
        )
    else:
        yield Row("ok", "ffmpeg", f"version {version}")
    missing = CONTAINERS - _column(_ask(found, "-demuxers")) | ENCODERS - _column(_ask(found, "-encoders"))
    if missing:
        mend = "Install your distribution's full ffmpeg (not a minimal or 'free' build)."
        yield Row("broken", "ffmpeg", f"cannot do {', '.join(sorted(missing))}", mend)
    for name, path in ffmpeg.limiters().items():
        if path is None:
            mend = "apt-get install util-linux" if name != "nice" else "apt-get install coreutils"
            yield Row("warning", name, "is missing, so ffmpeg runs with fewer limits on hostile files", mend)
    yield from _confined_trial()


def _confined_trial() -> Iterator[Row]:
    """Probe the sample voice exactly as the renderer would: a sandbox may forbid what the limits need."""
    sample = package_data.PACKAGE / "demo" / "voice.m4a"
    try:
        process.run(ffmpeg.probe_command(sample, "-show_format"), TRIAL_S, reading=False)
    except HeygemdError as error:
        mend = (
            "In a sandbox of your own, allow the system calls that prlimit, setpriv and nice need (capset among them)."
        )
        yield Row(
            "broken", "ffmpeg", f"does not run under its limits: {printable(error.detail) or describe(error)}", mend
        )
    else:
        yield Row("ok", "ffmpeg", "runs under its limits")


def _ask(program: str, question: str) -> str:
    return process.run([program, "-hide_banner", question], TRIAL_S, reading=False).decode("utf-8", "replace")


def _column(listing: str) -> set[str]:
    """Return the names in ffmpeg's tables (`D  mov,mp4,m4a  QuickTime`)."""
    rows = (line.split() for line in listing.splitlines())
    return {name for row in rows if len(row) > 1 for name in row[1].split(",")}


def _own_folders(config: Config) -> Iterator[Row]:
    wanted = {
        "state": config.limits.free_state_mib * MIB,
        "cache": config.limits.free_scratch_gib * GIB,
        "log": config.limits.free_state_mib * MIB,
    }
    for name, need in wanted.items():
        path: Path = getattr(config.paths, name)
        if why := unwritable(path):
            mend = f"mkdir -p {path} && chown heygemd: {path}    (or choose another paths.{name})"
            yield Row("broken", f"paths.{name}", f"{path} {why}", mend)
        elif (free := shutil.disk_usage(existing(path)).free) < need:
            yield Row(
                "broken", f"paths.{name}", f"{path} has {free / GIB:.1f} GiB free", f"Free {need / GIB:.1f} GiB there."
            )
        else:
            yield Row("ok", f"paths.{name}", f"{path}, {free / GIB:.0f} GiB free")


def _models(config: Config) -> Iterator[Row]:
    shipped = [model for model in registry.register() if model.shipped]
    broken = [model.name for model in shipped if registry.state(model, config.paths.models) != "present"]
    if broken:
        yield Row("broken", "models", f"shipped weights are damaged: {', '.join(broken)}", "Install heygemd again.")
    wanted = [m for m in registry.register() if not m.shipped and m.path(config.paths.models).exists()]
    damaged = [m.name for m in wanted if registry.state(m, config.paths.models) == "damaged"]
    for name in damaged:
        yield Row("broken", "models", f"{name} is damaged", f"heygemd models fetch {name}")
    if not broken and not damaged:
        yield Row(
            "ok", "models", f"{len(shipped)} shipped, {len(wanted)} optional ones present, all with the right hash"
        )


def _engines(config: Config) -> Iterator[Row]:
    """Say what the chosen engine and tracker, and each configured program, lack; the renderer looks closer."""
    render, models = config.render, config.paths.models
    others = [name for name in render.command if name != render.engine]
    wishes = [render, *(render.model_copy(update={"engine": name, "tracker": "auto"}) for name in others)]
    faults = [fault for wish in wishes for fault in requirements.lacking(wish, models)]
    for fault in faults:
        what = catalog.what_and_advice(fault.code, fault.fields)[0]
        yield Row("broken", "engine", what, fault.fields.get("mend", "heygemd models"))
    if not faults:
        yield Row("ok", "engine", f"{render.engine}, tracker {render.tracker}")


def _gpu(config: Config) -> Iterator[Row]:
    """Try CUDA in a process of its own: a broken driver may hang or crash."""
    wanted = config.render.device.startswith("cuda")
    if config.render.device == "cpu":
        yield Row("ok", "GPU", "not used (render.device is cpu)")
        return
    try:
        trial = subprocess.run([sys.executable, "-c", GPU_TRIAL], capture_output=True, text=True, timeout=GPU_TRIAL_S)
    except subprocess.TimeoutExpired:
        yield Row(
            "broken",
            "GPU",
            f"did not answer within {GPU_TRIAL_S} s",
            "Check it with nvidia-smi; reboot if that hangs too.",
        )
        return
    if trial.returncode == 0:
        yield Row("ok", "GPU", trial.stdout.strip())
        return
    last = (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1]
    if last == "none" and not wanted:
        yield Row("ok", "GPU", "none that torch can use: rendering runs on the processor")
        return
    mend = "Check nvidia-smi and that torch was installed with CUDA. In the service, DeviceAllow= must name the card."
    yield Row("broken" if wanted else "warning", "GPU", f"cannot be used: {last}", mend)


def _inotify() -> Iterator[Row]:
    path = Path("/proc/sys/fs/inotify/max_user_watches")
    watches = int(path.read_text()) if path.exists() else 0
    if watches >= WATCHES_WANTED:
        yield Row("ok", "inotify", f"{watches} watches")
    else:
        mend = f"echo fs.inotify.max_user_watches={WATCHES_WANTED} > /etc/sysctl.d/heygemd.conf && sysctl --system"
        yield Row("warning", "inotify", f"only {watches} watches: new files are found by polling alone", mend)


def _clock() -> Iterator[Row]:
    if time.time() < CLOCK_FLOOR:
        yield Row("broken", "clock", f"says {time.strftime('%Y-%m-%d')}", "timedatectl set-ntp true")
    elif Path("/run/systemd/timesync").exists() and not Path("/run/systemd/timesync/synchronized").exists():
        yield Row("warning", "clock", "is not synchronised", "timedatectl set-ntp true")
    else:
        yield Row("ok", "clock", time.strftime("%Y-%m-%d %H:%M %Z"))
