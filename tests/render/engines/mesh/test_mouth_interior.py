"""The drawn inside of the mouth: where its teeth are, and what reaches it of the light."""

import cv2
import numpy as np
import pytest

from heygemd.render.engines.mesh import mouth_interior
from heygemd.render.engines.mesh.mouth_interior import LIPS_Z, TEETH, TEETH_SHOWN, TONGUE
from heygemd.render.face.mesh_indices import INNER_LIPS, INNER_LOWER_LIP, INNER_UPPER_LIP
from heygemd.render.face.pose import Pose, face_shape

EYE, LINE, WIDTH, HEIGHT = 400, 0.78, 240, 200
"""Pixels of an eye distance, the closed mouth's line in eye distances, the region's size."""
WHITE, LOWER_WHITE = 0.6, 0.53
"""Share of blue in the red of what is seen from which it is a tooth; lower ones are lit by the tongue and the lip."""


def pose_of(yaw_deg: float = 0.0, pitch_deg: float = 0.0) -> Pose:
    """A head with the middle of the closed mouth's line in the region's middle."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    turn = np.float32([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    turn = turn @ cv2.Rodrigues(np.float64([np.radians(pitch_deg), 0, 0]))[0].astype(np.float32)
    shift = np.float32([WIDTH / 2, HEIGHT / 2, 0]) - EYE * turn @ np.float32([0, LINE, LIPS_Z])
    return Pose(np.float32([EYE]), turn[None], shift[None])


def draw(lowered: float, yaw_deg: float = 0.0, **more: float) -> np.ndarray:
    return mouth_interior.draw(lowered, pose_of(yaw_deg), LINE, (0, 0), (WIDTH, HEIGHT), **more)


def whiteness(picture: np.ndarray) -> np.ndarray:
    """Teeth reflect blue as well; gums and the tongue do not."""
    return picture[..., 0] / np.maximum(picture[..., 2], 1e-3) * (picture[..., 2] > 0.25)


def test_upper_teeth_stay_with_the_skull_and_are_brighter_than_the_throat() -> None:
    edge = round(HEIGHT / 2 + TEETH_SHOWN * EYE)
    for lowered in (0.1, 0.2, 0.3):
        picture = draw(lowered)
        assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.float32
        assert picture.min() >= 0 and picture.max() <= 1
        tooth = picture[edge - 12 : edge - 4, WIDTH // 2 - 20 : WIDTH // 2 - 8]
        below = picture[edge + 4 : edge + 12, WIDTH // 2 - 20 : WIDTH // 2 - 8]
        assert whiteness(tooth).min() > WHITE > whiteness(below).max(), lowered
        assert tooth.mean() > 2 * below.mean()


def test_lower_teeth_go_with_the_jaw() -> None:
    def lower_edge(lowered: float) -> int:
        column = whiteness(draw(lowered))[:, WIDTH // 2 - 14]
        below = column[round(HEIGHT / 2 + TEETH_SHOWN * EYE) + 6 :]
        return int(np.argmax(below > WHITE)) if (below > WHITE).any() else len(below)

    assert lower_edge(0.06) < lower_edge(0.12) < lower_edge(0.2)


@pytest.mark.parametrize("pitch_deg", [-15, 0, 15])
@pytest.mark.parametrize("lowered", [0.12, 0.16, 0.2, 0.25])
def test_a_lowered_lip_uncovers_lower_teeth_and_never_the_gums_below_them(lowered: float, pitch_deg: float) -> None:
    pose = pose_of(pitch_deg=pitch_deg)
    (lip,) = pose.vectors_to_picture(np.float32([[[0, LINE + lowered, LIPS_Z]]]))[0] + pose.translation[0]
    measured = mouth_interior.lowered_by(lip[:2], pose, LINE)
    picture = mouth_interior.draw(measured, pose, LINE, (0, 0), (WIDTH, HEIGHT))
    column = whiteness(picture)[: round(float(lip[1])) - 2, WIDTH // 2 - 14][::-1] > LOWER_WHITE
    shown = np.argmin(column) / EYE
    assert 0.012 < shown < 0.065


def test_a_wider_opening_lets_in_more_light() -> None:
    row = HEIGHT // 2 + round(TEETH_SHOWN * EYE) - 8
    teeth = [float(draw(lowered)[row, WIDTH // 2 - 18 : WIDTH // 2 - 8].mean()) for lowered in (0.03, 0.1, 0.2)]
    assert teeth[0] < 0.9 * teeth[1] and teeth[1] < teeth[2]


def test_teeth_in_full_light_are_ivory_and_not_blue() -> None:
    row = HEIGHT // 2 + round(TEETH_SHOWN * EYE) - 8
    for lowered in (0.1, 0.2, 0.3):
        blue, green, red = draw(lowered)[row, WIDTH // 2 - 18 : WIDTH // 2 - 8].mean(0)
        assert 0.6 < blue / red < 0.85 and blue < green < 0.95 * red


def test_a_turned_head_shows_one_cheek_s_teeth_and_not_the_other_s() -> None:
    left, right = (draw(0.15, yaw) for yaw in (-25, 25))
    assert np.abs(left - right[:, ::-1]).mean() < 0.02
    assert np.abs(left - right).mean() > 0.04


@pytest.mark.parametrize("yaw_deg", [-25, 25])
def test_the_tongue_of_a_turned_head_hides_the_molars_behind_it(yaw_deg: float) -> None:
    shape = mouth_interior.mesh()
    pose = pose_of(yaw_deg)
    for lowered in (0.1, 0.16):
        points, _ = mouth_interior._lit(round(lowered / mouth_interior.STEP), mouth_interior.USUAL_TEETH)
        points = points + np.float32([0, LINE + TEETH_SHOWN - mouth_interior.TEETH_EDGE, 0])
        seen = pose.vectors_to_picture(points[None])[0] + pose.translation[0]
        molars = (shape.kind == TEETH) & (shape.jaw[:, 1] > 0.05) & (shape.points[:, 2] > 0.05)
        white = np.repeat(molars[:, None], 3, 1).astype(np.float32)
        flat = cv2.RASTERIZE_SHADING_FLAT
        picture = mouth_interior.rasterize(seen, shape.triangles, white, WIDTH, HEIGHT, flat)[..., 0]
        inside = np.s_[HEIGHT // 2 : HEIGHT // 2 + round(lowered * EYE), WIDTH // 2 - 60 : WIDTH // 2 + 60]
        assert (picture[inside] > 0.9).mean() < 0.04


def smile(inside_bgr: tuple[int, int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """A texture of plain skin with something of that colour between the lips, or a shut mouth; and its mesh."""
    points = 100 + 120 * face_shape()["mean"][:, :2]
    points[:, 1] += 40
    points[INNER_LOWER_LIP, 1] = points[INNER_UPPER_LIP, 1] + (16 if inside_bgr else 0)
    picture = np.full((400, 400, 3), (124, 148, 200), np.uint8)
    if inside_bgr:
        cv2.fillPoly(picture, [np.round(points[INNER_LIPS]).astype(np.int32)], inside_bgr)
    return picture[None], points[None].astype(np.float32)


def test_drawn_teeth_have_the_colour_of_those_that_the_video_shows() -> None:
    assert mouth_interior.seen_teeth(*smile((110, 130, 150))) == pytest.approx((0.55, 0.65, 0.75), abs=0.02)
    for lips in (None, (70, 60, 160)):  # shut; only the red of the lips between them
        assert mouth_interior.seen_teeth(*smile(lips)) == mouth_interior.USUAL_TEETH


@pytest.mark.parametrize("yaw_deg", [0, 25])
def test_the_depth_of_a_mouth_is_dark_red_and_not_black(yaw_deg: float) -> None:
    for lowered in (0.1, 0.2, 0.3):
        pixels = draw(lowered, yaw_deg).reshape(-1, 3)
        darkest = np.percentile(pixels, 5, axis=0)
        assert 0.05 < darkest[0] < 0.6 * darkest[2] < 0.3, lowered


@pytest.mark.parametrize("size", [(3, 2), (900, 500)])
def test_any_region_can_be_drawn(size: tuple[int, int]) -> None:
    pose = Pose(np.float32([30]), np.eye(3, dtype=np.float32)[None], np.zeros((1, 3), np.float32))
    assert mouth_interior.draw(0.0, pose, LINE, (5, 5), size).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("lowered", [0.06, 0.2])
def test_a_raised_tongue_touches_the_upper_incisors_whatever_the_jaw_does(lowered: float) -> None:
    shape = mouth_interior.mesh()
    jaw = mouth_interior.jaw_share(lowered)
    low = shape.points + jaw * shape.jaw
    upper = shape.points[(shape.kind == TEETH) & (np.linalg.norm(shape.jaw, axis=1) < 0.05)]
    incisors = upper[np.abs(upper[:, 0]) < 0.1]
    colours = np.full_like(low, 0.5)
    gaps, tongue = [], shape.kind == TONGUE
    for share in (0.0, 0.5, 1.0):
        points, lit = mouth_interior.raise_tongue(low, colours, share, lowered)
        assert np.array_equal(points[~tongue], low[~tongue]) and np.array_equal(lit[~tongue], colours[~tongue])
        if not share:
            assert np.array_equal(points, low)
        tip = points[tongue][low[tongue, 2].argmin()]
        gaps.append(np.linalg.norm(incisors - tip, axis=1).min())
        # Behind the teeth: no part of the tongue is further out than the incisors' inner edge.
        assert points[tongue, 2].min() > incisors[:, 2].min() + 0.04
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.05


def test_a_raised_tongue_is_seen_below_the_teeth_and_not_in_front_of_them() -> None:
    edge = round(HEIGHT / 2 + TEETH_SHOWN * EYE)
    low, high = draw(0.16), draw(0.16, tongue=1.0)
    middle = np.s_[edge + 4 : edge + 14, WIDTH // 2 - 10 : WIDTH // 2 + 10]
    assert high[middle].mean() > 1.2 * low[middle].mean()
    tooth = np.s_[edge - 14 : edge - 6, WIDTH // 2 - 20 : WIDTH // 2 - 8]
    assert np.abs(high[tooth] - low[tooth]).max() < 0.02
    assert np.array_equal(draw(0.16, tongue=0.0), low)
