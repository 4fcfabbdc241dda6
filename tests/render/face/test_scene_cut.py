from pathlib import Path

import numpy as np

from .. import presenter as people


def test_cut_is_seen(tmp_path: Path) -> None:
    mirrored = [np.ascontiguousarray(frame[:, ::-1] // 2) for frame in people.swaying(12)]
    track, _ = people.track(people.swaying(12) + mirrored, tmp_path)
    assert np.flatnonzero(track.cuts).tolist() == [0, 12]
    assert (track.effect_weight > 0.9).all()
