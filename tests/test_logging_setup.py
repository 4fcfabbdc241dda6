import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loguru import logger

from heygemd import logging_setup
from heygemd.config.schema import Log
from heygemd.errors import LocalDiskError

SCRIPT = """
import sys
from pathlib import Path
from loguru import logger
from heygemd import logging_setup
from heygemd.config.schema import Log
logging_setup.setup(Log(level="DEBUG"), Path(sys.argv[1]))
logger.bind(job="spring\\nforged", id="7").warning("name with\\nnewline")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("oops")
"""


def run(tmp_path, journal: bool):
    reading, writing = os.pipe()
    environment = dict(os.environ)
    if journal:
        facts = os.fstat(writing)
        environment["JOURNAL_STREAM"] = f"{facts.st_dev}:{facts.st_ino}"
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "log")], stderr=writing, env=environment, check=True)
    os.close(writing)
    with os.fdopen(reading) as file:
        return file.read().splitlines()


def test_every_line_carries_a_priority_under_the_journal(tmp_path):
    lines = run(tmp_path, journal=True)
    assert lines[0].startswith("<4>")
    assert "job=spring\\nforged name with\\nnewline" in lines[0]
    assert len(lines) > 3
    assert all(line.startswith("<3>") for line in lines[1:])


def test_elsewhere_lines_are_plain_and_the_file_has_them_too(tmp_path):
    lines = run(tmp_path, journal=False)
    assert lines[0].startswith("WARNING")
    file = tmp_path / "log" / "heygemd.log"
    assert "job=spring\\nforged name" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def records(path):
    return [line.rpartition(" ")[2] for line in path.read_text().splitlines()]


@pytest.fixture
def logs():
    yield logging_setup.setup
    logger.remove()


def test_a_file_that_cannot_be_written_is_reported_once_and_used_again(tmp_path, logs, capsys, monkeypatch):
    monkeypatch.setattr(logging_setup, "RETRY_S", 0)
    file, path = logs(Log(), tmp_path), tmp_path / "heygemd.log"
    logger.info("one")
    path.rename(tmp_path / "rotated")
    path.mkdir()  # as unusable as a file that another program gave to root
    for word in ("two", "three"):
        logger.info(word)
    assert file.problem.code == "log_not_writable" and str(path) in file.problem.fields["path"]
    path.rmdir()
    logger.info("four")
    assert file.problem is None
    assert records(path) == ["four"] and records(tmp_path / "rotated") == ["one"]
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1 and "Traceback" not in said


def test_a_full_disk_is_reported_once(logs, capsys, monkeypatch):
    monkeypatch.setattr(logging_setup, "FILE_NAME", "full")
    file = logs(Log(), Path("/dev"))
    for word in ("one", "two"):
        logger.info(word)
    assert file.problem.fields["reason"] == os.strerror(errno.ENOSPC)
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1 and "Traceback" not in said


def test_a_job_log_goes_on_when_logging_is_set_up_anew_and_a_failure_changes_nothing(tmp_path, logs):
    logs(Log(), tmp_path)
    sink = logging_setup.job_sink(tmp_path / "job.log", "7")
    (tmp_path / "other").touch()
    for number, folder in enumerate((tmp_path, tmp_path / "other", tmp_path)):
        logger.bind(id="7").info(f"line-{number}")
        if folder.is_dir():
            logs(Log(), folder)
        else:
            with pytest.raises(LocalDiskError, match="log_not_writable"):
                logs(Log(), folder)
    logger.bind(id="7").info("line-3")
    logger.remove(sink)
    expected = [f"line-{number}" for number in range(4)]
    assert records(tmp_path / "job.log") == expected
    assert records(tmp_path / "heygemd.log") == expected


def test_a_large_file_is_compressed_and_the_oldest_removed(tmp_path, logs):
    logs(Log(rotation_mb=0.001, retention=2), tmp_path)
    for number in range(60):
        logger.info(f"line-{number}")
    packed = sorted(path.name for path in tmp_path.glob("*.gz"))
    assert packed == ["heygemd.log.1.gz", "heygemd.log.2.gz"]
    assert b"line-4" in gzip.decompress((tmp_path / packed[0]).read_bytes())
    assert (tmp_path / packed[0]).stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_compressed_costs_no_earlier_one(tmp_path, logs, monkeypatch):
    monkeypatch.setattr(logging_setup, "RETRY_S", 0)
    file = logs(Log(rotation_mb=0.001, retention=2), tmp_path)
    for number in range(60):
        logger.info(f"line-{number}")
    earlier = {path.name: path.read_bytes() for path in tmp_path.glob("*.gz")}
    blocked = tmp_path / "heygemd.log.gz.part"
    blocked.mkdir()  # as good as a full disk
    for number in range(60):
        logger.info(f"lost-{number}")
    assert file.problem.code == "log_not_writable"
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.gz")} == earlier
    blocked.rmdir()
    logger.info("again")
    assert file.problem is None
    assert (tmp_path / "heygemd.log.2.gz").read_bytes() == earlier["heygemd.log.1.gz"]
