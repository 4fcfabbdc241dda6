"""What every executor must keep, with real renderers on tiny real media."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from heygemd.config.schema import Config
from heygemd.daemon.executors import factory
from heygemd.daemon.executors.base import Executor
from heygemd.daemon.executors.local import LocalExecutor
from heygemd.errors import DeadlineExceeded, InputError, WorkerLost
from heygemd.job import Job, Media
from heygemd.protocol import Event, Notice, Progress, RenderRequest, Result
from heygemd.storage import transfer
from tests.daemon.executors.clusters import cluster, renderers, settings
from tests.e2e.harness import PATIENCE, frame_count, living, wait_for

PATIENCE_S = 120 * PATIENCE
JOB = Job(id="1", name="promo", folder="promo", arrived=0, voice=Media(name="v", size=1, mtime_ns=1), videos=[])
ORDER = ["analyse", "prepare", "render", "measure"]


class Place:
    """An executor with two places, and requests for it."""

    def __init__(self, root: Path, work: dict[str, Any], **attempts: Any) -> None:
        self.root = root
        paths = {key: str(root / key) for key in ("share", "state", "cache", "log", "models")}
        render = {"quality": "draft"}
        self.config = Config.model_validate({
            "paths": paths, "work": {"workers": 2, **work}, "attempts": {"stop_grace_s": 3, **attempts},
            "render": render,
        })  # fmt: skip
        self.executor: Executor

    def run(self, story: Callable[[Place], Awaitable[Any]]) -> Any:
        async def with_executor() -> Any:
            self.executor = factory.create(self.config)
            try:
                return await story(self)
            finally:
                await self.executor.close()

        return asyncio.run(with_executor())

    async def render(
        self, voice: Path, video: Path, name: str = "a", report: Callable[[Event], None] = lambda _: None
    ) -> Result:
        folder = self.root / "cache" / "jobs" / name
        folder.mkdir(parents=True)
        cache = self.root / "cache" / "analysis"
        async with self.executor.renderer(folder, cache, JOB) as task:
            local = {"voice": folder / f"voice{voice.suffix}", "video": folder / f"v01{video.suffix}"}
            digests = [transfer.finish(transfer.copy(source, local[key])) for key, source in
                       (("voice", voice), ("video", video))]  # fmt: skip
            (folder / "tmp").mkdir()
            request = RenderRequest(
                **local, voice_digest=digests[0], video_digest=digests[1], output=self.output(name),
                scratch=folder / "tmp", cache=cache, models=self.config.paths.models,
                settings=self.config.render, limits=self.config.limits,
            )  # fmt: skip
            return await task.render(request, 1.0, report)

    def output(self, name: str) -> Path:
        return self.root / "cache" / "jobs" / name / "result.mp4"

    async def renderer(self) -> psutil.Process:
        """Wait for a renderer that has an ffmpeg at work."""
        for _ in range(int(PATIENCE_S / 0.1)):
            for process in await asyncio.to_thread(renderers, self.root):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.children():
                        return process
            await asyncio.sleep(0.1)
        raise AssertionError("no renderer")

    def nothing_runs(self) -> bool:
        return not living(renderers(self.root))


@pytest.fixture(scope="module")
def work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    if request.param == "local":
        yield {}
        return
    with cluster(2) as started:
        yield {"executor": "ray", "ray": settings(started, Path("node"), max_node_losses=0)}


@pytest.fixture
def place(work: dict[str, Any], tmp_path: Path) -> Place:
    if "ray" in work:
        work = {**work, "ray": {**work["ray"], "node_cache": str(tmp_path / "node")}}
    return Place(tmp_path, work)


local = pytest.param("local")
ray = pytest.param("ray", marks=[pytest.mark.slow, pytest.mark.timeout(300)])
patient_local = pytest.param("local", marks=pytest.mark.slow)
quick = pytest.mark.parametrize("work", [local, ray], indirect=True, scope="module")
both = pytest.mark.parametrize("work", [patient_local, ray], indirect=True, scope="module")


@quick
def test_a_result_and_progress_in_order(place: Place, media: SimpleNamespace) -> None:
    events: list[Event] = []
    result = place.run(lambda p: p.render(media.voice, media.face, report=events.append))
    assert (result.frames, result.engine) == (25, "mesh")
    assert frame_count(place.output("a")) == 25
    assert place.output("a").with_suffix(".json").exists()
    steps = [event for event in events if isinstance(event, Progress)]
    assert [s.percent for s in steps] == sorted(s.percent for s in steps)
    phases = list(dict.fromkeys(s.phase for s in steps))
    assert phases == [phase for phase in ORDER if phase in phases] and "render" in phases
    assert any(isinstance(event, Notice) for event in events)
    assert place.nothing_runs()


@quick
def test_an_attempt_that_is_cancelled_while_it_ends_frees_its_place(place: Place) -> None:
    """A job may be given back just then, because its files changed."""

    async def story(p: Place) -> None:
        entered = asyncio.Event()

        async def attempt(folder: Path) -> None:
            folder.mkdir(parents=True)
            async with p.executor.renderer(folder, p.root / "cache" / "analysis", JOB):
                entered.set()

        for number in range(3):
            entered.clear()
            task = asyncio.create_task(attempt(p.root / "cache" / "jobs" / str(number)))
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert p.nothing_runs()

    place.run(story)


@both
def test_a_fault_of_the_file_is_said_as_such(place: Place, media: SimpleNamespace) -> None:
    with pytest.raises(InputError) as raised:
        place.run(lambda p: p.render(media.voice, media.no_face))
    assert raised.value.code == "no_face"
    assert not place.output("a").exists()


@both
def test_a_renderer_that_is_killed_is_lost(place: Place, media: SimpleNamespace) -> None:
    async def story(p: Place) -> None:
        task = asyncio.create_task(p.render(media.long_voice, media.face))
        (await p.renderer()).send_signal(signal.SIGKILL)
        with pytest.raises(WorkerLost) as raised:
            await task
        assert raised.value.code in ("worker_killed", "nodes_lost")

    place.run(story)
    assert place.nothing_runs()


@both
def test_a_renderer_that_hangs_passes_its_deadline(place: Place, media: SimpleNamespace) -> None:
    place.config = place.config.model_copy(
        update={"attempts": place.config.attempts.model_copy(update={"stall_s": 12 * PATIENCE})}
    )

    async def story(p: Place) -> None:
        task = asyncio.create_task(p.render(media.long_voice, media.face))
        (await p.renderer()).suspend()
        with pytest.raises(DeadlineExceeded) as raised:
            await task
        assert raised.value.code == "stalled"

    place.run(story)
    assert place.nothing_runs()


@both
def test_a_stop_leaves_nothing_running_and_the_place_free(place: Place, media: SimpleNamespace) -> None:
    async def story(p: Place) -> None:
        task = asyncio.create_task(p.render(media.long_voice, media.face))
        child = await p.renderer()
        family = [child, *child.children(recursive=True)]
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        wait_for(lambda: not living(family), "their end", 5)
        await p.render(media.voice, media.face, "again")

    place.run(story)
    assert not place.output("a").exists()
    assert place.output("again").exists()


@both
def test_places_are_used_at_the_same_time(place: Place, media: SimpleNamespace) -> None:
    async def story(p: Place) -> None:
        assert p.executor.slots == 2
        tasks = [asyncio.create_task(p.render(media.long_voice, media.face, name)) for name in "ab"]
        for _ in range(int(PATIENCE_S / 0.1)):
            if len(await asyncio.to_thread(renderers, p.root)) == 2:
                break
            await asyncio.sleep(0.1)
        assert len(renderers(p.root)) == 2
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    place.run(story)
    assert place.nothing_runs()


def test_there_is_one_slot_for_each_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1, 3")
    assert LocalExecutor(Config.model_validate({"work": {"workers": "per-gpu"}})).slots == 2
