"""Which shots show the same face, from made-up meshes and textures."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from heygemd.render.engines.base import AnalysisData
from heygemd.render.engines.mesh import MeshEngine, face_groups, mouth_calibration, mouth_plan
from heygemd.render.face.mouth_params import JAW, OPEN
from heygemd.render.face.pose import face_shape
from heygemd.render.scene import Image, Timeline, Track

from ... import presenter as people
from .conftest import FRAMES

LENGTHS = (20, 20, 20, 20)


def faces_of(
    folder: Path, shapes: list[float], lengths: tuple[int, ...] = LENGTHS, skins: dict[int, float] | None = None
) -> list[int]:
    """Return the face of each shot.

    shapes   by how much each shot's face is wider at the temples, rather than at the eyes, eye distances
    lengths  frames of each shot · skins  of shots that have a texture: brightness of one half of the face
    """
    points = np.repeat(face_shape()["mean"][None] * 100 + 200, sum(lengths), 0)
    points += np.random.default_rng(0).normal(0, 0.05, points.shape)
    starts = np.cumsum([0, *lengths[:-1]])
    outer = np.sign(face_shape()["mean"][:, 0]) * np.where(np.arange(468) % 2, 1, -1)
    for start, count, shape in zip(starts, lengths, shapes, strict=True):
        points[start : start + count, :, 0] += 100 * shape * outer
    file = folder / "points.f32"
    points.astype("<f4").tofile(file)
    total, cuts = sum(lengths), np.isin(np.arange(sum(lengths)), starts)
    plain = np.zeros(total, np.float32)
    boxes = np.tile(np.int32([0, 0, 400, 400]), (total, 1))
    track = Track(400, 400, people.FPS, boxes, plain + 1, plain, cuts, np.ones(total, np.uint8), file)
    textures = np.full((len(skins or {}), 400, 400, 3), 100, np.uint8)
    for texture, bright in zip(textures, (skins or {}).values(), strict=True):
        texture[:, :200] = round(100 * bright)
    frames = np.array([starts[shot] for shot in skins or {}], np.int32)
    data = {"textures": textures, "texture_points": points[frames, :, :2].astype(np.float32), "texture_frames": frames}
    face = face_groups.group_shots(track, mouth_calibration.measure_motion(track), data)
    assert face.shape == (total,) and face.dtype == np.int16
    assert all(len(set(face[a : a + n])) == 1 for a, n in zip(starts, lengths, strict=True))
    return [int(n) for n in face[starts]]


def test_two_people_in_turns_are_two_faces(tmp_path: Path) -> None:
    assert faces_of(tmp_path, [0, 0.04, 0, 0.04]) == [0, 1, 0, 1]
    assert faces_of(tmp_path, [0, 0, 0, 0]) == [0, 0, 0, 0]


def test_skin_tells_alike_shapes_apart(tmp_path: Path) -> None:
    assert faces_of(tmp_path, [0] * 4, skins={0: 1.0, 1: 0.5, 2: 1.0, 3: 0.5}) == [0, 1, 0, 1]
    assert faces_of(tmp_path, [0] * 4, skins={0: 1.0, 1: 0.95, 3: 1.0}) == [0, 0, 0, 0]


def test_a_face_that_turns_is_recognised_in_steps(tmp_path: Path) -> None:
    skins = dict.fromkeys(range(4), 1.0)
    assert faces_of(tmp_path, [0, 0.015, 0.03, 0.045], skins=skins) == [0, 0, 0, 0]
    assert faces_of(tmp_path, [0, 0.045], (20, 20), {0: 1.0, 1: 1.0}) == [0, 1]


def test_a_short_shot_takes_the_most_similar_face(tmp_path: Path) -> None:
    assert faces_of(tmp_path, [0, 0.06, 0.045], (20, 20, 4)) == [0, 1, 1]
    assert faces_of(tmp_path, [0, 0.06], (4, 4)) == [0, 0]


def halves(scene: tuple[list[Image], Track], folder: Path, other: float) -> tuple[Track, AnalysisData]:
    """Return the scene as two shots and its analysis data; the second one's chin is lower and its face wider."""
    frames, track = scene
    points, half = track.points(0, FRAMES).copy(), FRAMES // 2
    eye = np.linalg.norm(points[half:, 33] - points[half:, 263], axis=1)[:, None]
    points[half:, 152, 1] += other * eye[:, 0]
    points[half:, ::2, 0] += other * eye
    points.tofile(folder / "two.f32")
    track = dataclasses.replace(track, cuts=np.arange(FRAMES) % half == 0, points_file=folder / "two.f32")
    engine = MeshEngine(Path("/nonexistent"))
    return track, engine.analyse_video(people.crops(frames, track, engine.frames_to_analyse(track)), track)


@pytest.mark.parametrize("other", [0.0, 0.1])
def test_each_face_has_its_own_closed_mouth(scene: tuple[list[Image], Track], tmp_path: Path, other: float) -> None:
    track, data = halves(scene, tmp_path, other)
    assert data["closed_mouth"].shape == ((2 if other else 1), 5, 6)
    motion = mouth_calibration.measure_motion(track)
    timeline = Timeline(people.FPS, np.arange(FRAMES, dtype=np.int32))
    silent = {"visemes": np.zeros((2 * FRAMES, 5), np.float32), "tongue": np.zeros(2 * FRAMES, np.float32)}
    plan = mouth_plan.plan_mouths(track, timeline, data | silent)
    for shot in (1, 2):
        rows = motion.shot == shot
        fitted = mouth_calibration.fit_closed_mouth(motion.part(rows) if other else motion)
        alone = mouth_calibration.closed_mouth(fitted, motion.angles_deg[rows])
        assert np.allclose(plan.closed[rows], alone, atol=1e-6)
    lower = np.median(plan.target[FRAMES // 2 :, JAW]) - np.median(plan.target[: FRAMES // 2, JAW])
    assert lower == pytest.approx(other, abs=0.03)
    assert plan.target[:, OPEN].max() < 0.02
