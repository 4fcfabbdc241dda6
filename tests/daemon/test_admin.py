"""Who may stop, retry and pause: members of the share's group, and nobody else; a stranger is told so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from heygemd.config.schema import Config, Paths
from heygemd.daemon import admin
from heygemd.daemon.intake.job_folder import LOG_NOTE
from heygemd.errors import HeygemdError, InputError
from heygemd.i18n import catalog
from heygemd.storage import share_layout, share_paths
from tests.e2e.test_ownership import DAEMON_UID, GROUP, STAFF_UID

pytestmark = pytest.mark.root
STRANGER = 3
"""A uid, and the gid of its only group."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A share of the staff's group with a job in each place, and records that only the service may read."""
    if os.geteuid() != 0:
        pytest.skip("needs root to act as two users")
    names = ("share", "state", "cache", "log", "models")
    config = Config(paths=Paths(**{name: tmp_path / name for name in names}))
    share_layout.create(config.paths.share)
    share_paths.anchor(config.paths.share)
    for place in share_layout.FOLDERS:
        (config.paths.share / place / f"in {place}").mkdir()
    for path in (config.paths.share, *config.paths.share.rglob("*")):
        os.chown(path, DAEMON_UID, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o660)
    config.paths.share.chmod(0o2775)
    config.paths.state.mkdir(mode=0o700)
    for path in tmp_path.parents:
        if path.stat().st_uid == os.geteuid() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    return config


def said(user: int, group: int, attempt: Callable[[], object]) -> str:
    """Return "done" if a user of that one group succeeds, else the code of the error, or its type."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        answer = "done"
        try:
            os.setgroups([group])
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
            attempt()
        except HeygemdError as error:
            answer = error.code
        except BaseException as error:
            answer = repr(error)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as answers:
        return answers.read()


def test_staff_may_stop_retry_pause_and_resume_without_reading_the_records(config: Config) -> None:
    inbox = config.paths.share / "inbox"
    for name in ("in inbox", "in processing"):
        assert said(STAFF_UID, GROUP, lambda name=name: admin.cancel(config, name)) == "done"  # type: ignore[misc]
        assert (config.paths.share / name.removeprefix("in ") / name / "CANCEL").is_file()
    assert said(STAFF_UID, GROUP, lambda: admin.retry(config, "in failed")) == "done"
    assert (inbox / "in failed").is_dir()
    assert said(STAFF_UID, GROUP, lambda: admin.pause(config)) == "done"
    assert (inbox / "PAUSE").is_file()
    assert said(STAFF_UID, GROUP, lambda: admin.resume(config)) == "done"
    assert not (inbox / "PAUSE").exists()


def test_a_stranger_is_refused_in_words_and_changes_nothing(config: Config) -> None:
    before = sorted(config.paths.share.rglob("*"))
    attempts: list[Callable[[], object]] = [
        *(lambda name=name: admin.cancel(config, name) for name in ("in inbox", "in processing")),  # type: ignore[misc]
        *(lambda name=name: admin.retry(config, name) for name in ("in done", "in failed")),  # type: ignore[misc]
        lambda: admin.pause(config),
        lambda: admin.resume(config),
    ]
    assert [said(STRANGER, STRANGER, attempt) for attempt in attempts] == ["not_allowed"] * len(attempts)
    assert sorted(config.paths.share.rglob("*")) == before
    for language in ("en", "zh"):
        assert str(config.paths.share) in catalog.text("not_allowed", {"path": config.paths.share}, language)


@pytest.mark.parametrize("name", ["", ".", "..", "../inbox", "in failed/.", "/etc"])
@pytest.mark.parametrize("command", [admin.cancel, admin.retry, admin.open_log])
def test_what_is_no_folders_name_names_no_job(
    config: Config, command: Callable[[Config, str], object], name: str
) -> None:
    before = sorted(config.paths.share.rglob("*"))
    with pytest.raises(InputError, match="job_unknown"):
        command(config, name)
    assert sorted(config.paths.share.rglob("*")) == before


@pytest.mark.parametrize("put", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo])
def test_a_log_on_the_share_is_read_only_if_it_is_a_file(config: Config, put: Callable[[Path], None]) -> None:
    log = config.paths.share / "done" / "in done" / LOG_NOTE
    put(log)
    with pytest.raises(InputError, match="job_unknown"):
        admin.open_log(config, "in done")
    log.unlink()
    log.write_text("claimed")
    with admin.open_log(config, "in done") as opened:
        assert opened.read() == b"claimed"
