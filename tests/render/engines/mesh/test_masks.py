"""Masks of the mouth."""

import cv2
import numpy as np
import pytest

from heygemd.render.engines.mesh import masks, warp
from heygemd.render.engines.mesh.renderer import retarget
from heygemd.render.face.mesh_indices import CHIN, INNER_LIPS, INNER_UPPER_LIP
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
    eye = float(align(points).scale[0])
    kept = masks.seal_lips(mouth, target, field, eye, 1.0)
    middle = cells[len(cells) // 2]
    assert mouth[middle[1], middle[0], 0] == 240 and kept[middle[1], middle[0]].max() < 110
    assert (kept < 60).sum() == pytest.approx((mouth < 60).sum(), rel=0.6)
    assert np.abs(masks.seal_lips(mouth, target, field, eye, 0.0) - mouth).max() < 0.01


def test_a_ragged_inner_edge_of_the_lips_is_smoothed_and_their_skin_is_not(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)
    pose = align(points)
    target = retarget(points[0], pose, np.zeros(5, np.float32), 0.15)
    field = warp.rasterize(warp.vertices(target, np.zeros(11, np.float32)), (scene[1].width, scene[1].height))
    mouth = np.random.default_rng(0).uniform(0, 255, (field.height, field.width, 3)).astype(np.float32)
    smooth = masks.smooth_rim(mouth, target, field, float(pose.scale[0]), 1.0)
    edge = np.round(target[INNER_LIPS] - (field.x0, field.y0)).astype(int)
    chin = np.round(target[CHIN] - (field.x0, field.y0)).astype(int) - (0, 6)
    assert smooth[edge[:, 1], edge[:, 0]].std() < 0.5 * mouth[edge[:, 1], edge[:, 0]].std()
    assert np.abs(smooth - mouth)[chin[1] - 4 : chin[1] + 4, chin[0] - 4 : chin[0] + 4].max() < 0.01
    assert np.abs(masks.smooth_rim(mouth, target, field, float(pose.scale[0]), 0.0) - mouth).max() < 0.01


def test_lips_are_blended_and_of_two_insides_one_is_shown() -> None:
    inside = np.float32([[0, 0.5, 1]])
    assert masks.one_inside(0.4, inside)[0] == pytest.approx([0.4, 0.2, 0])
    assert masks.one_inside(0.7, inside)[0] == pytest.approx([0.7, 0.85, 1])
