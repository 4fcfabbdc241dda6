"""A soak test: jobs of every kind under random kills, outages, clock jumps, slow writers and a clumsy colleague.

HEYGEMD_SOAK_JOBS sets the number of jobs (default 16; `make faults` runs 200), HEYGEMD_SOAK_SEED the seed (default:
random). The seed is printed.
"""

from __future__ import annotations

import collections
import contextlib
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.harness import PATIENCE, wait_for, worker
from tests.faults import sample_media
from tests.faults.conftest import needs_root
from tests.faults.invariants import digest

JOBS = int(os.environ.get("HEYGEMD_SOAK_JOBS", "16"))
SEED = int(os.environ.get("HEYGEMD_SOAK_SEED", random.randrange(1 << 32)))
IN_FLIGHT = 5
SECONDS_EACH = 60
"""Time limit for each job, so that the test is bounded in time on a loaded machine too."""
ATTEMPTS = 40
"""High, because random kills hit the same video repeatedly, which must not make it fail here."""
WARM_UP = "warm up"
OUTAGE_ERRORS = ["ESTALE", "EIO", "EHOSTDOWN", "ETIMEDOUT", "EBUSY", "EDQUOT", "ENOTCONN"]


class Soak:
    """Drops jobs as staff do and makes things go wrong, one step at a time."""

    def __init__(self, site, clock, folder):
        self.random, self.staff, acts = (random.Random(f"{SEED} {what}") for what in ("faults", "jobs", "acts"))
        self.site, self.clock = site, clock
        self.videos, self.voices = sample_media.videos(folder), sample_media.voices(folder)
        self.expected: dict[str, tuple[str, int]] = {}
        self.done: collections.Counter[str] = collections.Counter()
        self.writers: list[Iterator[None]] = []
        self.handled: collections.Counter[str] = collections.Counter()
        self.dropped_late: dict[str, Path] = {}
        self.acts = [self.touch, self.change, self.add_text, self.add_video, self.drop_again]
        acts.shuffle(self.acts)
        self.restart()
        self.faults = [
            (6, self.kill_daemon),
            (6, self.kill_renderer),
            (4, self.stop_and_start),
            (5, self.share_errors),
            (5, self.unmount_share),
            (4, self.jump_clock),
            (2, self.reload),
        ]

    def run(self) -> None:
        until = time.monotonic() + JOBS * SECONDS_EACH * PATIENCE
        pace_s = self.warm_up()
        next_fault = next_act = 0.0
        while len(self.expected) < JOBS or self.writers:
            assert time.monotonic() < until, f"out of time, seed {SEED}"
            if len(self.expected) < JOBS and self.in_flight() < IN_FLIGHT:
                self.new_job()
            self.clear_away()
            self.writers = [writer for writer in self.writers if next(writer, "end") is None]
            if time.monotonic() > next_fault:
                next_fault = time.monotonic() + pace_s * self.random.uniform(0.2, 4)
                [fault] = self.random.choices([f for _, f in self.faults], [w for w, _ in self.faults])
                self.done[fault.__name__] += 1
                fault()
            if time.monotonic() > next_act and self.clumsy_colleague():
                next_act = time.monotonic() + pace_s * self.random.uniform(0.3, 1.2)
            time.sleep(self.random.uniform(0.05, 0.6))
        self.site.inject()
        wait_for(self.ended, f"all jobs to end, seed {SEED}", max(60, until - time.monotonic()))

    def ended(self) -> bool:
        """Return whether no job is left; until then the colleague does what was not done yet."""
        self.clear_away()
        if self.missed():
            self.clumsy_colleague()
        return not self.in_flight()

    def warm_up(self) -> float:
        """Render one job undisturbed; return the seconds it takes on this machine, which set the pace of the faults."""
        began = time.monotonic()
        self.site.healthy(WARM_UP)
        self.site.finished(WARM_UP)
        return time.monotonic() - began

    def in_flight(self) -> int:
        """Return the number of unfinished jobs; fail if one ended in the wrong folder."""
        ends = [set(self.site.place_of(name)) & {"done", "failed"} for name in self.expected]
        wrong = [(n, end) for (n, (place, _)), end in zip(self.expected.items(), ends, strict=True) if end - {place}]
        assert not wrong, f"{wrong}, seed {SEED}"
        return ends.count(set())

    # --- staff ---------------------------------------------------------------------------------------------------

    def new_job(self) -> None:
        name = f"{len(self.expected):03d} {self.staff.choice(['promo', '春', 'née', 'a b', '-x', '100%'])}"
        kind = self.staff.choices(["healthy", "two", "broken", "no face", "half good"], [78, 8, 5, 4, 5])[0]
        good = {"healthy": 1, "two": 2, "half good": 1}.get(kind, 0)
        self.expected[name] = ("done" if good else "failed", good)
        files = [(self.staff.choice(self.voices), "voice")]
        files += [(video, f"p{number}") for number, video in enumerate(self.staff.sample(self.videos, good))]
        media = self.site.media
        if kind in ("broken", "half good"):
            files.append((media.broken, "bad"))
        if kind == "no face":
            files.append((media.no_face, "empty"))
        self.staff.shuffle(files)
        self.writers.append(self.write(name, files))

    def write(self, name: str, files: list[tuple[Path, str]]) -> Iterator[None]:
        """Copy a job in, at once or in pieces under temporary names. Faults may happen between the pieces."""
        folder = self.site.share / "inbox" / name
        pieces = self.staff.choice([1, 1, 3, 8])
        names = {stem: folder / f"{stem}{source.suffix}" for source, stem in files}
        (draft := folder.with_name(f"_{name}")).mkdir()
        for target in names.values():
            (draft / self.part_name(target)).touch()
        draft.rename(folder)
        for source, stem in files:
            data, target = source.read_bytes(), names[stem]
            size = len(data) // pieces + 1
            part = folder / self.part_name(target)
            with open(part, "wb", buffering=0) as file:
                for start in range(0, len(data), size):
                    file.write(data[start : start + size])
                    if pieces > 1:
                        yield
            part.rename(target)
        self.site.ledger.jobs[name] = collections.Counter(digest(source) for source, _ in files)

    def part_name(self, target: Path) -> str:
        return f".{target.name}.CzpYz0" if target.stem[-1] in "e13" else f"{target.name}.part"  # rsync's, browsers'

    def clumsy_colleague(self) -> bool:
        """Do the next thing with the files of a job that is being made; at most twice, which no folder fails for."""
        jobs = [n for n, (_, good) in self.expected.items() if good and self.site.place_of(n) == ["processing"]]
        jobs = [name for name in jobs if self.handled[name] < 2 and name not in self.dropped_late]
        if not jobs:
            return False
        name, act = self.random.choice(jobs), self.acts[0]
        try:
            act(name, self.site.share / "processing" / name)
        except (FileNotFoundError, FileExistsError, IndexError):  # finished meanwhile
            return False
        self.acts.append(self.acts.pop(0))
        self.handled[name] += 1
        self.done[act.__name__] += 1
        return True

    def missed(self) -> list[str]:
        return [act.__name__ for act in self.acts if not self.done[act.__name__]]

    def touch(self, _: str, folder: Path) -> None:
        for path in folder.glob("p[0-9].*"):
            os.utime(path, (1e9, 1e9))

    def change(self, name: str, folder: Path) -> None:
        path = self.random.choice([p for p in folder.glob("p[0-9].*") if p.suffix in (".mp4", ".mov")])
        files, before = self.site.ledger.jobs[name], digest(path)
        if not files[before]:
            raise FileNotFoundError(path)  # a result that is being published under the name of an original
        with open(path, "r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(b"\0\0\0\x08free")
        files[before] -= 1
        files[digest(path)] += 1

    def add_text(self, name: str, folder: Path) -> None:
        (folder / "notes.txt").write_text(name)
        self.site.ledger.jobs[name][digest(folder / "notes.txt")] += 1

    def add_video(self, name: str, folder: Path) -> None:
        video = self.random.choice(self.videos)
        new = folder / f"p{self.handled[name] + 5}{video.suffix}"
        new.write_bytes(video.read_bytes())
        self.one_more(name, video)

    def drop_again(self, name: str, _: Path) -> None:
        video, late = self.random.choice(self.videos), self.site.share / "inbox" / name
        late.mkdir()
        (late / f"p{self.handled[name] + 5}{video.suffix}").write_bytes(video.read_bytes())
        self.dropped_late[name] = late
        self.one_more(name, video)

    def one_more(self, name: str, video: Path) -> None:
        place, good = self.expected[name]
        self.expected[name] = place, good + 1
        self.site.ledger.jobs[name][digest(video)] += 1

    def clear_away(self) -> None:
        """Take back what was dropped again for a job that was finished by then."""
        for name, late in list(self.dropped_late.items()):
            if (self.site.share / "done" / name).is_dir() and late.is_dir():
                [video] = late.glob("p*")
                place, good = self.expected[name]
                self.expected[name] = place, good - 1
                self.site.ledger.jobs[name][digest(video)] -= 1
                shutil.rmtree(late)
                del self.dropped_late[name]

    # --- faults --------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        self.ready_before = self.site.notifications.count("READY=1")
        self.process = self.site.start(**self.clock.environment)

    def kill_daemon(self) -> None:
        self.process.kill()
        self.process.wait()
        self.restart()

    def kill_renderer(self) -> None:
        if child := worker(self.process):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def stop_and_start(self) -> None:
        self.process.terminate()
        assert self.process.wait(60 * PATIENCE) in (0, -signal.SIGTERM), "the latter only before it has its handlers"
        self.restart()

    def share_errors(self) -> None:
        error = self.random.choice(OUTAGE_ERRORS)
        rule = {"call": "", "error": error, "after": self.random.randrange(40), "times": self.random.randint(1, 12)}
        self.site.inject(rule)

    def unmount_share(self) -> None:
        with contextlib.suppress(Exception):  # just started, not mounted yet
            self.site.unmount(self.process)
            time.sleep(self.random.uniform(0.1, 1.5))
            self.site.mount(self.process)

    def jump_clock(self) -> None:
        self.clock.jump(self.random.choice([0, -86_400, 86_400, -3600, 400 * 86_400]))

    def reload(self) -> None:
        if self.site.notifications.count("READY=1") > self.ready_before:  # before READY the signal would end it
            self.process.send_signal(signal.SIGHUP)

    # --- result --------------------------------------------------------------------------------------------------

    def check(self) -> str:
        renders = 0
        for name, (place, good) in self.expected.items():
            assert self.site.place_of(name) == [place], f"{name} in {self.site.place_of(name)}, seed {SEED}"
            results = list((self.site.share / place / name).glob("p*.mp4")) if place == "done" else []
            assert len(results) == good, f"{name}: {len(results)} of {good} results, seed {SEED}"
        for place in ("done", "failed"):
            extra = {p.name for p in (self.site.share / place).iterdir()} - set(self.expected) - {WARM_UP}
            assert not extra, f"done twice or left over: {extra}, seed {SEED}"
        for job in self.site.records():
            renders += sum(v["state"] == "done" and v["result"]["engine"] == "mesh" for v in job["videos"])
        said = re.findall(r"job=(.*?) (\S+): rendered", self.site.log())
        twice = [what for what, times in collections.Counter(said).items() if times > 1 and not self.handled[what[0]]]
        assert not twice, f"rendered twice: {twice}, seed {SEED}"
        assert renders == 1 + sum(good for _, good in self.expected.values())
        assert not self.missed(), f"the clumsy colleague never got to {self.missed()}, seed {SEED}"
        faults = ", ".join(f"{count} x {name}" for name, count in sorted(self.done.items()))
        return f"soak: seed {SEED}, {len(self.expected)} jobs, {renders} real renders, none lost, none twice; {faults}"


@needs_root()
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.fault("SOAK")
@pytest.mark.timeout(JOBS * SECONDS_EACH + 600)
def test_nothing_is_lost_and_nothing_done_twice(faulty, clock, tmp_path, record_property):
    attempts = {"max_attempts": ATTEMPTS, "daemon_crash_limit": ATTEMPTS, "retry_backoff_s": [0.2]}
    faulty.configure(
        attempts=attempts, inbox={"settle_local_s": 0.5, "settle_zero_tail_s": 1}, log={"rotation_mb": 500}
    )
    faulty.on_mount()
    folder = tmp_path / "sample media"
    folder.mkdir()
    print(f"seed {SEED}")
    soak = Soak(faulty, clock, folder)
    soak.run()
    summary = soak.check()
    faulty.ledger.check(max_attempts=ATTEMPTS)
    record_property("summary", summary)
    record_property("times", JOBS)
