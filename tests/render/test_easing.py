"""Smooth transitions."""

import numpy as np

from heygemd.render.easing import smoothstep


def test_it_rises_from_0_to_1_with_flat_ends_and_keeps_the_type():
    x = np.linspace(-1, 2, 301, dtype=np.float32)
    y = smoothstep(x)
    assert y.dtype == np.float32
    assert (y[x <= 0] == 0).all() and (y[x >= 1] == 1).all() and (np.diff(y) >= 0).all()
    assert y[150] == np.float32(0.5)
    assert np.diff(y).max() < 0.0151 and np.diff(y)[101] < 0.001
