"""The daemon on a real Ray cluster of several nodes: the same results; nodes that fail cost nothing but time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.daemon.executors.clusters import CHECKOUT, cluster, hung_node_of, kill_node_of, renderers, settings
from tests.e2e.harness import wait_for
from tests.faults.invariants import LedgerSite
from tests.render.anna import pair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LedgerSite]:
    made = LedgerSite(tmp_path)
    yield made
    made.close()


def on(site: LedgerSite, started: Any, workers: int = 2, **more: Any) -> None:
    ray = settings(started, site.root / "node", **more)
    site.configure(work={"executor": "ray", "workers": workers, "ray": ray})


def frames(path: Path) -> str:
    """Return a digest of every decoded picture and every block of sound."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "framemd5", "-"], capture_output=True, check=True)
    return done.stdout.decode()


def drop_all(site: LedgerSite, media: SimpleNamespace, clip: Path, suffix: str) -> None:
    site.drop(f"two-{suffix}", voice__m4a=media.voice, anna__mp4=media.face, ben__mp4=media.face)
    site.drop(f"long-{suffix}", voice__wav=media.long_voice, anna__mp4=media.face)
    site.drop(f"talk-{suffix}", left__m4a=media.voice, right__wav=media.long_voice, pair__mp4=clip)


def busy(site: LedgerSite) -> Any:
    """Return a renderer that is decoding or encoding."""
    return wait_for(lambda: next((p for p in renderers(site.root) if p.children()), None), "a renderer at work")


def test_the_same_results_as_on_one_machine_though_a_node_dies(site: LedgerSite, media: SimpleNamespace) -> None:
    clip = pair(site.root / "pair.mp4", 1)
    drop_all(site, media, clip, "local")
    process = site.start("once")
    assert process.wait(300) == 0
    shutil.rmtree(site.root / "cache")
    with cluster(2) as started:
        on(site, started)
        site.start()
        drop_all(site, media, clip, "ray")
        wait_for(lambda: "connected to the Ray cluster" in site.log(), "the cluster")
        kill_node_of(started, busy(site))
        made = [site.finished(f"{name}-ray") for name in ("two", "long", "talk")]
        site.processes[-1].send_signal(signal.SIGTERM)
        assert site.processes[-1].wait(60) == 0
        assert not renderers(site.root)
    assert "a node was lost" in site.log()
    assert all(len(job["videos"][0]["result"]["speakers"]) == 2 for job in site.records() if "talk" in job["name"])
    assert {video["attempts"] for job in site.records() for video in job["videos"]} == {1}
    for folder in made:
        twin = folder.with_name(folder.name.replace("-ray", "-local"))
        names = sorted(path.name for path in twin.glob("*.mp4"))
        assert names == sorted(path.name for path in folder.glob("*.mp4"))
        for name in names:
            assert frames(folder / name) == frames(twin / name), name
    site.ledger.check()


@pytest.mark.parametrize("act", ["hang", "memory"])
def test_a_node_that_hangs_or_has_no_memory_costs_nothing_but_time(
    site: LedgerSite, media: SimpleNamespace, act: str
) -> None:
    with cluster(2) as started, contextlib.ExitStack() as stack:
        on(site, started, workers=1, node_timeout_s=20)
        site.start()
        site.drop("j", voice__wav=media.long_voice, anna__mp4=media.face)
        renderer = busy(site)
        if act == "hang":
            stack.enter_context(hung_node_of(started, renderer))
        else:  # as the kernel does
            renderer.kill()
        site.finished("j")
        assert [v["attempts"] for v in site.records()[0]["videos"]] == [1]
        assert "a node was lost" in site.log()


def test_a_node_with_other_weights_is_not_used_and_said(site: LedgerSite, media: SimpleNamespace) -> None:
    other = site.root / "other"
    shutil.copytree(CHECKOUT / "heygemd", other / "heygemd", ignore=shutil.ignore_patterns("__pycache__"))
    weights = other / "heygemd" / "weights" / "assets" / "lips.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with cluster(0) as started:
        os.environ["PYTHONPATH"] = str(other)
        started.add_node(num_cpus=1)
        on(site, started, workers=1, exchange="shared")
        site.start()
        site.drop("j", voice__m4a=media.voice, anna__mp4=media.face)
        wait_for(lambda: site.status()["state"] == "paused", "a pause")
        assert "Differences: package" in site.status()["detail"]["en"]
        os.environ["PYTHONPATH"] = str(CHECKOUT)
        started.add_node(num_cpus=1)
        site.finished("j")
        assert [v["attempts"] for v in site.records()[0]["videos"]] == [1]


def test_the_heads_end_costs_no_attempt_and_the_daemon_goes_on(site: LedgerSite, media: SimpleNamespace) -> None:
    with cluster(1) as started:
        on(site, started, workers=1)
        process = site.start()
        site.drop("j", voice__wav=media.long_voice, anna__mp4=media.face)
        busy(site)
        started.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        wait_for(lambda: site.status()["state"] == "paused", "a pause")
        assert "cluster" in site.status()["detail"]["en"]
        assert [v["attempts"] for v in site.records()[0]["videos"]] == [0]
        site.configure(work={"executor": "local", "workers": 1})
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        site.start()
        site.finished("j")
        assert [v["attempts"] for v in site.records()[0]["videos"]] == [1]
