import numpy as np

from heygemd.render.face.detector import tiles


def test_tiles_cover_the_frame() -> None:
    for level in range(3):
        covered = np.zeros((360, 640), bool)
        for x, y, side in tiles(640, 360, level):
            covered[y : y + side, x : x + side] = True
        assert covered.all()
