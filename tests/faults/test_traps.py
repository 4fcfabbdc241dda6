"""People's traps, all of them: each kind under each name in each place, with the invariants checked after each kind."""

import os
import shutil

import pytest

from tests import traps
from tests.e2e.test_traps import check, drop_trapped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.fault("TRAPS")
@pytest.mark.parametrize("kind", traps.KINDS)
def test_a_kind_of_trap_under_every_name_of_ours(faulty, media, record_property, kind):
    laid = traps.lay_everywhere(faulty.share, (kind,))
    dropped = drop_trapped(faulty, media, (kind,))
    mine = traps.kept(faulty.share)
    faulty.healthy("healthy")
    faulty.start()
    faulty.finished("healthy")
    check(faulty, dropped)
    assert traps.kept(faulty.share) == mine
    record_property("times", len(laid) + len(dropped))
    clear(faulty.share, [path.name for path in laid])
    faulty.check()


def clear(share, names):
    """Remove the traps from where the invariants expect folders of jobs only."""
    for place in ("processing", "done", "failed"):
        for name in names:
            path = share / place / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif os.path.lexists(path):
                path.unlink()
