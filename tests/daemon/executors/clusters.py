"""A real Ray cluster of several nodes on this machine, each with one place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

CHECKOUT = Path(__file__).parents[3]
STORE_BYTES = 80 << 20


@contextlib.contextmanager
def cluster(nodes: int, **environment: str) -> Iterator[Any]:
    """Start a head that renders nothing and `nodes` nodes with one processor each; end them all."""
    from ray.cluster_utils import Cluster

    quiet = {
        "PYTHONPATH": str(CHECKOUT),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_METRICS_COLLECTION": "1",
        "RAY_enable_metrics_collection": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "5000",
        **environment,
    }
    before = {key: os.environ.get(key) for key in quiet}
    os.environ.update(quiet)
    started = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        for _ in range(nodes):
            started.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        yield started
    finally:
        started.shutdown()
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})


def settings(started: Any, cache: Path, **more: Any) -> dict[str, Any]:
    """Return the section [work.ray] for it."""
    usual = {"address": started.address, "num_gpus": 0, "num_cpus": 1, "memory_gib": 0, "node_cache": str(cache)}
    return {**usual, **more}


def kill_node_of(started: Any, renderer: psutil.Process) -> None:
    """Pull the plug of the node on which a renderer runs: all its processes at once."""
    _kill(_processes_of(started, renderer))


@contextlib.contextmanager
def hung_node_of(started: Any, renderer: psutil.Process) -> Iterator[None]:
    """Let the node on which a renderer runs hang; end its processes in the end, as nobody else can."""
    hung = _processes_of(started, renderer)
    try:
        for process in hung:
            process.suspend()
        yield
    finally:
        _kill(hung)


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _processes_of(started: Any, renderer: psutil.Process) -> list[psutil.Process]:
    """Return all processes of the node on which a renderer runs; the cluster then forgets that node."""
    above = {parent.pid for parent in renderer.parents()}
    for each in started.worker_nodes:
        own = [psutil.Process(info.process.pid) for infos in each.all_processes.values() for info in infos]
        if any(process.pid in above for process in own):
            started.worker_nodes.remove(each)
            return [*own, *(child for process in own for child in process.children(recursive=True))]
    raise AssertionError("it runs on no node")


def renderers(folder: Path) -> list[psutil.Process]:
    """Return the renderer processes that work somewhere below a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            if "heygemd.render.worker" in words and any(word.startswith(f"{folder}/") for word in words):
                found.append(process)
    return found
