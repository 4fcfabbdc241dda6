"""The papers put beside the results: report.html, the reason note, the job's own log."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from .. import __version__, messages
from ..config import Config, Language
from ..errors import printable
from ..job import Job, Video
from .publish import Papers

LOG_BYTES = 1 << 20


@cache
def templates() -> Environment:
    """Return the page templates; every value is escaped, names of files are chosen by people."""
    return Environment(
        loader=PackageLoader("heygemd.daemon"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def papers(job: Job, config: Config, log_file: Path) -> Papers:
    """Make the papers of a settled job."""
    languages = (job.settings.language,) if job.settings.language else config.people.languages
    try:
        log = log_file.read_bytes()[-LOG_BYTES:]
    except FileNotFoundError:
        log = b""
    why = messages.lines(list(_reasons(job, languages))) if _went_wrong(job) else None
    return Papers(report=_report(job, languages), log=log, why=why)


def _went_wrong(job: Job) -> bool:
    return job.problem is not None or any(v.state == "failed" for v in job.videos)


def _reasons(job: Job, languages: tuple[Language, ...]) -> list[str]:
    found = []
    for language in languages:
        if job.problem is not None:
            found.append(messages.text(job.problem.code, job.problem.fields, language))
        found += [f"{v.source.title}: {outcome(v, language)}" for v in job.videos if v.state == "failed"]
        found.append(messages.text("try_again", {}, language))
    return [printable(text) for text in found]


def outcome(video: Video, language: str) -> str:
    """Return in one sentence what became of a video."""
    if video.problem is not None:
        return messages.text(video.problem.code, {"name": video.source.title, **video.problem.fields}, language)
    return messages.text({"done": "is_done", "rendered": "is_done"}.get(video.state, "is_waiting"), {}, language)


def _report(job: Job, languages: tuple[Language, ...]) -> bytes:
    page = templates().get_template("report.html")
    sections = [{"language": language, "rows": [_row(v, language) for v in job.videos]} for language in languages]
    problems = [messages.text(job.problem.code, job.problem.fields, language) for language in languages if job.problem]
    html = page.render(
        name=printable(job.name),
        voice=printable(job.voice.title),
        finished=time.strftime("%Y-%m-%d %H:%M", time.localtime(job.finished)),
        sections=sections,
        problems=problems,
        ok=job.succeeded,
        version=__version__,
    )
    return html.encode("utf-8", "replace")


def _row(video: Video, language: str) -> dict[str, Any]:
    result = video.result
    return {
        "name": printable(video.source.title),
        "output": video.output if video.state == "done" else "",
        "ok": video.state == "done",
        "text": outcome(video, language),
        "notes": [messages.text(f.code, f.fields, language) for f in video.found],
        "facts": "" if result is None else _facts(video, language),
    }


def _facts(video: Video, language: str) -> str:
    result = video.result
    assert result is not None
    parts = [f"{result.width}×{result.height}", f"{result.duration_s:.1f} s", f"{result.engine}"]
    if result.offset_ms is not None:
        parts.append(messages.text("offset", {"offset_ms": f"{result.offset_ms:+.0f}"}, language))
    parts.append(f"{sum(result.seconds.values()):.0f} s")
    return " · ".join(parts)
