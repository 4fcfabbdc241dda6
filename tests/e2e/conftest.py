from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.invariants import LedgerSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LedgerSite]:
    made = LedgerSite(tmp_path)
    yield made
    made.close()
