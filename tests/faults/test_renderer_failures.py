"""Renderers that hang, run out of memory or end without a result, and a daemon that is stopped at a bad moment."""

import signal

import psutil
import pytest

from tests.e2e.harness import PATIENCE, wait_for, worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
IMPATIENT = {"stall_s": 25 * PATIENCE, "retry_backoff_s": [0.1], "stop_grace_s": 1}
"""The stall limit leaves room for the imports of a healthy renderer, which take some seconds."""


@pytest.mark.fault("F8")
@pytest.mark.parametrize("point", ["analyse", "encode"])
def test_a_renderer_that_hangs_is_ended_and_the_video_tried_again(faulty, point):
    faulty.configure(attempts=IMPATIENT)
    faulty.healthy("j")
    faulty.start(fault=f"{point}:hang")
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 2
    assert "stalled" in faulty.log()
    faulty.check()


@pytest.mark.fault("F8")
def test_a_renderer_that_hangs_while_it_starts_is_ended_too(faulty):
    faulty.configure(attempts=IMPATIENT)
    faulty.healthy("j")
    process = faulty.start()
    wait_for(lambda: worker(process), "renderer").suspend()
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 2
    faulty.check()


@pytest.mark.fault("F9")
@pytest.mark.parametrize("act", ["leave", "gpu", "segv"])
def test_a_renderer_that_ends_without_a_result_is_tried_again(faulty, act):
    faulty.healthy("j")
    faulty.start(fault=f"render:{act}")
    faulty.finished("j")
    assert faulty.records()[0]["videos"][0]["attempts"] == 2
    assert {"leave": "worker_exited", "gpu": "CUDA error", "segv": "SIGSEGV"}[act] in faulty.log()
    faulty.check()


@pytest.mark.fault("F9")
def test_a_renderer_without_memory_fails_only_its_video(faulty, media):
    """The address space of each renderer is really limited, to less than it has when it is seen."""
    faulty.configure(attempts={"max_attempts": 2, "retry_backoff_s": [0.1]})
    faulty.healthy("j")
    process = faulty.start()

    def starved() -> bool:
        if renderer := worker(process):
            renderer.rlimit(psutil.RLIMIT_AS, (64 << 20, 64 << 20))
        return faulty.place_of("j") == ["failed"]

    wait_for(starved, "its end")
    failed = faulty.finished("j", "failed")
    assert process.poll() is None
    assert (failed / "anna.mp4").read_bytes() == media.face.read_bytes()
    process.terminate()
    assert process.wait(20) == 0
    faulty.start()
    faulty.check(max_attempts=2)


@pytest.mark.fault("F26")
@pytest.mark.parametrize("point", ["claim", "copy-in", "rendered", "originals", "publish"])
def test_a_stop_at_any_moment_is_clean_and_the_next_start_goes_on(faulty, point):
    faulty.healthy("j")
    process = faulty.start(fault=f"{point}:hang")
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, point)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(20) == 0
    assert len(faulty.place_of("j")) == 1
    faulty.start()
    faulty.finished("j")
    assert [v["attempts"] for v in faulty.records()[0]["videos"]] == [1]
    assert faulty.log().count(": rendered") <= 1
    faulty.check()
