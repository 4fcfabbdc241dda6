"""`heygemd demo`: creates a share, drops two sample jobs into it and runs the real daemon until they are finished."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from ..config.schema import Config, InboxSettings, Pages, Paths
from ..daemon import service
from ..errors import InputError
from ..storage import share_layout

MARKER = ".made-by-heygemd-demo"
JOB, CONVERSATION = "welcome", "two people"
SETTLE_S = 1.0
POLL_S = 0.5

Say = Callable[[str], None]


def run(folder: Path, say: Say, observe: service.Observer) -> bool:
    """Run the demo in `folder`, which is emptied first; return whether all expected videos were made.

    `say` gets each line to print, `observe` a snapshot every second. Raises InputError("demo_not_ours") rather than
    delete a folder that something else made.
    """
    share = _create_share(folder.absolute())
    say("Making three clips and a photo from NASA's portrait of Eileen Collins (public domain) ...")
    _drop_jobs(share)
    say(f"Dropped the jobs '{JOB}' and '{CONVERSATION}' into {share / 'inbox'}. The daemon takes over.")
    service.run(_settings(share), None, once=True, observe=observe)
    return _report(share, say)


def _create_share(folder: Path) -> Path:
    if folder.exists():
        if not (folder / MARKER).exists() and any(folder.iterdir()):
            raise InputError("demo_not_ours", path=str(folder))
        shutil.rmtree(folder)
    share = folder / "share"
    share.mkdir(parents=True)
    (folder / MARKER).write_text("heygemd demo deletes and recreates this folder.\n")
    share_layout.create(share)
    return share


def _drop_jobs(share: Path) -> None:
    """Assemble the jobs beside the share and move them in, so that they arrive complete."""
    from . import clips

    for name, make in ((JOB, clips.make_all), (CONVERSATION, clips.make_conversation)):
        job = share.parent / name
        job.mkdir()
        make(job)
        job.rename(share / "inbox" / name)


def _settings(share: Path) -> Config:
    local = share.parent / "local"
    folders = {name: local / name for name in ("state", "cache", "log", "models")}
    inbox = InboxSettings(
        poll_s=POLL_S, settle_local_s=SETTLE_S, settle_network_s=SETTLE_S, settle_nfs_cached_s=SETTLE_S
    )
    return Config(paths=Paths(share=share, **folders), inbox=inbox, pages=Pages(refresh_s=1))


def _report(share: Path, say: Say) -> bool:
    from . import clips

    done = share / "done"
    made = [(JOB, clip) for clip in (*clips.CLIPS, clips.PHOTO)] + [(CONVERSATION, clips.PAIR)]
    expected = [done / job / Path(clip.name).with_suffix(".mp4") for job, clip in made]
    missing = [path.name for path in expected if not path.exists()]
    if missing:
        say(f"Some videos were not made: {', '.join(missing)}. See {share / 'failed'}.")
        say(f"The log: {share.parent / 'local' / 'log' / 'heygemd.log'}")
        return False
    for job in (JOB, CONVERSATION):
        say(f"Done: {done / job}")
        for path in sorted((done / job).iterdir()):
            if not path.name.startswith("."):
                say(f"  {path.name}{'/' if path.is_dir() else ''}")
    say(f"({clips.NO_FACE.name} shows nobody, on purpose; report.html says so.)")
    return True
