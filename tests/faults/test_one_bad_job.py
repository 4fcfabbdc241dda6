"""A job that cannot go on never keeps others from going on: every call on its files fails for good, one at a time.

HEYGEMD_STALL_STRIDE (default 80; `make faults` uses 4): each error is tried at every Nth call, each from one call on.
"""

import errno
import os

import pytest
from loguru import logger

from heygemd import logging_setup
from heygemd.config.schema import Log
from tests import media_factory
from tests.faults import one_bad_job

OTHERS = 20
ERRORS = ("EIO", "ENOSPC", "EACCES", "EROFS", "EISDIR", "ELOOP", "ESTALE", "ENAMETOOLONG")
STRIDE = int(os.environ.get("HEYGEMD_STALL_STRIDE", "80"))


@pytest.mark.slow
@pytest.mark.fault("STALL")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("error", ERRORS)
def test_whatever_fails_for_one_job_all_others_finish_and_it_has_an_end(tmp_path, error, record_property):
    logging_setup.setup(Log(level="ERROR"), None)
    logger.remove()
    voice = media_factory.audio(tmp_path / "voice.wav", 0.2)
    number = getattr(errno, error)
    with one_bad_job.short_pauses():
        found = one_bad_job.places(tmp_path / "watched", voice)
        tried = found[ERRORS.index(error) % STRIDE :: STRIDE]
        ends = {place: one_bad_job.try_place(tmp_path / "tried", voice, place, number, OTHERS) for place in tried}
    record_property("times", len(ends))
    assert not {place: what for place, what in ends.items() if what}
    assert len(found) > 100
