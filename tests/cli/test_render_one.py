"""Settings of `heygemd render` on the command line."""

from __future__ import annotations

import pytest

from heygemd import terminal
from heygemd.cli import render_one
from heygemd.config import schema
from heygemd.errors import ConfigError


def test_render_settings_by_assignment() -> None:
    chosen = render_one.override(
        schema.Render(), ["crf=20", "render.preset = fast", "zip_results=true", 'device="cpu"']
    )
    assert chosen == schema.Render(crf=20, preset="fast", zip_results=True, device="cpu")


def test_wrong_assignments_are_listed_together() -> None:
    with pytest.raises(ConfigError) as raised:
        render_one.override(schema.Render(), ["crf=99", "qualty=high", "nonsense"])
    lines = terminal.explain(raised.value).splitlines()
    assert len(lines) == 4
    assert "did you mean 'quality'" in lines[1]
    assert "crf = 99" in lines[3]
    assert lines[2].strip() == "nonsense: expected KEY=VALUE"
