"""What `heygemd status` reads is written when it changed, and often enough to show that the daemon works."""

from pathlib import Path

import pytest

from heygemd.daemon.status.snapshot import Snapshot
from heygemd.daemon.status.status_file import EVERY_S, NAME, Reporter, read
from heygemd.errors import LocalDiskError
from tests.daemon.status.test_builder import config_in


def test_a_change_is_written_at_once_and_an_unchanged_state_after_a_while(tmp_path: Path) -> None:
    config, reporter = config_in(tmp_path), Reporter()

    def written(state: str, now: float) -> tuple[str, str]:
        reporter.report(config, Snapshot(state=state, updated=f"{now:g}"), now)
        found = read(config)
        assert found is not None
        return found.state, found.updated

    assert written("idle", 1) == ("idle", "1")
    assert written("idle", 2) == ("idle", "1")
    assert written("paused", 3) == ("paused", "3")
    assert written("paused", 3 + EVERY_S) == ("paused", f"{3 + EVERY_S:g}")


def test_what_could_not_be_written_is_written_the_next_time(tmp_path: Path) -> None:
    config, reporter = config_in(tmp_path), Reporter()
    (tmp_path / NAME).mkdir()
    with pytest.raises(LocalDiskError):
        reporter.report(config, Snapshot(state="idle"), 1)
    (tmp_path / NAME).rmdir()
    reporter.report(config, Snapshot(state="idle"), 2)
    assert read(config) is not None
