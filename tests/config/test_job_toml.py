"""job.toml: only a safe subset of the settings, and short errors."""

from __future__ import annotations

import pytest

from heygemd.config import job_toml, schema
from heygemd.errors import InputError


def test_job_toml_cannot_name_paths_or_commands() -> None:
    with pytest.raises(InputError) as raised:
        job_toml.load_job(b'engine = "mesh"\nshare = "/etc"\n[paths]\nstate = "/"\n')
    assert raised.value.code == "job_toml_invalid"
    assert len(raised.value.fields["mistakes"]) == 2


@pytest.mark.parametrize(
    "text", [b"priority = " + b"[" * 30_000, b"priority = " + b"9" * 5000, b"k" * 60_000 + b" = 1", b"\0\xff" * 99]
)
def test_any_invalid_job_toml_gives_a_short_error(text: bytes) -> None:
    with pytest.raises(InputError) as caught:
        job_toml.load_job(text)
    assert len(str(caught.value)) < 1000


def test_job_toml_overrides_the_safe_subset() -> None:
    overrides = job_toml.load_job(b'quality = "high"\npriority = 3\n')
    render = overrides.apply(schema.Render())
    assert render == schema.Render(quality="high")
