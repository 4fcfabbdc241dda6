"""A presenter in motion, tracked."""

import pytest

from heygemd.render.scene import Image, Track

from ... import presenter as people

FRAMES = 40


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Image], Track]:
    frames = people.swaying(FRAMES)
    return frames, people.track(frames, tmp_path_factory.mktemp("scene"))[0]
