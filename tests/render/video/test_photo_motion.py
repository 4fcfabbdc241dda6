"""A photograph's blinks and sway, on the presenter's portrait."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from heygemd.render.face.mesh_indices import CHIN, FOREHEAD_TOP, LEFT_EYE, RIGHT_EYE
from heygemd.render.scene import F32
from heygemd.render.video import decode, photo_motion
from heygemd.render.video.decode import Frame, Picture, planes
from heygemd.render.video.photo_motion import BLINK_EVERY_S, CLOSED, PhotoMotion
from tests.photos import png, save
from tests.render import presenter

FRAMES = 500


class Still:
    def __init__(self, folder: Path) -> None:
        image = presenter.photo()
        self.points: F32 = presenter.track([image], folder)[0].points(0, 1)[0]
        from heygemd.config.schema import Limits

        self.picture: Picture = decode.describe_photo(save(folder / "anna.png", png(image)), Limits(), folder)
        (self.frame,) = decode.frames(self.picture)
        self.frame.flags.writeable = False

    def moved(self, digest: str = "a", frames: int = FRAMES, yaw_deg: float = 0.0) -> list[Frame]:
        motion = PhotoMotion(self.picture, self.points, yaw_deg, digest, frames)
        return list(motion.apply(self.frame for _ in range(frames)))

    def luma(self, frame: Frame) -> np.ndarray:
        return planes(frame, self.picture.width, self.picture.height)[0].astype(int)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Still:
    return Still(tmp_path_factory.mktemp("still"))


def test_it_sways_by_less_than_one_percent_and_the_surroundings_stay(still: Still) -> None:
    motion = PhotoMotion(still.picture, still.points, 0.0, "a", FRAMES)
    face = float(np.linalg.norm(still.points[FOREHEAD_TOP, :2] - still.points[CHIN, :2]))
    _, _, weight, wx, wy = motion._field
    poses = [motion._pose(number) for number in range(FRAMES)]
    moved = [np.hypot(weight * right - wy * turn, weight * down + wx * turn).max() for turn, right, down in poses]
    assert 0.003 * face < max(moved) < 0.02 * face
    assert max(moved) < 0.01 * still.picture.height
    assert max(np.abs(np.diff(np.array(poses), axis=0)).max(0)[1:]) < 0.1  # a tenth of a pixel a frame
    frames = still.moved()
    assert (frames[0] == still.frame).all()
    for frame in frames[::50]:
        changed = np.abs(still.luma(frame) - still.luma(still.frame))
        assert not changed[0].any() and not changed[:, 0].any() and not changed[-1].any() and not changed[:, -1].any()


def test_the_same_file_blinks_at_the_same_times_and_others_at_others(still: Still) -> None:
    first = still.moved(frames=120)
    assert all((a == b).all() for a, b in zip(first, still.moved(frames=120), strict=True))
    blinks = [PhotoMotion(still.picture, still.points, 0.0, digest, 10_000)._blinks_at for digest in "abc"]
    assert len({tuple(each) for each in blinks}) == 3
    for each in blinks:
        starts = [number for number in each if number - 1 not in each]
        gaps = np.diff(starts) / 25
        assert BLINK_EVERY_S[0] - 0.05 <= gaps.min() and gaps.max() <= BLINK_EVERY_S[1] + 0.05


def test_a_blink_hides_the_iris_and_ends_as_it_began(still: Still) -> None:
    motion = PhotoMotion(still.picture, still.points, 0.0, "a", FRAMES)
    start = min(motion._blinks_at)
    frames = still.moved(frames=start + len(CLOSED) + 2)
    for eye in (RIGHT_EYE, LEFT_EYE):
        x, y = still.points[[eye.upper[3], eye.lower[3]], :2].mean(0).astype(int)
        part = (slice(y - 1, y + 2), slice(x - 1, x + 2))
        iris, lid = (still.luma(frame)[part].mean() for frame in (frames[start - 1], frames[start + 2]))
        assert lid > iris + 30
        assert abs(still.luma(frames[start + len(CLOSED)])[part].mean() - iris) < 12


def test_eyes_stay_open_where_a_blink_could_look_wrong(still: Still) -> None:
    points = still.points[:, :2].astype(float)
    assert photo_motion.can_blink(points, 0.0)
    assert not photo_motion.can_blink(points, 35.0)
    assert not photo_motion.can_blink(points, float("nan"))
    assert not photo_motion.can_blink(points * 0.2, 0.0)
    closed = points.copy()
    closed[list(LEFT_EYE.upper)] = closed[list(LEFT_EYE.lower)]
    assert not photo_motion.can_blink(closed, 0.0)
    assert still.picture.fps == Fraction(25)
