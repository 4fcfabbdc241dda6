"""A pytest plugin that reports how often each known fault was tried in this run, and with what outcome."""

from __future__ import annotations

from collections import defaultdict

import pytest

FAULTS = {
    "F1": "slow writer, with pauses shorter and longer than settling",
    "F2": "preallocated file whose end is still zeros",
    "F3": "a second file arrives while the folder settles",
    "F4": "folder renamed or deleted while settling, copied in, rendered",
    "F5": "start while a copy is under way",
    "F6": "kill -9 of the daemon at each transition",
    "F7": "kill -9 of the renderer",
    "F8": "renderer hangs",
    "F9": "renderer out of memory, CUDA fault, exit 0 without a result",
    "F10": "the same job ends the daemon twice",
    "F11": "full disk: scratch, share, records, log",
    "F12": "read-only share; done/ may not be written",
    "F13": "share unmounted: idle, claim, copy-in, render, publish",
    "F14": "ESTALE EIO EHOSTDOWN ETIMEDOUT EBUSY EDQUOT from the share",
    "F15": "a call to the share that does not return",
    "F16": "done/ on another file system",
    "F17": "name taken in done/ or failed/",
    "F18": "links, pipes, sockets, devices, hard links, shortcuts",
    "F19": "names: NFD, undecodable, newline, option-like, 255 bytes, CON",
    "F20": "junk of macOS, Windows, Synology",
    "F21": "empty, 1 byte, wrong ending, audio-only mp4, cover-art mp3",
    "F22": "two voices, no video, too many files, nested folders",
    "F23": "HLS, concat, SDP, DASH, plain text as .mp4",
    "F24": "pixel, duration, silence, stream and attachment bombs",
    "F25": "clock jumps; files of 1980 and 2099",
    "F26": "SIGTERM while rendering and publishing; SIGHUP",
    "F27": "two daemons on one inbox",
    "F28": "log file deleted or rotated by others",
    "F29": "record truncated, garbage, of a newer version",
    "F30": "1000 queued jobs",
    "F31": "files change, grow, come and go under a job that is being made",
    "LOCAL": "state, cache, log: read-only, full, taken over; no file events; done/ renamed",
    "STALL": "one job's file fails for good, at every call, among 20 other jobs",
    "TRAPS": "people's traps: our names as links, folders, pipes, sockets, devices",
    "SMB": "folders dropped over a real SMB server; a mount without events",
    "UNIT": "the unit under a real systemd",
    "CRASH": "kill -9 before each single change of the disk",
    "SOAK": "random kills, outages, clock jumps, slow and bad files",
    "FUZZ": "mutated media, settings, records, events",
}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> object:  # type: ignore[misc]
    """Attach the test's faults to its report, so that they also arrive from a worker process."""
    outcome = yield
    report = outcome.get_result()
    for mark in item.iter_markers("fault"):
        report.user_properties += [("fault", name) for name in mark.args]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each fault that was tried, and the names of the others."""
    tried: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    notes: list[str] = []
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            facts = list(getattr(report, "user_properties", []))
            times = sum(value for key, value in facts if key == "times") or 1
            for name in {value for key, value in facts if key == "fault"}:
                tried[name][outcome == "failed"] += times
            notes += sorted({str(value) for key, value in facts if key == "summary"})
    if not tried:
        return
    terminalreporter.section("faults: times held, times broken")
    for name, what in FAULTS.items():
        held, broken = tried[name]
        if held + broken:
            outcome = "BROKEN" if broken else "held"
            terminalreporter.write_line(f"{name:<6} {what:<66} {held:>5} {broken:>3}  {outcome}")
    terminalreporter.write_line(f"not tried: {' '.join(name for name in FAULTS if not sum(tried[name])) or 'none'}")
    for note in notes:
        terminalreporter.write_line(note)
