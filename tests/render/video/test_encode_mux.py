"""What x264 is asked for, and when NVENC is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from heygemd.config.schema import Render
from heygemd.errors import InfrastructureError
from heygemd.render.video import encode_mux
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


@pytest.mark.parametrize("driver", [False, True])
def test_nvenc_is_tried_only_where_the_driver_is(driver: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial takes up to a second."""
    tried = []

    def refuse(argv: list[str]) -> None:
        tried.append("h264_nvenc" in argv)
        raise InfrastructureError("ffmpeg_missing")

    monkeypatch.setattr(encode_mux, "Writer", refuse)
    monkeypatch.setattr(encode_mux, "NVIDIA", tmp_path if driver else tmp_path / "none")
    assert not encode_mux.nvenc_works.__wrapped__() and tried == [True] * driver
