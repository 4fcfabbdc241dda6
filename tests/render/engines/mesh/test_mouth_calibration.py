"""The presenter's closed mouth."""

import numpy as np
import pytest

from heygemd.render.engines.mesh import mouth_calibration
from heygemd.render.face.mouth_params import JAW, LOWER, OPEN
from heygemd.render.face.pose import Pose


def test_closed_mouth_of_one_who_never_closes() -> None:
    chance = np.random.default_rng(0)
    opening = chance.uniform(0.08, 0.2, 300).astype(np.float32)
    q = np.stack([opening, 0.55 + 0 * opening, 1.3 + 0.65 * opening, 0.65 - 0.1 * opening, 0.88 + 0.9 * opening], 1)
    upright = np.tile(np.eye(3, dtype=np.float32), (300, 1, 1))
    pose = Pose(np.ones(300, np.float32), upright, np.zeros((300, 3), np.float32))
    motion = mouth_calibration.MouthMotion(q.astype(np.float32), pose, np.ones(300, np.int32))
    rest = mouth_calibration.closed_mouth(mouth_calibration.fit_closed_mouth(motion), np.zeros((1, 3), np.float32))[0]
    assert rest[OPEN] <= mouth_calibration.MAX_CLOSED
    assert rest[JAW] == pytest.approx(1.32, abs=0.02) and rest[LOWER] == pytest.approx(0.907, abs=0.02)
