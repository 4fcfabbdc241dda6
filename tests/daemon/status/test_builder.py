"""What snapshots hold of large jobs."""

from pathlib import Path
from types import SimpleNamespace

from heygemd.config.schema import Config, Paths
from heygemd.daemon.queue_state import QueueState
from heygemd.daemon.status.builder import MAX_DONE, SnapshotBuilder
from heygemd.job import Job, Media, Problem, Video

NOTHING = Media(name="", size=0, mtime_ns=0)


def test_of_a_finished_batch_all_failures_and_the_first_results_are_shown(tmp_path: Path) -> None:
    config = Config(paths=Paths(**{name: tmp_path for name in ("share", "state", "cache", "log", "models")}))
    videos = [Video(source=NOTHING, voice=NOTHING, output=f"{n}/a.mp4", state="done") for n in range(500)]
    videos[400].state, videos[400].problem = "failed", Problem(code="no_face")
    job = Job(id="1", name="j", folder="j", arrived=1, voice=NOTHING, videos=videos, destination="done/j")
    state = QueueState(active=[job])
    builder = SnapshotBuilder(config, state, SimpleNamespace(problem=None, mount=None))
    assert builder.build().queue[0].total == len(builder.build().queue[0].videos) == 500
    job.phase, state.active, state.finished = "finished", [], [job]
    shown = builder.build().recent[0]
    assert (shown.total, shown.done, len(shown.videos), shown.videos[-1].state) == (500, 499, MAX_DONE + 1, "failed")
