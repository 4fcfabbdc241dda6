from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from heygemd.render.engines.mesh import MeshEngine, masks, mouth_calibration, texture_bank, warp
from heygemd.render.engines.mesh.renderer import retarget
from heygemd.render.face.mesh_indices import INNER_UPPER_LIP
from heygemd.render.face.mouth_params import JAW, LOWER, MOUTH_PARAMS, OPEN, WIDTH, measure_mouth
from heygemd.render.face.pose import Pose, align, face_shape
from heygemd.render.scene import Crop, Image, Patch, Timeline, Track

from ... import presenter as people

FRAMES = 40


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Image], Track]:
    frames = people.swaying(FRAMES)
    return frames, people.track(frames, tmp_path_factory.mktemp("scene"))[0]


def render(scene: tuple[list[Image], Track], spoken: np.ndarray) -> list[Patch]:
    """Render with given lips in place of the network's."""
    frames, track = scene
    engine = MeshEngine(Path("/nonexistent"))
    wanted = engine.frames_to_analyse(track)
    data = engine.analyse_video(people.crops(frames, track, wanted), track) | {"visemes": spoken}
    assert sum(a.nbytes for a in data.values()) < 64e6 and all(a.dtype != object for a in data.values())
    timeline = Timeline(people.FPS, np.arange(len(track), dtype=np.int32))
    voice = np.zeros(len(track) * 640, np.float32)
    return list(engine.render(people.crops(frames, track, list(range(len(track)))), track, timeline, voice, data))


def mouths(scene: tuple[list[Image], Track], patches: list[Patch], folder: Path) -> np.ndarray:
    """Measure the mouths of the rendered frames by tracking them again."""
    frames, track = scene
    shown = []
    for patch, frame in zip(patches, frames, strict=True):
        x0, y0, x1, y1 = track.boxes[patch.output]
        out = frame.copy()
        alpha = patch.mask[..., None]
        out[y0:y1, x0:x1] = np.round(out[y0:y1, x0:x1] * (1 - alpha) + patch.image * alpha)
        shown.append(out)
    again, _ = people.track(shown, folder)
    points = again.points(0, len(again))
    return measure_mouth(align(points).to_face(points))


def constant(**departures: float) -> np.ndarray:
    row = np.zeros((FRAMES * 2, 5), np.float32)
    for name, value in departures.items():
        row[:, MOUTH_PARAMS.index(name)] = value
    return row


def test_one_patch_for_each_crop_in_order(scene: tuple[list[Image], Track]) -> None:
    patches = render(scene, constant(open=0.1, jaw=0.07, lower=0.09))
    assert [p.output for p in patches] == list(range(FRAMES))
    for patch, box in zip(patches, scene[1].boxes, strict=True):
        h, w = box[3] - box[1], box[2] - box[0]
        assert patch.image.shape == (h, w, 3) and patch.image.dtype == np.uint8
        assert patch.mask.shape == (h, w) and patch.mask.dtype == np.float32
        assert patch.mask.min() >= 0 and patch.mask.max() <= 1
        assert patch.mask[:2].max() == 0 and patch.mask[:, :2].max() == 0 and patch.mask[:, -2:].max() == 0


def test_target_reached_is_what_was_asked(scene: tuple[list[Image], Track], tmp_path: Path) -> None:
    shut = mouths(scene, render(scene, constant()), tmp_path)
    opened = mouths(scene, render(scene, constant(open=0.14, jaw=0.09, lower=0.12)), tmp_path)
    wide = mouths(scene, render(scene, constant(width=0.06)), tmp_path)
    narrow = mouths(scene, render(scene, constant(width=-0.06)), tmp_path)
    assert np.median(shut[:, OPEN]) < 0.09  # she smiles with an opening of 0.2
    assert np.median(opened[:, OPEN] - shut[:, OPEN]) > 0.06
    assert np.median(opened[:, JAW] - shut[:, JAW]) > 0.04
    assert np.median(wide[:, WIDTH] - narrow[:, WIDTH]) > 0.05
    assert opened[:, OPEN].std() < 0.02 and wide[:, WIDTH].std() < 0.02


def test_own_shape_leaves_the_picture_alone(scene: tuple[list[Image], Track]) -> None:
    frames, track = scene
    patches = render(scene, constant())
    crops: Iterator[Crop] = people.crops(frames, track, list(range(FRAMES)))
    # The photograph smiles with her teeth showing, so closing her mouth is work: look at the skin only.
    for patch, crop in zip(patches, crops, strict=True):
        points = track.points(crop.source, crop.source + 1)[0, :, :2] - crop.box[:2]
        x, y = points[205].astype(int)
        change = np.abs(patch.image.astype(int) - crop.image)[y - 12 : y - 2, x - 5 : x + 5]
        assert change.mean() < 12


