"""`heygemd demo`: a share of its own, a sample job dropped into it, the real daemon at work until it is done."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console

from .. import terminal
from ..config.schema import Config, InboxSettings, Pages, Paths
from ..daemon import service
from ..errors import InputError
from ..storage import share_layout

MARKER = ".made-by-heygemd-demo"
JOB = "welcome"
SETTLE_S = 1.0
POLL_S = 0.5


def run(folder: Path) -> bool:
    """Run the demo in `folder`, made afresh; return whether the expected videos came out.

    Raises InputError("demo_not_ours") rather than delete a folder that something else made.
    """
    console = Console()
    share = _fresh(folder.absolute())
    console.print("Making three clips from NASA's portrait of Eileen Collins (public domain) ...")
    _drop(share)
    console.print(f"Dropped the job '{JOB}' into {share / 'inbox'}; the daemon takes over.", soft_wrap=True)
    with terminal.Bars(console) as bars:
        service.run(_settings(share), None, once=True, observe=bars.show)
    return _tell(console, share)


def _fresh(folder: Path) -> Path:
    if folder.exists():
        if not (folder / MARKER).exists() and any(folder.iterdir()):
            raise InputError("demo_not_ours", path=str(folder))
        shutil.rmtree(folder)
    share = folder / "share"
    share.mkdir(parents=True)
    (folder / MARKER).write_text("heygemd demo removes this folder and makes it again.\n")
    share_layout.create(share)
    return share


def _drop(share: Path) -> None:
    """Put the job together beside the share and move it in, as a finished copy arrives."""
    from . import clips

    job = share.parent / JOB
    job.mkdir()
    clips.make_all(job)
    shutil.copy(Path(__file__).with_name("voice.m4a"), job / "voice.m4a")
    job.rename(share / "inbox" / JOB)


def _settings(share: Path) -> Config:
    local = share.parent / "local"
    names = ("state", "cache", "log", "models")
    return Config(
        paths=Paths(share=share, **{name: local / name for name in names}),
        inbox=InboxSettings(
            poll_s=POLL_S, settle_local_s=SETTLE_S, settle_network_s=SETTLE_S, settle_nfs_cached_s=SETTLE_S
        ),
        pages=Pages(refresh_s=1),
    )


def _tell(console: Console, share: Path) -> bool:
    from . import clips

    done = share / "done" / JOB
    finished = [done / Path(clip.name).with_suffix(".mp4") for clip in clips.CLIPS]
    missing = [path.name for path in finished if not path.exists()]
    if missing:
        console.print(f"Not every video came out ({', '.join(missing)}). See {share / 'failed'}.", soft_wrap=True)
        console.print(f"The log: {share.parent / 'local' / 'log' / 'heygemd.log'}", soft_wrap=True)
        return False
    console.print(f"Done: {done}", soft_wrap=True)
    for path in sorted(done.iterdir()):
        if not path.name.startswith("."):
            console.print(f"  {path.name}{'/' if path.is_dir() else ''}", markup=False)
    console.print(f"({clips.NO_FACE.name} shows nobody, on purpose: report.html says so.)", soft_wrap=True)
    return True
