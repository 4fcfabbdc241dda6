"""No link below the share's root is ever followed: at no component, and not when a folder becomes one meanwhile."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heygemd.errors import HeygemdError
from heygemd.storage import mounts, share_fs, share_owner, share_paths, transfer

ROUNDS = 400


def touch_everything(job: Path, scratch: Path) -> list[Callable[[], object]]:
    """Return everything that is ever done to a job's folder."""
    return [
        lambda: share_fs.write(job / "new", b"ours", os.getgid()),
        lambda: share_fs.make_folder(job / "folder", os.getgid()),
        lambda: share_owner.open_to_group(job / "held", os.getgid()),
        lambda: share_owner.open_to_group(job, os.getgid()),
        lambda: share_owner.yield_to_group(job / "file", os.getgid(), 0o666),
        lambda: share_fs.rename(job / "file", job / "moved"),
        lambda: share_fs.rename(job / "moved", job / "file"),
        lambda: share_fs.remove(job / "new"),
        lambda: share_fs.remove_folder(job / "folder"),
        lambda: transfer.finish(transfer.copy(job / "file", job / "copy")),
        lambda: transfer.finish(transfer.copy_out(scratch / "result", job / "result", os.getgid())),
        lambda: share_fs.remove(job / "result"),
    ]


def look_everywhere(job: Path, scratch: Path) -> Iterator[bytes]:
    """Yield everything that is read from a job's folder."""
    yield share_fs.read(job / "file")
    with share_paths.open_file(job / "file") as file:
        yield file.read()
    yield repr(share_fs.names(job)).encode()
    yield repr(share_fs.tree(job)).encode()
    yield repr(share_fs.scan(job.parent, lambda name: False)).encode()
    yield repr(mounts.mount(job)).encode() and b""
    transfer.finish(transfer.copy_in(job / "file", scratch / "in"))
    yield (scratch / "in").read_bytes()


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return what a stranger's folder and all in it is like."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        seen = path.lstat()
        found[str(path)] = (seen.st_mode, seen.st_gid, path.read_bytes() if stat.S_ISREG(seen.st_mode) else b"")
    return found


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A job's folder on a share, a folder outside with the same names in it, and local scratch."""
    job, outside, scratch = tmp_path / "share" / "inbox" / "job", tmp_path / "outside", tmp_path / "scratch"
    for folder, word in ((job, b"of staff"), (outside, b"SECRET")):
        (folder / "held").mkdir(parents=True)
        (folder / "file").write_bytes(word)
        (folder / "SECRET" if folder == outside else folder / "plain").touch()
    outside.chmod(0o700)
    scratch.mkdir()
    (scratch / "result").write_bytes(b"result")
    return job, outside, scratch


def without_errors(step: Callable[[], object]) -> object:
    with contextlib.suppress(HeygemdError, OSError):
        return step()
    return None


@pytest.mark.parametrize("component", ["job", "inbox", "share"])
def test_a_link_at_any_component_is_refused(places: tuple[Path, Path, Path], component: str) -> None:
    job, outside, scratch = places
    share_paths.anchor(job.parents[1])
    swapped = next(path for path in (job, *job.parents) if path.name == component)
    swapped.rename(swapped.with_name("aside"))
    (outside / "inbox" / "job").mkdir(parents=True)
    (outside / "job").mkdir()
    swapped.symlink_to(outside)
    before = state(outside)
    for step in touch_everything(job, scratch):
        without_errors(step)
    if component == "share":  # the administrator's own link
        assert (outside / "inbox" / "job" / "folder").exists() is False
        return
    assert state(outside) == before
    assert not without_errors(lambda: [text for text in look_everywhere(job, scratch) if b"SECRET" in text])


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(places: tuple[Path, Path, Path]) -> None:
    job, outside, scratch = places
    before, done = state(outside), threading.Event()

    def swap() -> None:
        aside, link = job.with_name("aside"), job.with_name("link")
        while not done.is_set():
            job.rename(aside)
            link.symlink_to(outside)
            link.replace(job)
            job.unlink()
            aside.rename(job)
        assert job.is_dir()

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(ROUNDS):
            for step in touch_everything(job, scratch):
                without_errors(step)
            texts = look_everywhere(job, scratch)
            while (text := without_errors(lambda: next(texts, b""))) not in (None, b""):  # noqa: B023
                assert b"SECRET" not in text
    finally:
        done.set()
        thread.join()
    assert state(outside) == before
