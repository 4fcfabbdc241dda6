"""A real daemon on a share full of traps: every healthy job is rendered, every other one gets its reason."""

import json

import pytest

from heygemd.daemon.intake.filename_rules import LOOSE_NOTE, WHY_NOTE
from tests import traps
from tests.e2e.harness import wait_for


def drop_trapped(site, media, kinds):
    """Drop a folder that cannot be rendered for each name, with a trap in it; return the folders' names."""
    dropped = []
    for number, name in enumerate(traps.names_in_job()):
        kind = kinds[number % len(kinds)]
        folder = site.drop(f"trapped {number}", voice__m4a=media.voice, broken__mp4=media.broken)
        traps.lay_in_job(folder, name, kind, site.root)
        dropped.append(folder.name)
    return dropped


def check(site, dropped):
    """Wait until all have their reason, and assert that nothing was followed, lost or taken for an outage."""
    for folder in dropped:
        wait_for(lambda f=folder: (site.share / "failed" / f / WHY_NOTE).exists(), f"failed/{folder}")
    assert traps.untouched(site.root)
    assert "the share cannot be used" not in site.log()
    assert "unexpected error" not in site.log()
    assert "backing off" not in site.log()
    assert json.loads((site.share / "status.json").read_bytes())["state"] != "share-unavailable"
    for name in ("status.html", "status.js", "HOW-TO.html"):
        assert (site.share / name).is_file() and not (site.share / name).is_symlink()


@pytest.mark.fault("TRAPS")
def test_traps_everywhere_stop_nothing(site, media):
    laid = traps.lay_everywhere(site.share, traps.KINDS)
    dropped = drop_trapped(site, media, traps.KINDS)
    mine = traps.kept(site.share)
    site.drop("healthy", voice__m4a=media.voice, anna__mp4=media.face)
    site.start()
    site.finished("healthy")
    check(site, dropped)
    assert traps.kept(site.share) == mine
    assert laid


def test_a_folder_named_like_the_note_on_loose_files_is_seen_once_and_the_note_is_written(site):
    trap = traps.lay(site.share / "inbox", LOOSE_NOTE, "folder", site.root)
    (site.share / "inbox" / "lost.mp4").write_bytes(b"x")
    site.start()
    wait_for(trap.is_file, "the note")
    aside = trap.with_name(f"{trap.stem} (set aside){trap.suffix}")
    seen = sorted(["inbox", aside.name])
    wait_for(
        lambda: sorted(job["name"] for job in site.status()["waiting"]) == sorted(seen), lambda: str(site.status())
    )
    assert (aside / "notes").read_text() == "mine"
