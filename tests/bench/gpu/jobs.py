"""The daemon with a card: two renderers on one, and a card that vanishes while jobs are queued."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ...e2e.harness import CHECKOUT, Site, wait_for
from ..bench_speed import presenter_and_voice
from .report import Plan, Row

VIDEOS, SIZE = 4, (1280, 720)
HIDE = """import os
if os.path.exists({flag!r}):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
"""
"""A sitecustomize.py: each Python started while the flag is there sees no card."""


def two_workers(plan: Plan) -> Iterator[Row]:
    """Render the same videos one at a time and two at a time."""
    video, voice = presenter_and_voice(plan.folder, plan.seconds, SIZE)
    for workers in (1, 2):
        with closing(_site(plan, f"workers-{workers}", plan.device, workers)) as site:
            site.drop("job", voice__wav=voice, **{f"v{n}__mp4": video for n in range(VIDEOS)})
            began = time.monotonic()
            _start(site)
            done = site.finished("job")
            seconds = time.monotonic() - began
        yield Row.check(f"{workers} at a time: videos delivered", len(list(done.glob("*.mp4"))), VIDEOS)
        yield Row(f"{workers} at a time: {VIDEOS} videos of {plan.seconds:g} s", seconds, "s")


def vanishing_card(plan: Plan) -> Iterator[Row]:
    """Hide the card after the first job: "auto" goes on with the CPU; "cuda" waits until it is back."""
    files = video, voice = presenter_and_voice(plan.folder, plan.seconds, SIZE)
    with closing(_site(plan, "auto", "auto")) as site:
        _start(site)
        _render(site, *files, "before")
        _flag(site).touch()
        _render(site, *files, "after")
        yield Row.check('device "auto", the card vanishes: the next job', site.place_of("after"), ["done"])
    with closing(_site(plan, "cuda", "cuda")) as site:
        _start(site)
        if plan.on_gpu:
            _render(site, *files, "before")
        _flag(site).touch()
        site.drop("after", voice__wav=voice, anna__mp4=video)
        wait_for(lambda: "paused: " in site.log(), "the queue pauses")
        why = next(line for line in site.log().splitlines() if "paused: " in line).partition("paused: ")[2]
        yield Row('device "cuda", the card vanishes: the queue pauses', why, ok="gpu_unavailable" in why)
        yield Row.check("the job meanwhile", site.place_of("after"), ["processing"])
        if plan.on_gpu:
            _flag(site).unlink()
            site.finished("after")
            (attempts,) = (v["attempts"] for job in site.records() if job["name"] == "after" for v in job["videos"])
            yield Row.check("the card is back: the job is delivered, attempts", attempts, 1)


def _site(plan: Plan, name: str, device: str, workers: int = 1) -> Site:
    render = {"engine": "wav2lip", "tracker": "facemesh", "device": device}
    (plan.folder / name).mkdir()
    site = Site(plan.folder / name, work={"workers": workers}, render=render, paths={"models": str(plan.models)})
    site.module = "tests.faults.fault_injection"  # with pauses of one second
    (site.root / "site").mkdir()
    (site.root / "site" / "sitecustomize.py").write_text(HIDE.format(flag=str(_flag(site))))
    return site


def _start(site: Site) -> subprocess.Popen[bytes]:
    path = [str(site.root / "site"), str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return site.start(PYTHONPATH=os.pathsep.join(filter(None, path)))


def _flag(site: Site) -> Path:
    return site.root / "no-card"


def _render(site: Site, video: Path, voice: Path, name: str) -> None:
    site.drop(name, voice__wav=voice, anna__mp4=video)
    site.finished(name)
