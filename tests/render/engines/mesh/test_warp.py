"""Pixels go where the mesh moves them, and keep their grain."""

import cv2
import numpy as np

from heygemd.render.engines.mesh import masks, warp
from heygemd.render.engines.mesh.renderer import retarget
from heygemd.render.face.pose import align
from heygemd.render.scene import Image, Track
from heygemd.training import warp_triangles


def test_warp_moves_what_its_vertices_move(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)[0, :, :2]
    spots = warp.vertices(points, warp.TOOTH_DEPTH * warp.gaps(points))
    field = warp.rasterize(spots, (300, 300))
    picture = scene[0][0][:300, :300]
    shown = picture[field.y0 : field.y0 + field.height, field.x0 : field.x0 + field.width]
    sure = masks.warp_mask(field, 100.0, 5.0) == 1
    assert sure.sum() > 2000
    for part in (field, field.coarser()):
        assert not warp.displacements(part, warp.affine_terms(part, np.zeros_like(spots))).any()
        assert np.abs(warp.sample(picture, part, np.zeros_like(spots)) - shown).max() < 0.01
        away = warp.sample(picture, part, np.full_like(spots, (3.0, -2.0)))
        assert (
            np.abs(away - np.roll(picture, (2, -3), (0, 1))[field.y0 :, field.x0 :][: field.height, : field.width])[
                sure
            ].max()
            < 0.1
        )
        spun = (spots @ np.array([[0.02, 0.1], [-0.1, 0.02]])).astype(np.float32)  # affine: the same in all triangles
        rows, columns = part.triangle.shape
        x = np.arange(columns) * part.scale + part.x0 + (part.scale - 1) / 2
        y = np.arange(rows)[:, None] * part.scale + part.y0 + (part.scale - 1) / 2
        wanted = np.stack([0.02 * x - 0.1 * y, 0.1 * x + 0.02 * y])
        assert (
            np.abs(warp.displacements(part, warp.affine_terms(part, spun)) - wanted)[:, part.inside].max()
            < 0.3 * part.scale
        )


def test_skin_keeps_its_grain_wherever_between_pixels_it_comes_to_lie(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)[0, :, :2]
    spots = warp.vertices(points, warp.TOOTH_DEPTH * warp.gaps(points))
    field = warp.rasterize(spots, (300, 300))
    noise = np.random.default_rng(0).normal(128, 12, (300, 300, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(noise, (3, 3), 0.6).astype(np.uint8)  # a camera's grain
    inner = masks.warp_mask(field, 100.0, 5.0) == 1

    def grain(x: float, y: float) -> float:
        return float(cv2.Laplacian(warp.sample(picture, field, np.full_like(spots, (x, y))), cv2.CV_32F)[inner].var())

    assert all(0.7 < grain(x, y) / grain(0, 0) < 1.3 for x, y in ((0.25, 0.25), (0.5, 0.5), (0.5, 0.0)))


def test_a_part_in_fine_cells_is_sampled_by_these_and_the_rest_as_without(scene: tuple[list[Image], Track]) -> None:
    points, picture = scene[1].points(0, 1), scene[0][0]
    target = retarget(points[0], align(points), np.array([0.2, 0, 0.2, 0, 0.1], np.float32), 0.25)
    depth = warp.TOOTH_DEPTH * warp.gaps(target)
    before = warp.vertices(points[0, :, :2], depth)
    after = warp.vertices(target, depth, anchored=points[0, :, :2])
    field = warp.rasterize(after, picture.shape[1::-1])
    skin, lips = field._replace(scale=4, triangle=field.triangle[::4, ::4]), masks.lip_region(target, field, 60.0)
    assert field.scale == 1
    alone, coarse = (warp.sample(picture, part, before - after) for part in (lips, skin))
    both = warp.sample(picture, skin, before - after, lips)
    view = lips.within(field)
    assert np.abs(alone - coarse[view]).max() > 5
    inner = np.s_[1:-1, 1:-1]  # sharpening looks at the pixels beside
    assert np.abs(both[view][inner] - alone[inner]).max() < 0.5
    rest = np.ones(both.shape[:2], bool)
    rest[max(0, view[0].start - 1) : view[0].stop + 1, max(0, view[1].start - 1) : view[1].stop + 1] = False
    assert rest.any() and np.abs(both - coarse)[rest].max() < 0.5


def test_what_is_round_the_face_stays_where_it_is(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)
    pose = align(points)
    target = retarget(points[0], pose, np.array([0.2, 0, 0.2, 0, 0.1], np.float32), 0.25)
    depth = warp.TOOTH_DEPTH * warp.gaps(target)
    before = warp.vertices(points[0, :, :2], depth)
    after = warp.vertices(target, depth, anchored=points[0, :, :2])
    field = warp.rasterize(after, (scene[1].width, scene[1].height))
    shift = np.abs(warp.displacements(field, warp.affine_terms(field, before - after))).max(0)
    edged = cv2.copyMakeBorder(field.inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    rim = field.inside & (cv2.distanceTransform(edged, cv2.DIST_L2, 3)[1:-1, 1:-1] < 2)
    assert rim.sum() > 300 and shift.max() > 10 and shift[rim].max() < 0.15 * shift.max()


def test_lips_beyond_the_face_are_those_of_the_nearest_triangle(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)[0, :, :2]
    spots = warp.vertices(points, warp.TOOTH_DEPTH * warp.gaps(points))
    field = warp.rasterize(spots, (300, 300))
    filled = field.filled()
    assert not field.inside.all() and filled.inside.all()
    assert np.array_equal(filled.triangle[field.inside], field.triangle[field.inside])
    same = warp.affine_terms(filled, np.full_like(spots, 70.0))
    assert np.allclose(warp.displacements(filled, same), 70.0, atol=0.01)
    assert filled.filled() is filled


def test_the_bundled_triangles_are_what_their_command_makes() -> None:
    made, ours = (sorted(map(sorted, each.tolist())) for each in (warp_triangles.warp_triangles(), warp.triangles()))
    assert made == ours


def test_the_far_side_of_a_turned_face_lies_below(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)
    yaw = np.radians(50)
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    turned = (align(points).to_face(points)[0] @ turn * 100 + 200)[:, :2].astype(np.float32)
    spots = warp.vertices(turned, np.zeros(11, np.float32))
    field = warp.rasterize(spots, (400, 400))
    corners = spots[warp.triangles()]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    away = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0] < 0
    assert away.sum() > 20
    assert away[np.unique(field.triangle[field.inside])].mean() < 0.5 * away.mean()
