"""`heygemd doctor`: checks everything that heygemd depends on and says how to fix what is wrong.

Each check returns results. A check that fails itself becomes a result too, so that the others are still shown.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .. import groups, package_data
from ..config import loader
from ..config.schema import GIB, MIB, Config
from ..errors import HeygemdError, describe, printable
from ..i18n import catalog
from ..media import ass, ffmpeg, process
from ..path_checks import nearest_existing, unwritable
from ..storage import atomic, share_paths
from ..weights import registry, requirements
from . import share_checks
from .check_result import CheckResult

MIN_FFMPEG_MAJOR = 5
TRIAL_S = 20
GPU_TRIAL_S = 120
MIN_INOTIFY_WATCHES = 8192
MIN_CLOCK = 1_750_000_000  # mid-2025: an earlier time means that the clock was never set
FONT_SAMPLE = ("Aé", "中文字幕", "繁體", "かな", "한글")
CONTAINERS = {"mov", "matroska", "avi", "mpegts", "wav", "mp3", "flac", "ogg", "aac", "asf", "flv"}
ENCODERS = {"libx264", "aac"}
ALPHA_DECODERS = {"libvpx", "libvpx-vp9"}
"""ffmpeg's own decoders of VP8 and VP9 drop transparency."""
GPU_TRIAL = (
    "import torch\n"
    "if not torch.cuda.is_available(): raise SystemExit('none')\n"
    "x = torch.ones(256, 256, device='cuda'); assert float((x @ x)[0, 0]) == 256\n"
    "p = torch.cuda.get_device_properties(0); print(p.name, p.total_memory >> 30, 'GiB')"
)

Check = Callable[[], Iterator[CheckResult]]


def examine(config: Config, config_path: Path | None = None) -> list[CheckResult]:
    """Run every check; return the results in the order in which to fix them."""
    option = f" --config {shlex.quote(str(config_path))}" if config_path else ""
    checks: tuple[tuple[str, Check], ...] = (
        ("user", _user),
        ("programs", _programs),
        ("local folders", lambda: _local_folders(config)),
        ("privacy", lambda: _privacy(config, config_path, option)),
        ("share", lambda: share_checks.check(config, option)),
        ("models", lambda: _models(config)),
        ("engine", lambda: _engines(config)),
        ("subtitles", lambda: _subtitles(config)),
        ("GPU", lambda: _gpu(config)),
        ("inotify", _inotify),
        ("clock", _clock),
    )
    return [result for subject, check in checks for result in _safely(subject, check)]


def _safely(subject: str, check: Check) -> Iterator[CheckResult]:
    try:
        yield from check()
    except Exception as error:
        yield CheckResult("broken", subject, f"could not be checked: {describe(error)}", "Please report this as a bug.")


def _user() -> Iterator[CheckResult]:
    """Warn about root, who may write everywhere: its results say little about the service's user."""
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            pwd.getpwnam("heygemd")
            text = "you are root, so missing permissions of the service are not found"
            yield CheckResult("warning", "user", text, "runuser -u heygemd -- heygemd doctor")


def _programs() -> Iterator[CheckResult]:
    program = shutil.which("ffmpeg")
    if program is None or shutil.which("ffprobe") is None:
        yield CheckResult("broken", "ffmpeg", "ffmpeg or ffprobe is missing", "apt-get install ffmpeg")
        return
    version = _output(program, "-version").split("\n")[0].removeprefix("ffmpeg version ").split(" ")[0]
    major = version.lstrip("n").split(".")[0]
    if major.isdigit() and int(major) < MIN_FFMPEG_MAJOR:
        fix = f"Install ffmpeg {MIN_FFMPEG_MAJOR} or later."
        yield CheckResult("warning", "ffmpeg", f"version {version} is older than the tested versions", fix)
    else:
        yield CheckResult("ok", "ffmpeg", f"version {version}")
    missing = CONTAINERS - _names(_output(program, "-demuxers")) | ENCODERS - _names(_output(program, "-encoders"))
    if missing:
        fix = "Install your distribution's full ffmpeg (not a minimal or 'free' build)."
        yield CheckResult("broken", "ffmpeg", f"lacks support for {', '.join(sorted(missing))}", fix)
    lost = ALPHA_DECODERS - _names(_output(program, "-decoders"))
    if lost:
        text = f"lacks {', '.join(sorted(lost))}: what is transparent in a WebM video shows what was hidden"
        yield CheckResult("warning", "ffmpeg", text, "Install your distribution's full ffmpeg.")
    for name, path in ffmpeg.limiters().items():
        if path is None:
            fix = "apt-get install util-linux" if name != "nice" else "apt-get install coreutils"
            yield CheckResult(
                "warning", name, "is missing, so ffmpeg runs with fewer limits against hostile files", fix
            )
    yield from _limits_trial()


