"""What x264 is asked for."""

from __future__ import annotations

import pytest

from heygemd.config.schema import Render
from heygemd.render.video.encode_mux import x264


@pytest.mark.parametrize("settings", [{}, {"preset": "veryfast"}, {"quality": "high"}])
def test_no_lookahead_thread(settings: dict[str, str]) -> None:
    """With one, x264's result depends on timing; whether two encodes differ is chance, so the options are looked at."""
    assert "sync-lookahead=0" in str(x264(Render(**settings))["x264-params"]).split(":")


def test_superfast_gets_macroblock_tree() -> None:
    assert "mbtree=1" in str(x264(Render())["x264-params"]).split(":")


def test_a_quality_fixes_preset_and_crf() -> None:
    draft, high = (x264(Render(quality=quality, preset="veryfast", crf=20)) for quality in ("draft", "high"))
    assert (draft["preset"], draft["crf"]) == ("ultrafast", 26)
    assert (high["preset"], high["crf"]) == ("medium", 15)
