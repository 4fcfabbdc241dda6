from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.harness import wait_for
from tests.faults.invariants import LedgerSite, nobody_waits

NEXT = "the next healthy job"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run only the first and the last variant of each daemon fault, unless HEYGEMD_FAULTS is "all"."""
    if os.environ.get("HEYGEMD_FAULTS") == "all":
        return
    families = defaultdict(list)
    for item in items:
        if "faulty" in getattr(item, "fixturenames", ()):
            families[item.nodeid.partition("[")[0]].append(item)
    skipped = [item for family in families.values() for item in family[1:-1]]
    config.hook.pytest_deselected(items=skipped)
    items[:] = [item for item in items if item not in skipped]


class Faulty(LedgerSite):
    """A site whose daemon's calls to the share can be made to fail."""

    def __init__(self, root: Path, media: SimpleNamespace, **sections: dict[str, Any]) -> None:
        super().__init__(root, **sections)
        self.module = "tests.faults.fault_injection"
        self.media = media

    def healthy(self, name: str) -> Path:
        """Drop a job that can be rendered."""
        return self.drop(name, voice__m4a=self.media.voice, anna__mp4=self.media.face)

    def start(self, *verb: str, fault: str = "", **environment: str) -> subprocess.Popen[bytes]:
        return super().start(*verb, fault=fault, HEYGEMD_INJECT=str(self.rules), **environment)

    @property
    def rules(self) -> Path:
        return self.root / "injected.json"

    def inject(self, *rules: dict[str, Any]) -> None:
        """Replace the rules by which calls to the share fail (see `fault_injection`); no rules: no call fails."""
        draft = self.root / "injected.draft"
        draft.write_text(json.dumps(rules))
        draft.replace(self.rules)

    def fired(self) -> list[str]:
        """Return the calls that failed by injection."""
        path = Path(f"{self.rules}.fired")
        return path.read_text().splitlines() if path.exists() else []

    def check(self, **bounds: int) -> None:
        """Assert that the next healthy job is rendered (I4) and that all other invariants hold."""
        self.healthy(NEXT)
        self.finished(NEXT)
        wait_for(lambda: nobody_waits(self), lambda: f"I8: jobs wait: {self.status()}", 30)
        self.ledger.check(**bounds)

    # --- a share on a mount in the daemon's own namespace, which can disappear -------------------------------------

    def on_mount(self) -> None:
        """Let the daemon see the share through a bind mount; the tests use the folder behind it."""
        behind, point = self.root / "nas", self.share
        self.share.rename(behind)
        point.mkdir()
        self.share, self.point = behind, point
        self.prefix = ["unshare", "--mount", "sh", "-c", f'mount --bind "{behind}" "{point}" && exec "$@"', "--"]

    def in_namespace(self, process: subprocess.Popen[bytes], *command: str | Path) -> None:
        subprocess.run(["nsenter", "-t", str(process.pid), "-m", *map(str, command)], check=True)

    def unmount(self, process: subprocess.Popen[bytes]) -> None:
        """Unmount the share; an empty folder remains in its place."""
        self.in_namespace(process, "umount", "--lazy", self.point)

    def mount(self, process: subprocess.Popen[bytes]) -> None:
        self.in_namespace(process, "mount", "--bind", self.share, self.point)


@pytest.fixture
def faulty(tmp_path: Path, media: SimpleNamespace) -> Iterator[Faulty]:
    made = Faulty(tmp_path, media)
    yield made
    made.close()


def needs_root() -> pytest.MarkDecorator:
    """Skip without root, which mounts need. CI never skips: there the tests fail instead."""
    able = bool(os.environ.get("CI")) or os.geteuid() == 0
    return pytest.mark.skipif(not able, reason="needs root to make mounts")


@pytest.fixture
def disk() -> Iterator[Callable[[Path, str], None]]:
    """Mount a small file system over a folder; the files in it are copied into the mount."""
    mounted: list[Path] = []

    def make(path: Path, size: str) -> None:
        path.mkdir(exist_ok=True)
        kept = [(p.name, p.read_bytes()) for p in path.iterdir() if p.is_file()]
        mode = path.stat().st_mode & 0o7777
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode={mode:o}", "tmpfs", path], check=True)
        mounted.append(path)
        for name, data in kept:
            (path / name).write_bytes(data)

    yield make
    for path in reversed(mounted):
        subprocess.run(["umount", "--lazy", path], check=True)


class Clock:
    """The daemon's wall clock, which a test can set."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {"HEYGEMD_CLOCK": str(path)}
        self.jump(0)

    def jump(self, seconds: float) -> None:
        """Set the clock to the true time plus `seconds`."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.replace(self.path)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path / "clock")