def _limits_trial() -> Iterator[CheckResult]:
    """Probe the sample voice exactly as the renderer would: a sandbox may forbid what the limits need."""
    sample = package_data.PACKAGE / "demo" / "voice.m4a"
    try:
        process.run(ffmpeg.probe_command(sample, "-show_format"), TRIAL_S, reading=False)
    except HeygemdError as error:
        reason = printable(error.detail) or describe(error)
        fix = "If you use your own sandbox, allow the system calls of prlimit, setpriv and nice, including capset."
        yield CheckResult("broken", "ffmpeg", f"does not run with its limits: {reason}", fix)
    else:
        yield CheckResult("ok", "ffmpeg", "runs with its limits")


def _output(program: str, option: str) -> str:
    return process.run([program, "-hide_banner", option], TRIAL_S, reading=False).decode("utf-8", "replace")


def _names(listing: str) -> set[str]:
    """Return the names in a table of ffmpeg's (`D  mov,mp4,m4a  QuickTime`)."""
    rows = (line.split() for line in listing.splitlines())
    return {name for row in rows if len(row) > 1 for name in row[1].split(",")}


def _local_folders(config: Config) -> Iterator[CheckResult]:
    needed = {
        "state": config.limits.free_state_mib * MIB,
        "cache": config.limits.free_scratch_gib * GIB,
        "log": config.limits.free_state_mib * MIB,
    }
    for name, need in needed.items():
        subject = f"paths.{name}"
        path: Path = getattr(config.paths, name)
        if reason := unwritable(path):
            fix = f"mkdir -p {path} && chown heygemd: {path}    (or choose another paths.{name})"
            yield CheckResult("broken", subject, f"{path} {reason}", fix)
        elif (free := shutil.disk_usage(nearest_existing(path)).free) < need:
            text = f"{path} has {free / GIB:.1f} GiB free"
            yield CheckResult("broken", subject, text, f"Free space there: {need / GIB:.1f} GiB are needed.")
        else:
            yield CheckResult("ok", subject, f"{path}, {free / GIB:.0f} GiB free")


def _privacy(config: Config, config_path: Path | None, option: str) -> Iterator[CheckResult]:
    """Say that staff can neither read nor change what is the service's own, or why they can."""
    leaks = list(_leaks(config, config_path, option))
    yield from leaks or [CheckResult("ok", "privacy", "records, cache, logs and settings are closed to other users")]


def _leaks(config: Config, config_path: Path | None, option: str) -> Iterator[CheckResult]:
    fix = f"As root:  {share_checks.init_command(config, option)}"
    for folder in config.paths.private:
        with contextlib.suppress(OSError):  # `local folders` says so
            if atomic.open_to_others(folder):
                yield CheckResult("broken", "privacy", f"other users may enter {folder}", fix)
    if others := groups.outsiders():
        text = (
            f"{', '.join(others)} may read the service's settings, as a member of its own group {groups.SERVICE_USER}"
        )
        yield CheckResult("broken", "privacy", text, fix)
    ids = groups.service_ids()
    with contextlib.suppress(OSError):
        if ids is not None and share_paths.lstat(config.paths.share / "inbox").st_gid == ids[1]:
            text = f"the share has the service's own group {groups.SERVICE_USER} instead of one for staff"
            yield CheckResult("broken", "privacy", text, fix)
    path = config_path or loader.DEFAULT_PATH
    with contextlib.suppress(OSError):
        if config.notify.urls and path.stat().st_mode & 0o004:
            text = f"every user of this machine may read the passwords of notifications in {path}"
            yield CheckResult(
                "broken", "privacy", text, f"chown root:{groups.SERVICE_USER} {path} && chmod 0640 {path}"
            )


