"""What is known of a video is found out once."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from heygemd.config.schema import Limits
from heygemd.errors import InputError
from heygemd.render import analysis
from heygemd.render.cache import Cache
from heygemd.render.video import decode

from .. import media_factory


def test_a_video_is_described_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["-pix_fmt", "yuvj420p", "-colorspace", "bt709", "-c:a", "aac"]
    path = media_factory.video(tmp_path / "v.mp4", 1, rate="30000/1001", options=options)
    cache = Cache(tmp_path / "cache", 1 << 20)
    described = analysis.describe_video(path, "digest", Limits(), cache, tmp_path / "first")
    assert described == decode.describe_video(path, Limits())
    assert described.fps == Fraction(30000, 1001) and described.full_range
    asked: list[Path] = []

    def look(path: Path, limits: Limits) -> decode.Picture:
        asked.append(path)
        raise InputError("no_video")

    monkeypatch.setattr(decode, "describe_video", look)
    moved = tmp_path / "moved.mp4"
    again = analysis.describe_video(moved, "digest", Limits(), cache, tmp_path / "second")
    assert again == replace(described, path=moved)
    assert asked == []
    for digest, limits in (("other", Limits()), ("digest", Limits(max_video_s=2.0))):
        with pytest.raises(InputError, match="no_video"):
            analysis.describe_video(moved, digest, limits, cache, tmp_path / "third")
    assert asked == [moved, moved]
