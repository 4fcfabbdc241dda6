"""The textfile, read by Prometheus's own parser, and the dashboard that draws it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from heygemd.daemon.metrics import Metrics
from heygemd.daemon.snapshot import Health, JobView, Snapshot, VideoView
from heygemd.job import Job, Media, Problem, Video
from heygemd.protocol import Result

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana.json"


def job(number: int) -> Job:
    media = Media(name="a.mp4", size=1, mtime_ns=1)
    result = Result(
        frames=100, fps="25/1", duration_s=4, width=640, height=360, offset_ms=-20, engine="mesh", tracker="facemesh",
        seconds={"render": 3.0, "measure": 1.0},
    )  # fmt: skip
    good = Video(source=media, output="a.mp4", state="done", attempts=2, result=result)
    bad = Video(source=media, output="b.mp4", state="failed", attempts=1, problem=Problem(code="no_face"))
    return Job(id=str(number), name="j", folder="j", arrived=1, voice=media, videos=[good, bad], phase="finished")


def written(path: Path) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(path.read_text())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def busy() -> Snapshot:
    video = VideoView(name="a.mp4", state="running", phase="render", percent=40, fps=27)
    current = JobView(id="1", name="j", state="claimed", videos=(video,))
    return Snapshot(state="working", current=current, health=Health(share_free_gib=2, disk_free_gib=1))


def test_everything_is_counted_once(tmp_path: Path) -> None:
    metrics = Metrics([job(0)])
    for _ in range(2):
        metrics.update(busy(), [job(0), job(1), job(2)], 1000.0)
    metrics.write(tmp_path / "heygemd.prom")
    found = written(tmp_path / "heygemd.prom")
    assert found["heygemd_state", (("state", "working"),)] == 1
    assert found["heygemd_state", (("state", "idle"),)] == 0
    assert found["heygemd_fps", ()] == 27
    assert found["heygemd_jobs_finished_total", (("outcome", "done"),)] == 2
    assert found["heygemd_videos_finished_total", (("outcome", "failed"),)] == 2
    assert found["heygemd_failures_total", (("code", "no_face"),)] == 2
    assert found["heygemd_attempts_total", ()] == 6
    assert found["heygemd_phase_seconds_total", (("phase", "render"),)] == 6
    assert found["heygemd_made_seconds_total", ()] == 8
    assert found["heygemd_sync_offset_milliseconds_count", ()] == 2
    assert found["heygemd_free_bytes", (("disk", "share"),)] == 2 << 30
    assert [p.name for p in tmp_path.iterdir()] == ["heygemd.prom"]


def test_the_dashboard_asks_for_what_is_written(tmp_path: Path) -> None:
    metrics = Metrics([])
    metrics.update(busy(), [job(1)], 1000.0)
    metrics.write(tmp_path / "heygemd.prom")
    known = {name for name, _ in written(tmp_path / "heygemd.prom")}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {name for p in panels for t in p["targets"] for name in re.findall(r"heygemd_\w+", t["expr"])}
    assert len(panels) >= 10
    assert asked <= known
