"""The textfile, read by Prometheus's own parser, and the dashboard that draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import promql_parser
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, prometheus
from prometheus_client.parser import text_string_to_metric_families

from heygemd.daemon.status.metrics import Metrics
from heygemd.daemon.status.snapshot import Health, JobView, Snapshot, VideoView
from heygemd.job import Job, Media, Problem, Video
from heygemd.protocol import Result

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana.json"


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


def test_nothing_is_counted_before_it_happens(tmp_path: Path) -> None:
    Metrics([]).write(tmp_path / "heygemd.prom")
    assert (tmp_path / "heygemd.prom").stat().st_mode & 0o777 == 0o644
    found = written(tmp_path / "heygemd.prom")
    assert found["heygemd_videos_finished_total", (("outcome", "failed"),)] == 0


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """The series that an expression asks for; what is no PromQL raises."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def test_whatever_the_dashboard_takes_the_increase_of_is_there_before_its_first_event(tmp_path: Path) -> None:
    Metrics([]).write(tmp_path / "heygemd.prom")
    assert (tmp_path / "heygemd.prom").stat().st_mode & 0o777 == 0o644
    before = written(tmp_path / "heygemd.prom")
    assert {value for (name, _), value in before.items() if name.endswith("_total")} == {0.0}
    metrics = Metrics([])
    metrics.update(busy(), [job(1)], 1000.0)
    metrics.write(tmp_path / "heygemd.prom")
    after = written(tmp_path / "heygemd.prom")
    panels = json.loads(DASHBOARD.read_text())["panels"]
    texts = [t["expr"] for p in panels for t in p["targets"]]
    counted = {s.name for text in texts if "increase(" in text for s in selectors(text)}
    assert {"heygemd_phase_seconds_total", "heygemd_made_seconds_total", "heygemd_attempts_total"} <= counted
    assert counted - {name for name, _ in before} == set()
    assert [series for series in after if series[0] in counted and series not in before] == []


def test_the_dashboard_asks_for_what_is_written(tmp_path: Path) -> None:
    metrics = Metrics([])
    metrics.update(busy(), [job(1)], 1000.0)
    metrics.write(tmp_path / "heygemd.prom")
    known = [(name, set(labels)) for name, labels in written(tmp_path / "heygemd.prom")]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [selector for p in panels for t in p["targets"] for selector in selectors(t["expr"])]
    assert len(panels) >= 10
    for selector in asked:
        wanted = {(m.name, m.value) for m in selector.matchers.matchers}
        assert any(name == selector.name and wanted <= labels for name, labels in known), selector.prettify()


def test_grafanas_own_types_read_the_whole_dashboard() -> None:
    plugins.register_default_plugins()
    given = json.loads(DASHBOARD.read_text())
    read = dashboard.Dashboard.from_json(given)
    assert all(isinstance(t, prometheus.Dataquery) for panel in read.panels for t in panel.targets)
    kept = json.loads(JSONEncoder().encode(read))
    assert missing(given, kept) == []


def missing(given: Any, kept: Any, path: str = "") -> list[str]:
    """What of `given` is not in `kept`: keys that Grafana does not know."""
    if isinstance(given, dict):
        pairs = [(f"{path}/{key}", value, kept.get(key)) for key, value in given.items()]
    elif isinstance(given, list):
        pairs = [(f"{path}/{n}", *both) for n, both in enumerate(zip(given, kept, strict=True))]
    else:
        return [] if given == kept else [path]
    return [lost for where, old, new in pairs for lost in missing(old, new, where)]
