"""Coverage-guided fuzzing of the parsers that read untrusted bytes.

python -m tests.faults.fuzz_parsers TARGET [LIBFUZZER OPTION]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["heygemd", "tomli"]):
    from heygemd import protocol
    from heygemd.config import job_toml
    from heygemd.daemon import job_store
    from heygemd.daemon.intake import folder_members, job_inputs, job_record, manifest, presenter_library
    from heygemd.daemon.publish import preview_store, report
    from heygemd.errors import InputError, NotReady
    from heygemd.media import completeness
    from heygemd.storage.share_fs import HIDDEN, Entry, Folder

from loguru import logger

from heygemd.config.job_toml import JobSettings
from heygemd.config.schema import Config, Limits, Render
from heygemd.job import Job, Media, Video
from heygemd.storage import share_layout

FOLDER = Path(tempfile.mkdtemp(prefix="heygemd-fuzz-"))
SHARE, KNOWN = FOLDER / "share", ("anna.mp4", "李雷.mov")
share_layout.create(SHARE)
for known in KNOWN:
    (SHARE / share_layout.TEMPLATES / known).touch()


def examine(data: bytes) -> None:
    """The container check: returns or raises NotReady."""
    path = FOLDER / "media"
    path.write_bytes(data)
    try:
        completeness.examine(path)
    except NotReady:
        return


def settings(data: bytes) -> None:
    """A job.toml: yields settings or raises InputError."""
    try:
        job_toml.load_job(data).apply(Render())
    except InputError as error:
        assert len(str(error)) < 10_000


def record(data: bytes) -> None:
    """A job record: is read or set aside, never lost."""
    records = job_store.Store(FOLDER)
    for path in records.folder.iterdir():
        path.unlink()
    (records.folder / "a.json").write_bytes(data)
    if not records.load():
        assert list(records.folder.glob("*.corrupt-*"))


def earlier_manifest(data: bytes) -> None:
    """A finished folder's manifest: leads to a job with harmless names, or to no job."""
    earlier = manifest.parse(data)
    members = [Entry("v.wav", "file", 5, 1), Entry("a.mov", "file", 6, 1), Entry("a.mp4", "file", 60, 1)]
    seen = folder_members.sort_members(Folder("job", tuple(members), 1))
    kinds = {"v.wav": "audio"}
    classified = [job_inputs.Classified(e, kinds.get(e.name, "video")) for e in members]  # type: ignore[arg-type]
    try:
        folder_members.check_bounds(seen, Limits())
        job = job_record.compose(seen, classified, JobSettings(), Render(), earlier, 1.0)
    except NotReady:
        return
    assert all("/" not in video.output for video in job.videos)
    assert b"heygemd" in report.make(job, Config(), FOLDER / "log", {}, {}).report


def preview(data: bytes) -> None:
    """A finished folder's preview: is drawn or ignored."""
    (FOLDER / HIDDEN).mkdir(exist_ok=True)
    (FOLDER / HIDDEN / "a.mp4.json").write_bytes(data)
    media = Media(name="a.mov", size=6, mtime_ns=1)
    video = Video(source=media, output="a.mp4", state="done")
    job = Job(id="x", name="n", arrived=1.0, folder="n", voice=media, videos=[video])
    previews = preview_store.load(FOLDER, job)
    faces = {output: shown.faces for output, shown in previews.items()}
    assert b"heygemd" in report.make(job, Config(), FOLDER / "log", previews, faces).report


def presenters(data: bytes) -> None:
    """A presenters.txt: names files of templates/ only, or none."""
    try:
        found = presenter_library.find(SHARE, presenter_library.listed(data, "presenters.txt")[:64])
    except InputError:
        return
    assert {entry.name for entry in found} <= {f"{presenter_library.FROM_A_JOB}{name}" for name in KNOWN}


def event(data: bytes) -> None:
    """A line from the renderer: an event or None."""
    protocol.parse(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "examine": examine, "settings": settings, "record": record, "earlier_manifest": earlier_manifest, "event": event,
    "preview": preview, "presenters": presenters,
}  # fmt: skip

if __name__ == "__main__":
    logger.remove()
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
