"""In which order folders are claimed, and which are left where they are."""

import asyncio
import time
from typing import Any

import pytest

from heygemd.daemon.intake.claim import Claimer
from heygemd.daemon.queue_state import PendingFolder, QueueState
from heygemd.job import Job, Media, Video

FILE = Media(name="a.mp4", size=1, mtime_ns=1)


def add(state: QueueState, name: str, arrived: float, done: bool = False) -> PendingFolder:
    """A folder that is ready; a name that begins with "!" is urgent."""
    video = Video(source=FILE, output="a.mp4", state="done" if done else "waiting")
    job = Job(id=name, name=name, arrived=arrived, folder=name, voice=FILE, videos=[video])
    state.pending[name] = folder = PendingFolder(name, arrived)
    folder.offer(job, "ready")
    return folder


def tried(monkeypatch: pytest.MonkeyPatch, state: QueueState, **wanted: Any) -> list[str]:
    """Return the folders that are tried in turn while none can be claimed."""
    names: list[str] = []

    async def fails(_self: Claimer, folder: PendingFolder, _job: Job) -> bool:
        names.append(folder.name)
        return False

    monkeypatch.setattr(Claimer, "_claim", fails)
    nothing: Any = None
    assert not asyncio.run(Claimer(state, nothing, nothing, "me").claim_next(**wanted))
    return names


def test_done_ones_go_first_then_urgent_then_early_ones_and_suspects_last(monkeypatch: pytest.MonkeyPatch) -> None:
    state = QueueState()
    for name, arrived in (("suspect", 0), ("c", 2), ("b", 1), ("a", 1), ("!late", 9)):
        add(state, name, arrived)
    add(state, "made", 8, done=True)
    suspect = state.pending["suspect"].job
    assert suspect
    state.suspect(suspect)
    assert tried(monkeypatch, state) == ["made", "!late", "a", "b", "c", "suspect"]
    assert tried(monkeypatch, state, settled=True) == ["made"]
    assert tried(monkeypatch, state, before=(0, 2)) == ["!late", "a", "b", "suspect"]


def test_some_folders_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    state = QueueState()
    add(state, "a", 1)
    add(state, "failed just now", 0).claim_after = time.monotonic() + 60
    add(state, "copying", 0).job = None
    moving = add(state, "moving", 0).job
    assert moving
    moving.phase = "claiming"
    state.active.append(moving)
    assert tried(monkeypatch, state) == ["a"]
    state.inbox_paused = True
    assert tried(monkeypatch, state) == []
