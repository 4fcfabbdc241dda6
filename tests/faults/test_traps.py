"""People's traps, all of them: each kind under each name in each place, with the invariants checked after each kind."""

import os
import shutil

import pytest

from tests import traps
from tests.e2e.test_traps import check, drop_trapped

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.fault("TRAPS")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.xfail(reason="known: leftovers in processing, and a retried name"))
        if kind in ("link", "unreadable")
        else kind
        for kind in traps.KINDS
    ],
)
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
    for folder, name, waits in dropped:
        if (name, waits) == ("b.mp4.part", "unreadable"):
            shutil.rmtree(faulty.share / "inbox" / folder)
            faulty.ledger.forget(folder)
    faulty.check()


def clear(share, names):
    """Remove the traps from done/ and failed/, which the invariants expect to hold folders of jobs only."""
    for place in ("done", "failed"):
        for name in names:
            path = share / place / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif os.path.lexists(path):
                path.unlink()
