"""Each class of errors has its exit status."""

from __future__ import annotations

import pytest

from heygemd.errors import ConfigError, EngineError, InfrastructureError, InputError
from heygemd.exit_codes import of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("config_invalid"), 78),
        (InputError("no_face"), 4),
        (InfrastructureError("share_missing"), 69),
        (EngineError("engine_error"), 5),
    ],
)
def test_errors_have_their_exit_status(error: Exception, status: int) -> None:
    assert of(error) == status  # type: ignore[arg-type]
