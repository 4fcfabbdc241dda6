from loguru import logger

from heygemd.daemon.status import best_effort
from heygemd.daemon.status.best_effort import BestEffort
from heygemd.errors import LocalDiskError
from heygemd.i18n import catalog


def test_a_fault_is_said_once_shown_and_over_when_it_is_over(monkeypatch):
    said: list[str] = []
    sink = logger.add(said.append, format="{level} {message}")
    monkeypatch.setattr(best_effort, "RETRY_S", 0)
    faults: list[Exception] = [
        LocalDiskError("disk_full", path="/var/x"),
        PermissionError(13, "no", "/var/x"),
        ValueError("x"),
    ]
    runner = BestEffort()

    def part() -> None:
        if faults:
            raise faults.pop()

    shown = []
    for _ in range(4):
        runner.run("metrics_failing", part)
        shown += [catalog.text(each.code, each.fields) for each in runner.faults.values()]
    logger.remove(sink)
    assert shown == [
        f"The metrics cannot be written ({why})."
        for why in ("ValueError: x", "Permission denied", "No space left on device")
    ]
    assert [line.split()[0] for line in said if "metrics_failing" in line] == ["WARNING", "INFO"]


def test_what_failed_is_left_alone_for_a_while():
    calls: list[int] = []

    def part() -> None:
        calls.append(1)
        raise OSError

    runner = BestEffort()
    for _ in range(3):
        runner.run("metrics_failing", part)
    assert len(calls) == 1
