"""The contents of the files beside the results: report.html, the note on failures, the job's own log."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...config.schema import Config, Language, Render
from ...errors import printable
from ...i18n import catalog
from ...i18n.catalog import Text
from ...job import Job, Problem, Video
from ...protocol import CONTROL_MS, FacesSeen, Notice, Preview
from ..intake.filename_rules import is_photo
from ..intake.job_folder import LOG_NOTE
from ..pages.html_page import render_page
from . import report_chart
from .result_folder import ReportFiles

LOG_BYTES = 1 << 20
MAX_PICTURED = 30
"""Of a batch with more videos the report is an index: with the pictures of hundreds, no browser would open it."""


def make(
    job: Job, config: Config, log_file: Path, previews: Mapping[str, Preview], faces: Mapping[str, FacesSeen | None]
) -> ReportFiles:
    """Make the report files of a settled job; `previews` of its finished videos and `faces`: by output name."""
    languages = (job.settings.language,) if job.settings.language else config.pages.languages
    try:
        log = log_file.read_bytes()[-LOG_BYTES:]
    except OSError:  # the report is worth more than the log
        log = b""
    why = catalog.text_file(_reasons(job, languages)) if _went_wrong(job) else None
    pictured = len(job.videos) <= MAX_PICTURED or not job.is_batch
    shown = (previews, faces) if pictured else ({}, {})
    return ReportFiles(report=_report(job, config, languages, *shown), log=log, why=why)


def _went_wrong(job: Job) -> bool:
    return job.problem is not None or any(v.state == "failed" for v in job.videos)


def _reasons(job: Job, languages: tuple[Language, ...]) -> list[str]:
    found = []
    for language in languages:
        if job.problem is not None:
            found.append(catalog.text(job.problem.code, job.problem.fields, language))
        found += [
            catalog.text_with_file_name(v.problem.code, v.facts(), language)
            for v in job.videos
            if v.problem is not None
        ]
        found += [catalog.text(notice.code, notice.fields, language) for notice in job.notices]
        found.append(catalog.text("try_again", {}, language))
    return [printable(text) for text in found]


def _report(
    job: Job,
    config: Config,
    languages: tuple[Language, ...],
    previews: Mapping[str, Preview],
    faces: Mapping[str, FacesSeen | None],
) -> bytes:
    times = {language: _when(job.finished, language) for language in languages}
    return render_page(
        "report.html",
        languages,
        name=printable(job.name),
        voice=", ".join(printable(voice.title) for voice in job.voices),
        lips=printable(job.lips.title) if job.lips else "",
        parts=job.is_batch,
        voices=len({video.part for video in job.videos if video.voice}),
        finished=times,
        ok=job.succeeded,
        done=sum(v.state == "done" for v in job.videos),
        problem=_what_and_advice(job.problem, job.problem.fields, languages) if job.problem else None,
        notices=[_file_notice(notice, languages) for notice in job.notices],
        videos=[
            _video(job, config, video, languages, previews.get(video.output))
            | _faces(job, video, faces.get(video.output))
            for video in job.videos
        ],
        added=", ".join(map(printable, job.added)),
        log=LOG_NOTE,
        control_ms=CONTROL_MS,
        went_wrong=_went_wrong(job),
    )


def _when(moment: float, language: str) -> str:
    from babel import dates

    when = datetime.fromtimestamp(moment)
    date, time = dates.format_date(when, "medium", locale=language), dates.format_time(when, "short", locale=language)
    return f"{date} {time}"


def _what_and_advice(problem: Problem, fields: Mapping[str, Any], languages: tuple[str, ...]) -> dict[str, Any]:
    """Return what happened and what to do, each in all languages, and the code for the administrator."""
    texts = {language: catalog.what_and_advice(problem.code, fields, language) for language in languages}
    what: Text = {language: parts[0] for language, parts in texts.items()}
    todo: Text = {language: parts[1] for language, parts in texts.items() if parts[1]}
    return {"what": what, "todo": todo, "code": problem.code}


def _file_notice(notice: Notice, languages: tuple[str, ...]) -> dict[str, Any]:
    """Return the text about some of the folder's files, and all their names where the text shows only the first."""
    names = notice.fields.get("names", [])
    shown = [printable(name) for name in names] if len(names) > catalog.MAX_LIST_ITEMS else []
    return {"text": catalog.texts(notice.code, notice.fields, languages), "names": shown}