def _models(config: Config) -> Iterator[CheckResult]:
    shipped = [model for model in registry.known_models() if model.shipped]
    broken = [model.name for model in shipped if registry.state(model, config.paths.models) != "present"]
    if broken:
        text = f"shipped weights are damaged: {', '.join(broken)}"
        yield CheckResult("broken", "models", text, "Reinstall heygemd.")
    installed = [m for m in registry.known_models() if not m.shipped and m.path(config.paths.models).exists()]
    damaged = [m.name for m in installed if registry.state(m, config.paths.models) == "damaged"]
    for name in damaged:
        yield CheckResult("broken", "models", f"{name} is damaged", f"heygemd models fetch {name}")
    if not broken and not damaged:
        yield CheckResult("ok", "models", f"{len(shipped)} shipped and {len(installed)} optional weights are intact")


def _engines(config: Config) -> Iterator[CheckResult]:
    """Check what the engine, the tracker and each [render.command] require."""
    render, models = config.render, config.paths.models
    others = [name for name in render.command if name != render.engine]
    variants = [render, *(render.model_copy(update={"engine": name, "tracker": "auto"}) for name in others)]
    errors = [error for variant in variants for error in requirements.missing(variant, models)]
    for error in errors:
        text = catalog.what_and_advice(error.code, error.fields)[0]
        yield CheckResult("broken", "engine", text, error.fields.get("fix", "heygemd models"))
    if not errors:
        yield CheckResult("ok", "engine", f"{render.engine}, tracker {render.tracker}")


def _subtitles(config: Config) -> Iterator[CheckResult]:
    """Ask libass whether burnt subtitles would have boxes in place of Chinese, Japanese and Korean characters."""
    if not ass.available():
        fix = "Install your distribution's full ffmpeg; until then subtitles are tracks that viewers switch on."
        yield CheckResult("warning", "subtitles", "this ffmpeg cannot draw subtitles (no libass)", fix)
        return
    with tempfile.TemporaryDirectory(prefix="heygemd-") as folder:
        missing, _ = ass.lacking("".join(FONT_SAMPLE), config.render.subtitle_font, Path(folder))
    if missing:
        text = f"no font has these characters of burnt subtitles: {missing}"
        yield CheckResult("warning", "subtitles", text, "apt-get install fonts-noto-cjk")
    else:
        yield CheckResult("ok", "subtitles", "fonts for Latin, Chinese, Japanese and Korean")


def _gpu(config: Config) -> Iterator[CheckResult]:
    """Try CUDA in a separate process: a broken driver may hang or crash it."""
    required = config.render.device.startswith("cuda")
    if config.render.device == "cpu":
        yield CheckResult("ok", "GPU", "not used (render.device is cpu)")
        return
    try:
        trial = subprocess.run([sys.executable, "-c", GPU_TRIAL], capture_output=True, text=True, timeout=GPU_TRIAL_S)
    except subprocess.TimeoutExpired:
        fix = "Check it with nvidia-smi. If that hangs too, reboot."
        yield CheckResult("broken", "GPU", f"did not answer within {GPU_TRIAL_S} s", fix)
        return
    if trial.returncode == 0:
        yield CheckResult("ok", "GPU", trial.stdout.strip())
        return
    last = (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1]
    if last == "none" and not required:
        yield CheckResult("ok", "GPU", "torch finds none: videos are rendered on the CPU")
        return
    fix = "Check nvidia-smi, and that torch is a CUDA build. In the systemd unit, DeviceAllow= must include the GPU."
    yield CheckResult("broken" if required else "warning", "GPU", f"cannot be used: {last}", fix)


def _inotify() -> Iterator[CheckResult]:
    path = Path("/proc/sys/fs/inotify/max_user_watches")
    watches = int(path.read_text()) if path.exists() else 0
    if watches >= MIN_INOTIFY_WATCHES:
        yield CheckResult("ok", "inotify", f"{watches} watches")
    else:
        setting = f"fs.inotify.max_user_watches={MIN_INOTIFY_WATCHES}"
        fix = f"echo {setting} > /etc/sysctl.d/heygemd.conf && sysctl --system"
        yield CheckResult("warning", "inotify", f"only {watches} watches: new files may be found by polling alone", fix)


def _clock() -> Iterator[CheckResult]:
    if time.time() < MIN_CLOCK:
        yield CheckResult("broken", "clock", f"shows {time.strftime('%Y-%m-%d')}", "timedatectl set-ntp true")
    elif Path("/run/systemd/timesync").exists() and not Path("/run/systemd/timesync/synchronized").exists():
        yield CheckResult("warning", "clock", "is not synchronized", "timedatectl set-ntp true")
    else:
        yield CheckResult("ok", "clock", time.strftime("%Y-%m-%d %H:%M %Z"))
