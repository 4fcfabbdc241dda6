"""Masks of the mouth."""

import cv2
import numpy as np
import pytest

from heygemd.render.engines.mesh import masks, warp
from heygemd.render.engines.mesh.renderer import retarget
from heygemd.render.face.mesh_indices import INNER_UPPER_LIP
from heygemd.render.face.pose import align
from heygemd.render.scene import Image, Track


def test_where_lips_meet_no_line_of_teeth_is_left(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)
    target = retarget(points[0], align(points), np.zeros(5, np.float32), 0.0)
    field = warp.rasterize(warp.vertices(target, np.zeros(11, np.float32)), (scene[1].width, scene[1].height))
    cells = np.round(target[INNER_UPPER_LIP] - (field.x0, field.y0)).astype(np.int32)
    mouth = np.full((field.height, field.width, 3), 90, np.float32)
    cv2.polylines(mouth, [cells], False, (240, 240, 240), 1)
    corner = cells[0]
    mouth[corner[1] - 1 : corner[1] + 2, corner[0] - 1 : corner[0] + 2] = 10
    kept = masks.seal_lips(mouth, target, field, 1.0)
    middle = cells[len(cells) // 2]
    assert mouth[middle[1], middle[0], 0] == 240 and kept[middle[1], middle[0]].max() < 110
    assert (kept < 60).sum() == pytest.approx((mouth < 60).sum(), rel=0.6)
    assert np.abs(masks.seal_lips(mouth, target, field, 0.0) - mouth).max() < 0.01


def test_lips_are_blended_and_of_two_insides_one_is_shown() -> None:
    inside = np.float32([[0, 0.5, 1]])
    assert masks.one_inside(0.4, inside)[0] == pytest.approx([0.4, 0.2, 0])
    assert masks.one_inside(0.7, inside)[0] == pytest.approx([0.7, 0.85, 1])