def test_retarget_sets_each_quantity(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(3, 4)
    pose = align(points)
    own = measure_mouth(pose.to_face(points))[0]
    change = np.array([0.1, -0.05, 0.06, -0.01, 0.08], np.float32)
    moved = points.copy()
    moved[0, :, :2] = retarget(points[0], pose, change, float(own[OPEN] + change[OPEN]))
    got = measure_mouth(pose.to_face(moved))[0]
    assert np.allclose(got - own, change, atol=0.02)
    still = [6, 33, 263, 10, 127, 356]
    assert np.abs(moved[0, still] - points[0, still]).max() < 0.1


def test_warp_moves_what_its_vertices_move(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)[0, :, :2]
    spots = warp.vertices(points, warp.TOOTH_DEPTH * warp.gaps(points))
    field = warp.rasterize(spots, (300, 300))
    picture = scene[0][0][:300, :300]
    shown = picture[field.y0 : field.y0 + field.height, field.x0 : field.x0 + field.width]
    sure = masks.warp_mask(field, 100.0, 5.0) == 1
    assert sure.sum() > 2000
    for part in (field, field.coarser()):
        assert not warp.displacements(part, np.zeros_like(spots)).any()
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
        assert np.abs(warp.displacements(part, spun) - wanted)[:, part.inside].max() < 0.3 * part.scale


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


def test_what_is_round_the_face_stays_where_it_is(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)
    pose = align(points)
    target = retarget(points[0], pose, np.array([0.2, 0, 0.2, 0, 0.1], np.float32), 0.25)
    depth = warp.TOOTH_DEPTH * warp.gaps(target)
    before = warp.vertices(points[0, :, :2], depth)
    after = warp.vertices(target, depth, anchored=points[0, :, :2])
    field = warp.rasterize(after, (scene[1].width, scene[1].height))
    shift = np.abs(warp.displacements(field, before - after)).max(0)
    edged = cv2.copyMakeBorder(field.inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    rim = field.inside & (cv2.distanceTransform(edged, cv2.DIST_L2, 3)[1:-1, 1:-1] < 2)
    assert rim.sum() > 300 and shift.max() > 10 and shift[rim].max() < 0.15 * shift.max()


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


def test_lips_beyond_the_face_are_those_of_the_nearest_triangle(scene: tuple[list[Image], Track]) -> None:
    points = scene[1].points(0, 1)[0, :, :2]
    spots = warp.vertices(points, warp.TOOTH_DEPTH * warp.gaps(points))
    field = warp.rasterize(spots, (300, 300))
    whole = field.filled()
    assert not field.inside.all() and whole.inside.all()
    assert np.array_equal(whole.triangle[field.inside], field.triangle[field.inside])
    assert np.allclose(warp.displacements(whole, np.full_like(spots, 70.0)), 70.0, atol=0.01)
    assert whole.filled() is whole


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


def test_modes_move_only_their_own_quantity() -> None:
    shape = face_shape()
    moved = measure_mouth(shape["mean"] + shape["modes"]) - measure_mouth(shape["mean"][None])
    assert np.allclose(moved, np.eye(5), atol=0.05)
    assert not shape["modes"][:, [33, 263, 6, 10]].any()


def test_path_is_cheapest_and_does_not_flicker() -> None:
    noise = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    cost = noise * 0.5
    cost[:30, 1] -= 1
    cost[30:, 2] -= 1
    path = texture_bank.choose_textures(cost, np.zeros(60, bool))
    assert (path[:29] == 1).all() and (path[31:] == 2).all()


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


def test_hand_before_the_mouth_is_no_texture(scene: tuple[list[Image], Track]) -> None:
    frames, track = scene
    spoiled = [frame.copy() for frame in frames]
    wanted = list(range(0, FRAMES, 4))
    x, y = track.points(8, 9)[0, 13, :2].astype(int)
    spoiled[8][y - 20 : y + 30, x - 40 : x + 20] = (60, 90, 150)
    data = texture_bank.extract_textures(people.crops(spoiled, track, wanted), track)
    assert 8 not in data["texture_frames"] and len(data["texture_frames"]) >= len(wanted) - 2
