"""The shape modes that belong to the mouth parameters."""

import numpy as np

from heygemd.render.face.mouth_params import measure_mouth
from heygemd.render.face.pose import face_shape


def test_modes_move_only_their_own_parameter() -> None:
    shape = face_shape()
    moved = measure_mouth(shape["mean"] + shape["modes"]) - measure_mouth(shape["mean"][None])
    assert np.allclose(moved, np.eye(5), atol=0.05)
    assert not shape["modes"][:, [33, 263, 6, 10]].any()
