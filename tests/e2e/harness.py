"""A real daemon process on tiny real media, with its own share and a socket for its systemd notifications."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from heygemd.storage import share_layout

CHECKOUT = Path(__file__).parents[2]
PATIENCE = float(os.environ.get("HEYGEMD_PATIENCE", "1"))
"""Factor by which every wait and every timeout is longer, for a loaded machine."""
PATIENCE_S = 120.0
FOLDERS = share_layout.FOLDERS


def wait_for(condition: Callable[[], Any], what: str | Callable[[], str], patience_s: float = PATIENCE_S) -> Any:
    """Return the first true value of `condition`, or fail with the name of what was waited for.

    What costs something to name, or cannot be named yet, is a function: it is called on failure only.

    A file or process that disappears while the condition is evaluated makes it false, not an error.
    """
    deadline = time.monotonic() + patience_s * PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, psutil.NoSuchProcess):
            if value := condition():
                return value
        time.sleep(0.05)
    raise AssertionError(f"not within {patience_s} s: {what if isinstance(what, str) else what()}")


class Site:
    """A share with its configuration and job records, and the daemons started on it."""

    def __init__(self, root: Path, **sections: dict[str, Any]) -> None:
        self.root = root
        self.share = root / "share"
        self.notifications: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.prefix: list[str] = []
        self.module = "heygemd"
        share_layout.create(self.share)
        self.configure(**sections)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(root / "notify"))
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._receiver.start()

    def configure(self, **sections: dict[str, Any]) -> None:
        settings: dict[str, dict[str, Any]] = {
            "paths": {k: str(self.root / k) for k in ("share", "state", "cache", "log", "models")},
            "inbox": {
                "poll_s": 0.3,
                "settle_local_s": 0.6,
                "settle_zero_tail_s": 2,
                "waiting_note_after_s": 1.5,
                "incomplete_fail_after_h": 0.001,
            },
            "attempts": {"retry_backoff_s": [0.3], "stop_grace_s": 3},
            "limits": {"free_scratch_gib": 0, "free_share_gib": 0, "free_state_mib": 0},
            "log": {"level": "DEBUG"},
            "pages": {"refresh_s": 0.5},
            "render": {"quality": "draft"},
        }
        for name, keys in sections.items():
            settings.setdefault(name, {}).update(keys)
        lines = []
        for name, keys in settings.items():
            lines.append(f"[{name}]")
            lines += [f"{k} = {json.dumps(v)}" for k, v in keys.items() if not isinstance(v, dict)]
            for table, inner in keys.items():
                if isinstance(inner, dict):
                    lines += [f"[{name}.{table}]", *(f"{k} = {json.dumps(v)}" for k, v in inner.items())]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def fired_once(self) -> Path:
        """Created by the fault when it fires. It lies in the cache, where the renderer may write."""
        return self.root / "cache" / "analysis" / "fault-fired"

    def _receive(self) -> None:
        while message := self._socket.recv(4096):
            self.notifications.append(message.decode())

    def start(self, *verb: str, fault: str = "", **environment: str) -> subprocess.Popen[bytes]:
        """Start `heygemd run` (or another verb); `fault` fires once per site."""
        extra = {"PYTHONPATH": str(CHECKOUT), "NOTIFY_SOCKET": str(self.root / "notify"), **environment}
        if fault:
            self.fired_once.parent.mkdir(parents=True, exist_ok=True)
            extra |= {"HEYGEMD_FAULT": fault, "HEYGEMD_FAULT_ONCE": str(self.fired_once)}
        command = [*self.prefix, sys.executable, "-m", self.module, *(verb or ("run",)), "--config", str(self.config)]
        with open(self.root / "stderr", "ab") as errors:
            process = subprocess.Popen(command, stdout=errors, stderr=errors, env={**os.environ, **extra})
        self.processes.append(process)
        return process

    def drop(self, name: str, **files: Path) -> Path:
        """Copy a folder into the inbox file by file, as staff do. The keyword `anna__mp4` becomes anna.mp4."""
        folder = self.share / "inbox" / name
        folder.mkdir()
        for keyword, source in files.items():
            shutil.copyfile(source, folder / keyword.replace("__", "."))
        return folder

    def place_of(self, name: str) -> list[str]:
        """Return the share's folders that hold the job now."""
        return [place for place in FOLDERS if (self.share / place / name).is_dir()]

    def finished(self, name: str, place: str = "done", patience_s: float = PATIENCE_S) -> Path:
        """Wait until the job is in `place`; return its folder there."""

        def there() -> Path | None:
            where = self.place_of(name)
            other = {"done": "failed", "failed": "done"}[place]
            assert other not in where, f"{name} went to {other}:\n{self.log()[-3000:]}"
            return self.share / place / name if where == [place] else None

        result = wait_for(there, f"{name} in {place}\n{self.log()[-3000:]}", patience_s)
        wait_for(lambda: all(r["phase"] == "finished" for r in self.records() if r["name"] == name), "its record", 10)
        assert isinstance(result, Path)
        return result

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(p.read_bytes())["job"] for p in (self.root / "state" / "jobs").glob("*.json")]

    def newest(self, name: str) -> dict[str, Any]:
        """Return the newest record of a job."""
        return max((r for r in self.records() if r["name"] == name), key=lambda r: str(r["id"]))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "state" / "status.json").read_text())
        return found

    def log(self) -> str:
        path = self.root / "log" / "heygemd.log"
        return path.read_text() if path.exists() else (self.root / "stderr").read_text()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(15)
            if process.poll() is None:
                process.kill()
                process.wait()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._receiver.join()
        self._socket.close()


def offspring(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return all descendants that are alive."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the renderers that the daemon runs now, without those that end meanwhile."""
    found = []
    for child in offspring(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "heygemd.render.worker" in child.cmdline():
                found.append(child)
    return found


def worker(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    """Return the renderer that the daemon runs now, the first if there are several."""
    return next(iter(workers(process)), None)


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run; zombies do not count."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def duration_s(path: Path, stream: str = "v:0") -> float:
    """Return a stream's duration as reported by ffprobe."""
    entry = "-show_entries", "stream=duration", "-of", "csv=p=0"
    out = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", stream, *entry, path], capture_output=True, check=True
    )
    return float(out.stdout.decode().strip().rstrip(","))


def frame_count(path: Path) -> int:
    """Decode all of a file; return its number of frames."""
    entry = "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"
    out = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", *entry, path], capture_output=True, check=True
    )
    return int(out.stdout.decode().strip().rstrip(","))
