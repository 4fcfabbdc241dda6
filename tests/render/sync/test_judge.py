"""A judge sees every finished frame while it is encoded, and nobody waits for one who has seen enough."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heygemd.config.schema import Limits
from heygemd.render.scene import F32, Image
from heygemd.render.sync.judge import Judge
from heygemd.render.video import decode
from heygemd.render.video.decode import Picture

from ... import media_factory

FRAMES, AHEAD = 40, 2
NTSC = {"matrix": "smpte170m", "primaries": "smpte170m", "transfer": "smpte170m"}

Track = Callable[[Iterator[Image]], F32]


@pytest.fixture
def source(tmp_path: Path) -> Picture:
    return decode.describe_video(media_factory.video(tmp_path / "v.mp4", 2, size="1280x720"), Limits())


def judged(picture: Picture, track: Track, count: int = FRAMES) -> F32 | None:
    """Show a judge the first frames; return what one who tracks like this found."""
    with closing(Judge(picture, track, AHEAD)) as judge:
        for frame in decode.frames(picture, count):
            judge.see(frame)
        return judge.result()


def pixels(images: Iterator[Image]) -> F32:
    """All small frames, in place of lips."""
    return np.stack(list(images)).astype(np.float32)


def one_frame(images: Iterator[Image]) -> F32:
    return np.asarray(next(images), np.float32)


def give_up(images: Iterator[Image]) -> F32:
    raise RuntimeError("too slow")


@pytest.mark.parametrize("tags", [{**NTSC, "full_range": True}, NTSC])
def test_the_judge_sees_what_is_decoded_for_analysis(tags: dict[str, Any], source: Picture) -> None:
    source = replace(source, **tags, stream=replace(source.stream, range="pc" if "full_range" in tags else "tv"))
    with closing(decode.small_frames(source, FRAMES)) as images:
        expected = pixels(images)
    seen = judged(source, pixels)
    assert seen is not None and seen.shape == expected.shape == (FRAMES, 360, 640, 3)
    assert np.abs(seen - expected).mean() < 3  # the test picture's edges are scaled otherwise
    assert np.abs((seen - expected).mean((1, 2))).max() < 2  # its colours clip otherwise


def test_a_judge_who_has_seen_enough_holds_nobody_up(source: Picture) -> None:
    seen = judged(source, one_frame)
    assert seen is not None and seen.shape == (360, 640, 3)


def test_a_judge_who_gives_up_leaves_it_to_the_finished_file(source: Picture) -> None:
    assert judged(source, give_up) is None


def test_an_encode_that_fails_ends_the_judge(source: Picture) -> None:
    ended = threading.Event()

    def track(images: Iterator[Image]) -> F32:
        try:
            return pixels(images)
        finally:
            ended.set()

    with closing(Judge(source, track, AHEAD)) as judge:
        for frame in islice(decode.frames(source, FRAMES), 5):
            judge.see(frame)
    assert ended.is_set()
