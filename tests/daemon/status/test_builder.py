"""What snapshots hold of large jobs."""

from pathlib import Path
from types import SimpleNamespace

from heygemd.config.schema import Config, Paths
from heygemd.daemon.queue_state import PendingFolder, QueueState
from heygemd.daemon.status.builder import MAX_DONE, SnapshotBuilder
from heygemd.errors import NotReady
from heygemd.job import Job, Media, Problem, Video

NOTHING = Media(name="", size=0, mtime_ns=0)


def config_in(folder: Path) -> Config:
    return Config(paths=Paths(**{name: folder for name in ("share", "state", "cache", "log", "models")}))


def test_of_a_finished_batch_all_failures_and_the_first_results_are_shown(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    videos = [Video(source=NOTHING, voice=NOTHING, output=f"{n}/a.mp4", state="done") for n in range(500)]
    videos[400].state, videos[400].problem = "failed", Problem(code="no_face")
    job = Job(
        id="1", name="j", folder="j", arrived=1, voice=NOTHING, videos=videos, destination="done/j", phase="claimed"
    )  # fmt: skip
    state = QueueState(active=[job])
    builder = SnapshotBuilder(config, state, SimpleNamespace(problem=None, mount=None))
    assert builder.build().queue[0].total == len(builder.build().queue[0].videos) == 500
    videos[1].kept = True
    hidden, kept = (video.link for video in builder.build().queue[0].videos[:2])
    assert (hidden, kept) == (f"processing/j/.heygemd/{videos[0].hidden_name}", "processing/j/1/a.mp4")
    job.phase, state.active, state.finished = "finished", [], [job]
    shown = builder.build().recent[0]
    assert (shown.total, shown.done, len(shown.videos), shown.videos[-1].state) == (500, 499, MAX_DONE + 1, "failed")


def test_the_view_of_a_folder_is_made_anew_when_what_it_shows_has_changed(tmp_path: Path) -> None:
    pending = PendingFolder("anna", 1.0)
    state = QueueState(pending={"anna": pending})
    builder = SnapshotBuilder(config_in(tmp_path), state, SimpleNamespace(problem=None, mount=None))
    (first,) = builder.build().waiting
    assert builder.build().waiting[0] is first and first.state == "copying"
    pending.wait(NotReady("needs_audio"))
    (second,) = builder.build().waiting
    assert second.state == "waiting" and "voice" in second.text["en"]
    pending.offer(Job(id="1", name="anna", folder="anna", arrived=1, voice=NOTHING, videos=[]), "ready")
    assert [view.state for view in builder.build().queue] == ["ready"]
    state.pending = {"anna": PendingFolder("anna", 2.0)}  # taken, and another one of that name dropped
    assert builder.build().waiting[0].arrived > first.arrived


def test_the_view_of_a_finished_job_is_kept_until_its_folder_is_moved_away(tmp_path: Path) -> None:
    video = Video(source=NOTHING, output="a.mp4", state="done")
    jobs = [
        Job(
            id=name,
            name=name,
            folder=name,
            arrived=1,
            voice=NOTHING,
            videos=[video],
            destination=f"done/{name}",
            phase="finished",
        )
        for name in ("first", "second")
    ]
    state = QueueState(finished=jobs[:1])
    builder = SnapshotBuilder(config_in(tmp_path), state, SimpleNamespace(problem=None, mount=None))
    (first,) = builder.build().recent
    state.finished = jobs
    newer, older = builder.build().recent
    assert older is first and (newer.id, newer.folder) == ("second", "done/second")
    builder.moved_away = frozenset({"first"})
    again, moved = builder.build().recent
    assert again is newer and (moved.id, moved.folder, moved.link) == ("first", "", "")
