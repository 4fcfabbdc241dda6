"""A preview's pictures come from the first seconds: they are taken before the rest is measured."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from heygemd.render.audio.mel import VOICE_RATE_HZ
from heygemd.render.scene import Timeline, Track
from heygemd.render.sync import av_offset
from heygemd.render.video import preview


def test_the_moments_of_one_face_are_known_when_its_first_seconds_are(tmp_path: Path) -> None:
    fps, count = Fraction(25), 500
    random = np.random.default_rng(1)
    track = Track(
        64, 36, fps, np.tile(np.int32((0, 0, 32, 32)), (count, 1)), np.ones(count, np.float32),
        np.zeros(count, np.float32), np.arange(count) == 0, np.ones(count, np.uint8), tmp_path / "none",
    )  # fmt: skip
    line = Timeline(fps, np.arange(count, dtype=np.int32))
    openings = random.random(count).astype(np.float32)
    voice = random.normal(size=20 * VOICE_RATE_HZ).astype(np.float32)
    whole = preview.choose_moments([openings], [track], line, [voice])
    first = preview.choose_moments([openings[: int(av_offset.STEP_S * fps)]], [track], line, [voice])
    assert first == whole
    assert len(first) == preview.MOMENTS and max(first) < preview.WITHIN_S * fps