def _video(
    job: Job, config: Config, video: Video, languages: tuple[str, ...], preview: Preview | None
) -> dict[str, Any]:
    done, settings = video.state == "done", job.settings.apply(config.render, video.source.title)
    return {
        "name": printable(video.title),
        "voice": printable(video.voice.title) if video.voice else "",
        "ok": done,
        "kept": video.kept,
        "output": printable(video.output) if done else "",
        "link": quote(os.fsencode(video.output)) if done else "",
        "problem": _what_and_advice(video.problem, video.facts(), languages) if video.problem else None,
        "notices": [(catalog.texts(f.code, f.fields, languages), _action(f, settings)) for f in video.notices],
        "preview": preview,
        "moments": [f"{moment:.1f}" for moment in preview.moments_s] if preview else [],
        "chart": report_chart.draw(preview) if preview and preview.voice else "",
        "chart_width": report_chart.width_px(preview) if preview else 0,
        "chart_part_s": _part_s(video, preview),
        "result": video.result,
        "fps": float(Fraction(video.result.fps)) if video.result else 0,
        "offsets": _offsets(job, video),
        "settings": settings,
        "original_kept": settings.original_sound == "keep"
        and all(notice.code != "original_sound_none" for notice in video.notices),
        "attempts": video.attempts,
        "photo": is_photo(video.source.name),
    }


def _faces(job: Job, video: Video, faces: FacesSeen | None) -> dict[str, Any]:
    """Return the picture of several faces, the numbers that speak, and the lines of job.toml that choose another."""
    if faces is None:
        return {"faces": None}
    used = [number for number in faces.used if 1 <= number <= faces.count]
    return {"faces": faces, "faces_used": used, "faces_choice": _other_choice(job, video, faces)}


def _other_choice(job: Job, video: Video, faces: FacesSeen) -> str:
    """Return lines for job.toml that choose other faces than those that speak."""
    if job.settings.speakers:
        others = [*faces.used[1:], *faces.used[:1]]
        pairs = zip(job.settings.speakers, others, strict=False)
        return "\n\n".join(
            f"[[speakers]]\nvoice = {_quoted(said.voice)}\nface = {face or 1}"
            + f"\nat_s = {said.at_s:g}" * (said.at_s > 0)
            for said, face in pairs
        )
    other = next((number for number in range(1, faces.count + 1) if number not in faces.used), 1)
    table = f"[videos.{_quoted(video.source.title)}]\n" * (len(job.videos) > 1)
    return f"{table}face = {other}"


def _quoted(name: str) -> str:
    return json.dumps(printable(name), ensure_ascii=False)


def _part_s(video: Video, preview: Preview | None) -> int:
    """Return how many seconds of the start the chart shows, 0 if it shows the whole video."""
    if video.result is None or preview is None:
        return 0
    shown_s = len(preview.voice) / preview.curve_hz
    return round(shown_s) if shown_s < video.result.duration_s - 1 else 0


def _action(notice: Notice, settings: Render) -> str:
    """Return the code of what was done about a notice if the settings choose that, else ""."""
    if notice.code == "voice_longer":
        return f"audio_longer_{settings.audio_longer}"
    return f"audio_shorter_{settings.audio_shorter}" if notice.code == "voice_shorter" else ""


def _offsets(job: Job, video: Video) -> list[tuple[str, str, int]]:
    """Return for each voice its name, if there are several, and the sentence of `_offset`."""
    if video.result is None or not video.result.speakers:
        return [("", *_offset(video.result.offset_ms if video.result else None))]
    voices = zip(job.voices, video.result.speakers, strict=False)
    return [(printable(voice.title), *_offset(offset_ms)) for voice, offset_ms in voices]


def _offset(measured_ms: float | None) -> tuple[str, int]:
    """Return the code of the sentence on lips and voice, and their offset in milliseconds."""
    if measured_ms is None:
        return "report_offset_none", 0
    offset_ms = round(measured_ms)
    if offset_ms == 0:
        return "report_offset_zero", 0
    return ("report_offset" if offset_ms >= 0 else "report_offset_early"), abs(offset_ms)
