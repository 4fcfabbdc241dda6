"""An external lip-sync program as an engine: files in, a command line from the configuration, a file out."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from fractions import Fraction
from glob import escape, glob
from pathlib import Path

import psutil

from ...config.schema import Command, Render
from ...errors import DeadlineExceeded, EngineError
from ...weights import requirements
from .base import FileEngine

OUTPUT_LINES = 30
LINE_CHARS = 400
POLL_S = 0.2
HEARTBEAT_S = 5.0
GRACE_S = 3.0
VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv")
PLACEHOLDER = re.compile(r"\{(video|audio|output|fps|device)\}")


class CommandEngine(FileEngine):
    """Runs `settings.command[name]` once for each video, in the renderer's process group, so that both end together."""

    def __init__(
        self,
        name: str,
        models: Path,
        device: str = "cpu",
        settings: Render | None = None,
        machine_cache: Path | None = None,
    ) -> None:
        """`name`: of the command in the settings; other parameters as in Engine."""
        super().__init__(models, device, settings, machine_cache)
        self.name = name
        self._command: Command = self.settings.command[name]

    def check(self) -> None:
        """Raise NotInstalled("command_missing") when the program or its folder is not there."""
        requirements.require_program(self.name, self._command)

    def render(
        self, video: Path, audio: Path, folder: Path, fps: Fraction, progress: Callable[[float | None], None]
    ) -> Path:
        """Run the program and return its result.

        Raises EngineError("command_failed" | "command_no_output"), DeadlineExceeded("command_timeout").
        """
        output, work = folder / "output.mp4", folder / "work"
        self._make_work_folder(work)
        values = {
            "video": str(video),
            "audio": str(audio),
            "output": str(output),
            "fps": str(fps.numerator) if fps.denominator == 1 else f"{float(fps):.6g}",
            "device": self.device,
        }
        argv = [_filled(part, values) for part in self._command.argv]
        environment = {key: _filled(value, values) for key, value in self._command.environment.items()}
        said = self._run(argv, work, {**os.environ, **environment}, progress)
        pattern = _filled(self._command.output, {key: escape(value) for key, value in values.items()})
        found = [Path(name) for name in glob(str(work / pattern), recursive=True)]  # noqa: PTH207 absolute patterns
        made = [path for path in found if path.is_file() and path.stat().st_mtime >= video.stat().st_mtime]
        if not made:
            detail = "\n".join([said, *(f"It wrote {name}" for name in _written(work))])
            raise EngineError("command_no_output", name=self.name, path=pattern, detail=detail)
        return max(made, key=lambda path: path.stat().st_mtime)

    def _make_work_folder(self, work: Path) -> None:
        """Make the program's working folder: links to its installation, and fresh folders for what it writes."""
        work.mkdir()
        for entry in self._command.folder.iterdir() if self._command.folder else ():
            if entry.name not in self._command.scratch_folders:
                (work / entry.name).symlink_to(entry)
        for name in self._command.scratch_folders:
            (work / name).mkdir(parents=True)

    def _run(
        self, argv: list[str], work: Path, environment: Mapping[str, str], progress: Callable[[float | None], None]
    ) -> str:
        """Run the program to its end; return the last lines that it printed."""
        limit_s = self._command.time_limit_s
        try:
            child = subprocess.Popen(
                argv, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        except OSError as error:
            raise EngineError("command_failed", name=self.name, status=error.errno, detail=str(error)) from None
        output = _OutputReader(child, self._command.progress)
        try:
            self._watch(child, output, time.monotonic() + limit_s, progress)
        finally:
            _end(child)
            output.join(GRACE_S)
        if child.returncode != 0:
            raise EngineError("command_failed", name=self.name, status=child.returncode, detail=output.tail)
        return output.tail

    def _watch(
        self,
        child: subprocess.Popen[bytes],
        output: _OutputReader,
        deadline: float,
        progress: Callable[[float | None], None],
    ) -> None:
        reported, last_sign = -1.0, time.monotonic()
        while child.poll() is None:
            now = time.monotonic()
            if now > deadline:
                limit_s = self._command.time_limit_s
                raise DeadlineExceeded("command_timeout", name=self.name, seconds=limit_s, detail=output.tail)
            if output.share > reported:
                reported = output.share
                progress(reported)
            elif not self._command.progress and now - last_sign > HEARTBEAT_S:
                last_sign = now
                progress(None)
            time.sleep(POLL_S)


class _OutputReader(threading.Thread):
    """Drains a program's output; keeps its last lines and the share done that they report."""

    def __init__(self, child: subprocess.Popen[bytes], pattern: str) -> None:
        super().__init__(name="command-output", daemon=True)
        assert child.stdout is not None
        self._pipe, self._pattern = child.stdout, re.compile(pattern) if pattern else None
        self._last: deque[str] = deque(maxlen=OUTPUT_LINES)
        self.share = -1.0
        self.start()

    @property
    def tail(self) -> str:
        """The last lines of output."""
        return "\n".join(tuple(self._last))

    def run(self) -> None:
        """Read to the end; carriage returns of a progress bar end lines, too."""
        rest = b""
        while chunk := os.read(self._pipe.fileno(), 4096):
            *lines, rest = re.split(rb"[\r\n]+", rest + chunk)
            for line in lines:
                self._take(line)
            rest = rest[-LINE_CHARS:]
        self._take(rest)
        self._pipe.close()

    def _take(self, line: bytes) -> None:
        text = line[-LINE_CHARS:].decode("utf-8", "replace").rstrip()
        if text:
            self._last.append(text)
        if self._pattern is None or (found := self._pattern.search(text)) is None:
            return
        try:
            done, total = (float(found[1]), float(found[2]) if len(found.groups()) > 1 else 100.0)
        except (TypeError, ValueError):
            return
        if total > 0:
            self.share = max(self.share, min(1.0, done / total))


def _written(work: Path) -> list[str]:
    """Return the videos in a working folder, for the log: many programs name their results as they like."""
    names = (Path(base, name) for base, _, names in os.walk(work) for name in names if name.endswith(VIDEO_ENDINGS))
    return sorted(str(path.relative_to(work)) for path in names if not path.is_symlink())[:OUTPUT_LINES]


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return the text with its placeholders replaced; other braces are kept."""
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the program and its child processes, if they still run."""
    try:
        family = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
    except psutil.NoSuchProcess:
        family = []
    child.kill()
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    child.wait()
