"""A local member of staff, even one in the service's own group, reaches nothing that is private to the service."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .harness import Site, wait_for
from .test_ownership import AS_DAEMON, DAEMON_UID, GROUP, READS_ALL, STAFF_UID

WITH_UMASK = 'umask "$0"; exec "$@"'


@pytest.fixture(params=["0", "0007"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site whose daemon has staff's group and was started with a umask that hides nothing."""
    if os.geteuid() != 0:
        pytest.skip("needs root to act as two users")
    root = Path(tempfile.mkdtemp(prefix="heygemd-", dir="/var/tmp"))
    root.chmod(0o777)
    site = Site(root)
    for path in (root, *root.rglob("*")):
        os.chown(path, DAEMON_UID, GROUP)
    (root / "notify").chmod(0o777)
    site.prefix = ["sh", "-c", WITH_UMASK, request.param, *AS_DAEMON, *READS_ALL]
    yield site
    site.close()
    shutil.rmtree(root)


def as_staff(attempt: Callable[[], object]) -> bool:
    """Return whether another user of the daemon's group succeeds."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([GROUP])
            os.setresgid(GROUP, GROUP, GROUP)
            os.setresuid(STAFF_UID, STAFF_UID, STAFF_UID)
            attempt()
        except OSError:
            os._exit(1)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def private(site: Site) -> list[Path]:
    folders = [site.root / name for name in ("state", "cache", "log")]
    return [*folders, *(path for folder in folders for path in folder.rglob("*"))]


def seen(path: Path) -> int | None:
    """Return the permissions; None for what has gone since, and for a link."""
    try:
        return None if path.is_symlink() else path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None


def forge(folder: Path) -> None:
    (folder / "forged.json").write_text("{}")


def replace(path: Path) -> None:
    path.with_name("theirs").write_text("{}")
    path.with_name("theirs").rename(path)


@pytest.mark.root
def test_staff_reach_nothing_of_the_service_while_it_renders(site: Site, media) -> None:
    site.drop("hello", voice__m4a=media.voice, anna__mp4=media.face)
    for path in (site.share / "inbox" / "hello", *(site.share / "inbox" / "hello").iterdir()):
        os.chown(path, STAFF_UID, GROUP)
        path.chmod(0o770 if path.is_dir() else 0o660)
    site.start()
    wait_for(lambda: list((site.root / "cache").glob("jobs/*/attempt-01/tmp")), "a render")
    found = private(site)
    names = {path.name for path in found}
    assert {"heygemd.log", "status.json", "lock", "attempt-01"} <= names
    assert "request.json" not in names
    assert [str(path) for path in found if (seen(path) or 0) & 0o077] == []
    for path in found:
        assert not as_staff(lambda: os.listdir(path) if path.is_dir() else path.read_bytes()), path  # noqa: B023
        assert not as_staff(lambda: forge(path) if path.is_dir() else replace(path)), path  # noqa: B023
    assert as_staff(lambda: (site.share / "inbox" / "theirs").mkdir())  # the attempts are able to succeed
    site.finished("hello")
    assert [str(path) for path in private(site) if (seen(path) or 0) & 0o077] == []


@pytest.mark.root
def test_folders_left_open_by_an_earlier_version_are_closed_at_start_and_forged_records_set_aside(site: Site) -> None:
    for name in ("state", "state/jobs", "cache", "log"):
        folder = site.root / name
        folder.mkdir(exist_ok=True)
        os.chown(folder, DAEMON_UID, GROUP)
        folder.chmod(0o770)
    assert as_staff(lambda: forge(site.root / "state" / "jobs"))
    site.start()
    wait_for(lambda: "is unreadable" in site.log(), "the forged record")
    assert not as_staff(lambda: forge(site.root / "state" / "jobs"))
    assert "was open to other users" in site.log()
    assert [str(path) for path in private(site) if (seen(path) or 0) & 0o077 and path.owner() != "bin"] == []


@pytest.mark.root
def test_a_private_folder_of_another_user_stops_the_start(site: Site) -> None:
    (site.root / "state").mkdir()
    os.chown(site.root / "state", STAFF_UID, GROUP)
    (site.root / "state").chmod(0o777)
    assert site.start().wait(60) == 69
    assert "belongs to another user" in (site.root / "stderr").read_text()
