"""Which frames lend their texture, and when."""

import numpy as np

from heygemd.render.engines.mesh import texture_bank
from heygemd.render.scene import Image, Track

from ... import presenter as people
from .conftest import FRAMES


def test_path_is_cheapest_and_does_not_flicker() -> None:
    noise = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    cost = noise * 0.5
    cost[:30, 1] -= 1
    cost[30:, 2] -= 1
    path = texture_bank.choose_textures(cost, np.zeros(60, bool))
    assert (path[:29] == 1).all() and (path[31:] == 2).all()


def test_hand_before_the_mouth_is_no_texture(scene: tuple[list[Image], Track]) -> None:
    frames, track = scene
    spoiled = [frame.copy() for frame in frames]
    wanted = list(range(0, FRAMES, 4))
    x, y = track.points(8, 9)[0, 13, :2].astype(int)
    spoiled[8][y - 20 : y + 30, x - 40 : x + 20] = (60, 90, 150)
    data = texture_bank.extract_textures(people.crops(spoiled, track, wanted), track)
    assert 8 not in data["texture_frames"] and len(data["texture_frames"]) >= len(wanted) - 2
