import os
import subprocess
import sys

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
