"""The invariants that hold after every fault (I1 to I8), checked on the share, the job records and the status."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from heygemd.daemon.intake.filename_rules import LOOSE_NOTE, WAITING_NOTE, WHY_NOTE, is_a, kind_by_name
from heygemd.daemon.intake.manifest import FILE
from heygemd.storage import atomic
from heygemd.storage.share_fs import HIDDEN
from heygemd.storage.share_layout import TEMPLATES
from tests.e2e.harness import FOLDERS, Site, frame_count

NOTES = (LOOSE_NOTE, WAITING_NOTE, WHY_NOTE)
ORIGINALS = "originals"


def digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def contents(folder: Path) -> Counter[str]:
    """Return the number of files below a folder by the digest of their content."""
    return Counter(digest(path) for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def written_by_daemon(path: Path) -> bool:
    """Whether the daemon wrote the file in an earlier run and may replace it. Results do not count."""
    return (
        path.parent.name == HIDDEN
        or path.name == "report.html"
        or path.name.startswith("HEYGEMD-")
        or path.name in NOTES
    )


class Ledger:
    """Records the files that staff put into the share, to find out later whether one is missing."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.jobs: dict[str, Counter[str]] = {}

    def note(self, folder: Path) -> None:
        """Record a folder's files as they are now; call it again after each change by staff."""
        files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        self.jobs[folder.name] = Counter(digest(path) for path in files if not written_by_daemon(path))

    def forget(self, name: str) -> None:
        """Drop a folder that staff took away."""
        del self.jobs[name]

    def check(self, max_attempts: int = 3) -> None:
        """Assert I1, I2, I3, I5, I6 and I7. I4, a job rendered afterwards, is up to the caller."""
        self.one_place_each()
        self.nothing_lost()
        for folder in (self.site.share / "done").iterdir():
            assert_complete(folder)
        for folder in (self.site.share / "failed").iterdir():
            assert (folder / WHY_NOTE).stat().st_size > 20, f"I6: no reason in failed/{folder.name}"
        for job in self.site.records():
            for video in job["videos"]:
                assert video["attempts"] <= max_attempts, f"I5: {job['name']} {video}"
        # A folder that came back has a record of each round.
        newest = {job["destination"]: job for job in sorted(self.site.records(), key=lambda job: str(job["id"]))}
        for place, job in newest.items():
            folder = self.site.share / place
            if job["phase"] == "finished" and place.startswith("done/") and folder.is_dir():
                assert_matches_originals(folder, job)

    def one_place_each(self) -> None:
        for name in self.jobs:
            places = self.site.place_of(name)
            assert len(places) == 1, f"I1: {name} lies in {places}"
        hidden = [p for place in FOLDERS for p in (self.site.share / place).glob(".*heygemd-part*")]
        assert not hidden, f"I1: {hidden}"

    def nothing_lost(self) -> None:
        for name, wanted in self.jobs.items():
            found = contents(self.site.share / self.site.place_of(name)[0] / name)
            assert not wanted - found, f"I2: {name} lost {sum((wanted - found).values())} files"


def assert_matches_originals(folder: Path, job: dict[str, Any]) -> None:
    """Assert I7: all that is delivered was made from what lies in originals/, and no other media lie beside it.

    Presenters named by a job lie in templates/, unless it is told that they are gone; results of an earlier round have
    no digests in the record.
    """
    gone = {notice["fields"]["name"] for notice in job["notices"] if notice["code"] == "template_gone"}
    places = (folder / ORIGINALS, folder.parents[1] / TEMPLATES)
    kept = {record_digest(path) for place in places for path in place.rglob("*") if path.is_file()}
    done = [v for v in job["videos"] if v["state"] == "done"]
    for media in (job["voice"], *(media for v in done for media in (v["source"], v["voice"]) if media)):
        told = media["name"].startswith("../") and Path(media["name"]).name in gone
        assert not media["digest"] or told or media["digest"] in kept, f"I7: {folder} {media}"
    for video in done:
        if not video["kept"]:
            assert record_digest(folder / video["output"]) == video["output_digest"], f"I7: {folder} {video}"
    parts = {Path(v["output"]).parent for v in done}
    beside = [p for part in parts | {Path()} for p in (folder / part).iterdir() if p.is_file() and not p.is_symlink()]
    shown = {str(p.relative_to(folder)) for p in beside if kind_by_name(p.name) and not is_a("junk", p.name)}
    assert shown == {v["output"] for v in done}, f"I7: media beside the results in {folder}: {shown}"


def record_digest(path: Path) -> str:
    return atomic.digest(atomic.blocks_of(path))


def nobody_waits(site: Site) -> bool:
    """Return whether no job waits for another's fault (I8): nothing is paused, and what rests says why."""
    status = site.status()
    resting = (*status["queue"], *status["waiting"])
    return status["state"] in ("idle", "working", "stopped") and all(job["text"] for job in resting)


class LedgerSite(Site):
    """A site with a ledger of all that is dropped, to be checked after a fault."""

    def __init__(self, root: Path, **sections: dict[str, Any]) -> None:
        super().__init__(root, **sections)
        self.ledger = Ledger(self)

    def drop(self, name: str, **files: Path) -> Path:
        folder = super().drop(name, **files)
        self.ledger.note(folder)
        return folder


def assert_complete(folder: Path) -> None:
    """Assert that a folder in done/ has only finished results, each decodable to its end."""
    parts = [p for p in folder.rglob("*") if p.name.endswith((".part", "heygemd-part"))]
    assert not parts, f"I3: {parts}"
    made = json.loads((folder / HIDDEN / FILE).read_bytes())["made"]
    results = [folder / m["output"] for m in made]
    assert results, f"I3: done/{folder.name} has no result"
    for path in results:
        assert frame_count(path) > 0, f"I3: {path}"
    assert {p.name for p in folder.iterdir()} >= {ORIGINALS, "report.html", "HEYGEMD-log.txt"}, f"I3: {folder}"
